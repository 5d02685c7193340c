//! `captured serve`: the daemon.

use std::{fs, io, sync::Arc};

use tokio::task::JoinSet;

pub mod config;
mod metrics;
mod watchdog;

use self::config::Config;
use crate::{
    attach::Method,
    grpc::{self, Context, ListenError, Listener, NodeInfo},
    kernel::features::Features,
    log::LogLevel,
    manager::{Manager, ManagerError, ManagerSettings, StoreError},
    session::{self, SessionOptions},
    signals::EndSignals,
};
use capture_types::time;

/// Why the daemon cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// What it remembers.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Where clients come in.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A listener ended.
    #[error("serving clients failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The data directory.
    #[error("data_dir {path:?}: {source}; name a directory that this user may write to")]
    Data {
        /// The directory.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Signals.
    #[error("handling signals: {0}")]
    Signals(io::Error),
}

/// Serves until a signal says that it is enough, then ends every capture in order.
pub async fn run(config: Config, log: LogLevel) -> Result<(), ServeError> {
    let mut ends = EndSignals::new().map_err(ServeError::Signals)?;
    remove_leftovers().await;
    make_data_dir(&config)?;
    let manager = Manager::open(ManagerSettings {
        state_dir: config.state_dir.clone(),
        data_dir: config.data_dir.clone(),
        limits: config.limits,
        session: SessionOptions::default(),
    })
    .await?;
    let context = Context {
        manager: manager.clone(),
        defaults: Arc::new(config.defaults.clone()),
        node: Arc::new(node(&config)),
        log,
    };
    let mut tasks = JoinSet::new();
    for listener in listeners(&config).await? {
        tasks.spawn(grpc::serve(context.clone(), listener));
    }
    let starter = manager.clone();
    tokio::spawn(async move {
        starter.resume().await;
        start_configured(&starter, config.captures).await;
    });
    let disk = manager.clone();
    tokio::spawn(async move { disk.watch_disk().await });
    if let Some(address) = config.metrics {
        let manager = manager.clone();
        tokio::spawn(async move {
            // Captures matter more: the daemon goes on without its metrics.
            if let Err(error) = metrics::serve(address, manager).await {
                tracing::error!("metrics.listen {address}: {error}");
            }
        });
    }
    tracing::info!("captured {} serves", env!("CARGO_PKG_VERSION"));

    let failed = tokio::select! {
        () = ends.next() => None,
        ended = tasks.join_next() => match ended {
            Some(Ok(Err(error))) => Some(error),
            _ => None,
        },
    };
    tracing::info!(
        "captured ends: captures have {:?} to end",
        config.shutdown_timeout
    );
    tokio::select! {
        () = manager.shut_down(config.shutdown_timeout) => {}
        () = ends.next() => tracing::error!("told to end a second time: ending at once"),
    }
    if let Some(socket) = &config.socket {
        // The next daemon would remove it as well.
        let _ = fs::remove_file(socket);
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// What a killed daemon has left attached goes before anything else, also when nothing is to be
/// captured any more.
async fn remove_leftovers() {
    match rtnetlink::new_connection() {
        Ok((connection, netlink, _)) => {
            let connection = tokio::spawn(connection);
            session::remove_leftovers(&netlink).await;
            connection.abort();
        }
        Err(error) => tracing::warn!("could not look for what a killed daemon left: {error}"),
    }
}

fn make_data_dir(config: &Config) -> Result<(), ServeError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let path = &config.data_dir;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| ServeError::Data {
            path: path.clone(),
            source,
        })
}

fn node(config: &Config) -> NodeInfo {
    let features = Features::probe().map_err(|error| error.to_string());
    if let Err(error) = &features {
        tracing::error!("no capture can be started on this node: {error}");
    }
    let method = features
        .as_ref()
        .ok()
        .and_then(|features| Method::choose(None, features).ok());
    NodeInfo {
        name: config.node_name.clone(),
        started: time::now(),
        features,
        attach_method: match method {
            Some(Method::Tcx) => "tcx",
            Some(Method::Clsact) => "clsact",
            None => "",
        },
    }
}

async fn listeners(config: &Config) -> Result<Vec<Listener>, ListenError> {
    let mut listeners = Vec::new();
    if let Some(socket) = &config.socket {
        listeners.push(Listener::unix(
            socket,
            &config.socket_users,
            config.clients,
        )?);
        tracing::info!("clients may come to {}", socket.display());
    }
    if let Some(settings) = &config.tls {
        listeners.push(Listener::tls(settings.clone(), config.clients).await?);
        tracing::info!("clients with certificates may come to {}", settings.listen);
    }
    if let Some(address) = config.insecure_listen {
        listeners.push(Listener::insecure(address, config.clients).await?);
        tracing::warn!(
            "INSECURE: anyone who reaches {address} can record this node's traffic and read what was \
             recorded; listen with certificates is the safe way"
        );
    }
    Ok(listeners)
}

/// Captures of the configuration file. One that an earlier daemon has started goes on, or has ended
/// by a limit of its own; it is not started anew.
async fn start_configured(manager: &Manager, requests: Vec<crate::manager::CaptureRequest>) {
    for request in requests {
        let name = request.spec.name.to_string();
        match manager.start(request).await {
            Ok(_) => {}
            Err(ManagerError::ShuttingDown) => return,
            Err(error) => tracing::error!("capture {name} of the configuration: {error}"),
        }
    }
}
