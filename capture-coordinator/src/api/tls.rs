//! Connections of clients, over TLS. Renewed certificates are used without a restart.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
        version::TLS13,
    },
};
use tokio_stream::wrappers::ReceiverStream;

use super::connection::Connection;
use crate::settings::Listen;

/// Limit of connections, including those still in the handshake.
const CONNECTIONS: usize = 512;
/// Time limit for a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Listens; yields clients whose TLS handshake is complete.
pub(super) async fn listen(
    listen: &Listen,
) -> Result<ReceiverStream<Result<Connection, std::io::Error>>> {
    let mut files = Files::of(listen);
    files.config().context("the cluster API's certificate")?;
    let listener = TcpListener::bind(listen.address)
        .await
        .with_context(|| format!("listen {}", listen.address))?;
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(accept(listener, files, sender));
    Ok(ReceiverStream::new(receiver))
}

async fn accept(
    listener: TcpListener,
    mut files: Files,
    clients: mpsc::Sender<Result<Connection, std::io::Error>>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let stream: TcpStream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // For example no free descriptors, which is temporary.
                tracing::warn!("accepting a client of the cluster API: {error}");
                sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let config = match files.config() {
            Ok(config) => config,
            Err(error) => {
                tracing::error!("the cluster API's certificate cannot be used: {error:#}");
                continue;
            }
        };
        let clients = clients.clone();
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let handshake = TlsAcceptor::from(config).accept(stream);
            match timeout(HANDSHAKE, handshake).await {
                Ok(Ok(stream)) => {
                    let _ = clients.send(Ok(Connection::new(stream, place))).await;
                }
                Ok(Err(error)) => tracing::debug!("a client of the cluster API: {error}"),
                Err(_) => tracing::debug!("a client of the cluster API: no TLS in {HANDSHAKE:?}"),
            }
        });
    }
}

/// The files of certificate and key, and the configuration last created from them.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    last: Option<(Vec<Option<SystemTime>>, Arc<ServerConfig>)>,
}

impl Files {
    fn of(listen: &Listen) -> Self {
        Self {
            certificate: listen.certificate.clone(),
            key: listen.key.clone(),
            client_ca: listen.client_ca.clone(),
            last: None,
        }
    }

    /// The configuration, created again when a file has changed. If that fails, the last one is kept.
    fn config(&mut self) -> Result<Arc<ServerConfig>> {
        let paths = [
            Some(&self.certificate),
            Some(&self.key),
            self.client_ca.as_ref(),
        ];
        let times: Vec<_> = paths
            .into_iter()
            .flatten()
            .map(|path| fs::metadata(path).and_then(|data| data.modified()).ok())
            .collect();
        if let Some((of, config)) = &self.last
            && *of == times
        {
            return Ok(Arc::clone(config));
        }
        match (self.make(), &self.last) {
            (Ok(config), _) => {
                let config = Arc::new(config);
                self.last = Some((times, Arc::clone(&config)));
                Ok(config)
            }
            (Err(error), Some((_, config))) => {
                tracing::warn!("the last certificate stays in use: {error:#}");
                Ok(Arc::clone(config))
            }
            (Err(error), None) => Err(error),
        }
    }

    fn make(&self) -> Result<ServerConfig> {
        let certificates = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .with_context(|| format!("{} holds no private key in PEM", self.key.display()))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in self::certificates(path)? {
                    roots.add(certificate)?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build()?)
            }
        };
        let mut config = builder.with_single_cert(certificates, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    let certificates =
        certificates.with_context(|| format!("{} holds damaged PEM", path.display()))?;
    ensure!(
        !certificates.is_empty(),
        "{} holds no certificate in PEM",
        path.display()
    );
    Ok(certificates)
}
