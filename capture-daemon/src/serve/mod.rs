//! `captured serve`: the daemon.

use std::{fs, io, sync::Arc};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::interval,
};

pub mod config;
mod descriptors;
mod metrics;
mod watchdog;

use self::config::Config;
use crate::{
    audit,
    grpc::{
        self, ClientMemory, ConnectionLimits, Context, ListenError, Listener, NodeInfo, SocketFile,
    },
    log::LogLevel,
    manager::{BudgetLimits, Manager, ManagerError, ManagerSettings, StoreError},
    signals::EndSignals,
    tls::Reloader,
};
use capture_kernel::{features::Features, own_traffic::OwnEndpoints};
use capture_session::{SessionOptions, attach::Method};
use capture_types::time;

/// Why the daemon cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The state directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The daemon cannot listen for clients.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A listener ended.
    #[error("serving clients failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The data directory cannot be used.
    #[error("data_dir {path:?}: {source}; name a directory that this user may write to")]
    Data {
        /// The directory.
        path: std::path::PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Signals cannot be handled.
    #[error("handling signals: {0}")]
    Signals(io::Error),
}

/// Reads the configuration again.
pub type Reread = Box<dyn Fn() -> Result<Config, String> + Send>;

/// Serves until a signal to end, then ends every capture. `captures` is the runtime of the captures:
/// long work there delays no client.
pub async fn run(
    config: Config,
    reread: Reread,
    log: LogLevel,
    captures: tokio::runtime::Handle,
) -> Result<(), ServeError> {
    let mut ends = EndSignals::without_hang_up().map_err(ServeError::Signals)?;
    let mut hang_ups = signal(SignalKind::hangup()).map_err(ServeError::Signals)?;
    let descriptors = descriptors::raise();
    let clients = descriptors::clients(&config, descriptors);
    remove_leftovers().await;
    make_data_dir(&config)?;
    let manager = Manager::open(ManagerSettings {
        state_dir: config.state_dir.clone(),
        data_dir: config.data_dir.clone(),
        export_state_dir: config.export_state_dir.clone(),
        limits: BudgetLimits {
            descriptors: descriptors::captures(&config, clients, descriptors),
            ..config.limits
        },
        session: SessionOptions {
            own: own_endpoints(&config),
            node: Arc::from(config.node_name.as_str()),
            export_sink: config.export_sink.clone(),
            checkpoints: true,
            ..SessionOptions::default()
        },
        runtime: captures.clone(),
    })
    .await?;
    let context = Context {
        manager: manager.clone(),
        defaults: Arc::new(config.defaults.clone()),
        node: Arc::new(node(&config)),
        log: log.clone(),
        memory: ClientMemory::new(config.client_memory),
        compilers: Arc::default(),
    };
    let mut tasks = JoinSet::new();
    let listeners = listeners(&config, clients).await?;
    for listener in listeners.all {
        tasks.spawn(grpc::serve(context.clone(), listener));
    }
    let recovery = manager.clone();
    captures.spawn(async move { recovery.recover().await });
    let (starter, requests) = (manager.clone(), config.captures.clone());
    captures.spawn(async move { start_configured(&starter, requests).await });
    let disk = manager.clone();
    captures.spawn(async move { disk.watch_disk().await });
    let exports = manager.clone();
    captures.spawn(async move { exports.watch_exports().await });
    let counts = manager.clone();
    captures.spawn(async move { counts.save_counts().await });
    tokio::spawn(async {
        let mut summaries = interval(audit::SUMMARY_INTERVAL);
        loop {
            summaries.tick().await;
            audit::summarize();
        }
    });
    if let Some(address) = config.metrics {
        let manager = manager.clone();
        tokio::spawn(async move {
            // Captures matter more: the daemon continues without its metrics.
            if let Err(error) = metrics::serve(address, manager).await {
                tracing::error!(
                    "metrics.listen {address}: {error}: give another address (--metrics, CAPTURED_METRICS_LISTEN); \
                     capture-export and capture-web have the same one by default"
                );
            }
        });
    }
    tracing::info!("captured {} serves", env!("CARGO_PKG_VERSION"));

    let failed = loop {
        tokio::select! {
            () = ends.next() => break None,
            _ = hang_ups.recv() => reload(&config, &reread, &log, listeners.tls.as_deref()),
            ended = tasks.join_next() => break match ended {
                Some(Ok(Err(error))) => Some(error),
                _ => None,
            },
        }
    };
    tracing::info!(
        "captured is shutting down: captures have {:?} to end",
        config.shutdown_timeout
    );
    tokio::select! {
        () = manager.shut_down(config.shutdown_timeout) => {}
        () = ends.next() => tracing::error!("second signal: ending at once"),
    }
    if let Some(socket) = &listeners.socket {
        socket.remove();
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Reads the configuration again and applies the settings that can change while the daemon runs: the
/// log level, and the roles of clients. Certificates are reloaded without a signal.
fn reload(old: &Config, reread: &Reread, log: &LogLevel, tls: Option<&Reloader>) {
    let new = match reread() {
        Ok(new) => new,
        Err(error) => {
            tracing::error!("the configuration was not reloaded and is unchanged: {error}");
            return;
        }
    };
    if let Err(error) = log.set(&new.log) {
        tracing::error!("{error}");
    }
    if let (Some(tls), Some(settings)) = (tls, &new.tls) {
        tls.set_roles(Arc::clone(&settings.roles));
    }
    let needs_restart = new.needs_restart(old);
    if needs_restart.is_empty() {
        tracing::info!("the configuration was reloaded: log level and roles of clients");
    } else {
        tracing::warn!(
            "the configuration was reloaded: log level and roles of clients; these settings have changed \
             and need a restart: {}",
            needs_restart.join(", ")
        );
    }
}

/// Removes programs that a killed daemon has left attached before anything else, even if nothing is
/// to be captured any more.
async fn remove_leftovers() {
    match rtnetlink::new_connection() {
        Ok((connection, netlink, _)) => {
            let connection = tokio::spawn(connection);
            capture_session::remove_leftovers(&netlink).await;
            connection.abort();
        }
        Err(error) => tracing::warn!("could not look for what a killed daemon left: {error}"),
    }
}

fn make_data_dir(config: &Config) -> Result<(), ServeError> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let path = &config.data_dir;
    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o022 != 0) {
        tracing::warn!(
            "data_dir {}: others may write to it, and could replace captures; run: chmod go-w {}",
            path.display(),
            path.display()
        );
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| ServeError::Data {
            path: path.clone(),
            source,
        })
}

