//! Follows the files of certificates and key, and replaces the TLS configuration when they change.

use std::{
    sync::{Arc, PoisonError, RwLock, Weak},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::rustls::{self, ServerConfig, server::NoServerSessionStorage, version::TLS13};

use super::{
    TlsSettings,
    files::{Contents, FilesError, Material},
    provider,
    roles::Roles,
    verify::{Proved, Verifier},
};

/// How often the files are read. Contents found twice in a row are taken, so that a
/// certificate and its key that are replaced one after the other are taken together.
const LOOK: Duration = Duration::from_secs(1);

/// A certificate that expires sooner causes a warning.
const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The certificates in force.
#[derive(Debug)]
pub struct Reloader {
    settings: TlsSettings,
    roles: watch::Sender<Arc<Roles>>,
    in_force: RwLock<Arc<Material>>,
}

impl Reloader {
    /// Reads the files, and again at intervals until the reloader is dropped.
    pub fn open(settings: TlsSettings) -> Result<Arc<Self>, FilesError> {
        let contents = settings.files.read()?;
        let material = Arc::new(settings.files.material(&contents)?);
        let reloader = Arc::new(Self {
            roles: watch::Sender::new(Arc::clone(&settings.roles)),
            settings,
            in_force: RwLock::new(Arc::clone(&material)),
        });
        let now = SystemTime::now();
        reloader.speak_of(&material, now);
        let is_timely = reloader.settings.files.untimely(&material, now).is_none();
        tokio::spawn(follow(Arc::downgrade(&reloader), contents, is_timely));
        Ok(reloader)
    }

    /// The TLS configuration of the next connection, and the verifier that knows its client afterwards.
    pub(crate) fn connection(&self) -> Result<(Arc<ServerConfig>, Arc<Verifier>), rustls::Error> {
        let material = self.material();
        let roles = Arc::clone(&self.roles.borrow());
        let verifier = Arc::new(Verifier::new(Arc::clone(&material.clients), roles));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::clone(&verifier) as _)
            .with_cert_resolver(Arc::clone(&material.identity) as _);
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Every connection proves anew who it is: a resumed one would not.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok((Arc::new(config), verifier))
    }

    /// Sets the roles. Connections of clients that have another role by them, or none, are closed.
    pub fn set_roles(&self, roles: Arc<Roles>) {
        self.roles.send_replace(roles);
    }

    /// Waits until a client has no longer the role that it had when it connected.
    pub(crate) fn revoked(&self, client: Proved) -> impl Future<Output = ()> + Send + use<> {
        let mut roles = self.roles.subscribe();
        async move {
            while client.stands(&roles.borrow_and_update()) {
                if roles.changed().await.is_err() {
                    // The daemon ends.
                    return std::future::pending().await;
                }
            }
        }
    }

    fn material(&self) -> Arc<Material> {
        Arc::clone(&self.in_force.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn speak_of(&self, material: &Material, now: SystemTime) {
        let files = &self.settings.files;
        if let Some(error) = files.untimely(material, now) {
            tracing::error!("{error}");
        } else if material.validity.ends_within(SOON, now) {
            tracing::warn!(
                "tls.certificate = {:?}: it expires on {}; replace it before then",
                files.certificate,
                material.validity.end()
            );
        }
        if !material.has_alternative_name {
            tracing::warn!(
                "tls.certificate = {:?}: it has no subjectAltName, and clients compare no other \
                 name: make one with DNS: or IP: of this node",
                files.certificate
            );
        }
    }

    /// Takes new contents if they are valid. A certificate that clients would reject does not replace one
    /// that they accept.
    fn renew(&self, contents: &Contents, now: SystemTime) -> Result<(), FilesError> {
        let files = &self.settings.files;
        let material = files.material(contents)?;
        if let Some(error) = files.untimely(&material, now)
            && files.untimely(&self.material(), now).is_none()
        {
            return Err(error);
        }
        tracing::info!(
            "the certificates have changed: new connections get those in {:?}, {:?} and {:?}, the \
             daemon's own is valid until {}",
            files.certificate,
            files.key,
            files.client_ca,
            material.validity.end()
        );
        self.speak_of(&material, now);
        *self
            .in_force
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(material);
        Ok(())
    }
}

/// Runs until its reloader is dropped.
async fn follow(reloader: Weak<Reloader>, mut in_force: Contents, mut was_timely: bool) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Ok(in_force.clone());
    let mut said = None;
    loop {
        ticks.tick().await;
        let Some(reloader) = reloader.upgrade() else {
            return;
        };
        let files = reloader.settings.files.clone();
        let Ok(seen) = tokio::task::spawn_blocking(move || files.read()).await else {
            continue;
        };
        let is_settled = seen == last;
        last = seen.clone();
        if !is_settled {
            continue;
        }
        let now = SystemTime::now();
        let outcome = match seen {
            Ok(contents) if contents == in_force => Ok(()),
            Ok(contents) => reloader.renew(&contents, now).map(|()| in_force = contents),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => said = None,
            // Once for each change, however long it stays so.
            Err(error) => {
                let saying = Some((last.clone(), error.clone()));
                if saying != said {
                    tracing::error!("{error}. The previous certificates stay in use");
                    said = saying;
                }
            }
        }
        let untimely = reloader.settings.files.untimely(&reloader.material(), now);
        if let Some(error) = &untimely
            && was_timely
            && said.is_none()
        {
            tracing::error!("{error}");
        }
        was_timely = untimely.is_none();
    }
}