/// The TCP endpoints of this daemon: its captures exclude the connections to them.
fn own_endpoints(config: &Config) -> OwnEndpoints {
    [
        config.tls.as_ref().map(|tls| tls.listen),
        config.insecure_listen,
        config.metrics,
    ]
    .into_iter()
    .flatten()
    .collect()
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

/// The daemon's listeners.
struct Listeners {
    all: Vec<Listener>,
    /// The file to be removed at the end.
    socket: Option<SocketFile>,
    /// Roles and certificates of the listener with TLS.
    tls: Option<Arc<Reloader>>,
}

async fn listeners(config: &Config, limits: ConnectionLimits) -> Result<Listeners, ListenError> {
    let mut listeners = Listeners {
        all: Vec::new(),
        socket: None,
        tls: None,
    };
    if let Some(socket) = &config.socket {
        let (listener, file) = Listener::unix(socket, &config.socket_users, limits)?;
        listeners.all.push(listener);
        listeners.socket = Some(file);
        tracing::info!("listening on {}", socket.display());
    }
    if let Some(name) = &config.abstract_socket {
        match Listener::abstract_unix(name, &config.socket_users, limits) {
            Ok(listener) => {
                listeners.all.push(listener);
                tracing::info!("listening on the abstract socket @{name}");
            }
            // Of several daemons in a network namespace only one has it; clients can use the other
            // listeners.
            Err(error) => tracing::warn!("abstract_socket {name:?} is not served: {error}"),
        }
    }
    if let Some(settings) = &config.tls {
        let (listener, reloader) = Listener::tls(settings.clone(), limits).await?;
        listeners.all.push(listener);
        listeners.tls = Some(reloader);
        tracing::info!(
            "listening on {} for clients with certificates",
            settings.listen
        );
    }
    if let Some(address) = config.insecure_listen {
        listeners
            .all
            .push(Listener::insecure(address, limits).await?);
        tracing::warn!(
            "INSECURE: anyone who reaches {address} can record this node's traffic and read what was \
             recorded; use listen with certificates instead"
        );
    }
    Ok(listeners)
}

/// Starts the captures of the configuration file. A capture that an earlier daemon has started
/// continues, or has ended by a limit; it is not started again.
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
