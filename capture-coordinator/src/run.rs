//! Runs the coordinator from start to end.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use kube::runtime::reflector;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch as flag,
};

use crate::{
    api, authority,
    cluster::DaemonPods,
    controller::{self, Cluster, Context, ControllerSettings},
    fixed,
    lease::Election,
    metrics::{self, Current, Metrics},
    nodes::Nodes,
    settings::{Listen, Settings},
};

/// Runs until a signal to end.
///
/// # Errors
/// The API server cannot be configured, or an address cannot be listened on.
pub async fn run(settings: Settings) -> Result<()> {
    match &settings.nodes {
        Some(path) => run_fixed(&settings, path).await,
        None => run_in_cluster(settings).await,
    }
}

/// Returns when the process is told to end.
async fn told_to_end() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("handling signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("handling signals")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Serves the cluster API over the nodes of a list.
async fn run_fixed(settings: &Settings, path: &Path) -> Result<()> {
    let (nodes, mut changes) = Nodes::new(settings.reach.clone());
    nodes.follow(&fixed::read(path)?, |_| true);
    let (cluster, metrics) = (Cluster::default(), Metrics::default());
    let served = {
        let nodes = Arc::clone(&nodes);
        let current = move || current(&cluster, &nodes);
        serve_metrics(settings, metrics, current, || true)
    };
    // Nobody acts on changes here.
    let drained = async { while changes.recv().await.is_some() {} };
    tracing::info!("capture-coordinator {} runs", env!("CARGO_PKG_VERSION"));
    tokio::select! {
        result = told_to_end() => result,
        result = serve_api(settings.listen.as_ref(), Arc::clone(&nodes), None) => result,
        result = served => result,
        () = drained => Ok(()),
    }
}

async fn serve_api(
    listen: Option<&Listen>,
    nodes: Arc<Nodes>,
    context: Option<Arc<Context>>,
) -> Result<()> {
    match listen {
        Some(listen) => api::serve(listen, nodes, context).await,
        None => std::future::pending().await,
    }
}

async fn run_in_cluster(settings: Settings) -> Result<()> {
    let client = kube::Client::try_default()
        .await
        .context("finding the API server: run it in a pod, or set KUBECONFIG")?;
    let namespace = settings
        .namespace
        .clone()
        .unwrap_or_else(|| client.default_namespace().to_owned());
    let (nodes, changes) = Nodes::new(settings.reach.clone());
    let cluster = Arc::new(Cluster::default());
    let (resources, writer) = reflector::store();
    let metrics = Metrics::default();
    let controller = ControllerSettings {
        daemons: DaemonPods {
            namespace: settings
                .daemon_namespace
                .clone()
                .unwrap_or_else(|| namespace.clone()),
            selector: settings.daemon_selector.clone(),
        },
        namespace: namespace.clone(),
        identity: settings.identity.clone(),
        files: settings.files,
        sinks: settings.sinks.clone(),
    };
    let context = Context::new(
        client.clone(),
        controller,
        Arc::clone(&cluster),
        Arc::clone(&nodes),
        resources,
        metrics.clone(),
    );
    let mut watches = controller::watch(&context, writer, changes);
    let served = {
        let (cluster, nodes) = (Arc::clone(&cluster), Arc::clone(&nodes));
        let current = move || current(&cluster, &nodes);
        serve_metrics(&settings, metrics.clone(), current, watches.readiness())
    };
    let published = publish_authority(&settings, &context, &namespace);
    let election = settings
        .lease
        .as_ref()
        .map(|name| Election::new(client, &namespace, name, &settings.identity));
    let answering = serve_api(
        settings.listen.as_ref(),
        Arc::clone(&nodes),
        Some(Arc::clone(&context)),
    );
    let leading = lead(&context, &metrics, election.as_ref());
    tracing::info!("capture-coordinator {} runs", env!("CARGO_PKG_VERSION"));
    tokio::select! {
        result = told_to_end() => result?,
        result = answering => result?,
        () = watches.ended() => anyhow::bail!("a watch of the API server ended"),
        result = served => result?,
        () = published => {}
        () = leading => {}
    }
    if let Some(election) = election
        && let Err(error) = election.release().await
    {
        tracing::warn!("the lease is not given back, and runs out by itself: {error}");
    }
    Ok(())
}

/// Publishes the authority of the cluster API in a ConfigMap for users.
async fn publish_authority(settings: &Settings, context: &Context, namespace: &str) {
    let authority = settings
        .listen
        .as_ref()
        .and_then(|listen| listen.ca.as_ref());
    let (Some(file), Some(lease)) = (authority, &settings.lease) else {
        return std::future::pending().await;
    };
    let name = format!("{lease}-ca");
    authority::publish(context.client.clone(), namespace, &name, file).await;
}

async fn serve_metrics(
    settings: &Settings,
    metrics: Metrics,
    current: impl Fn() -> Current + Send + Sync + 'static,
    ready: impl Fn() -> bool + Send + Sync + 'static,
) -> Result<()> {
    match settings.metrics {
        Some(address) => metrics::serve(address, metrics, current, ready)
            .await
            .with_context(|| {
                format!(
                    "metrics {address}: give another address (--metrics, CAPTURE_COORDINATOR_METRICS), or none \
                     (--metrics '')"
                )
            }),
        None => std::future::pending().await,
    }
}

fn current(cluster: &Cluster, nodes: &Nodes) -> Current {
    let (resources, pods) = {
        let cluster = cluster.lock();
        (cluster.all().len(), cluster.pod_count())
    };
    let names = nodes.names();
    let connected = names
        .iter()
        .filter(|name| nodes.client(name).is_some())
        .count();
    Current {
        resources,
        pods,
        connected,
        not_connected: names.len() - connected,
    }
}

/// Leads whenever this process is elected.
async fn lead(context: &Arc<Context>, metrics: &Metrics, election: Option<&Election>) {
    let (leads, _) = flag::channel(false);
    loop {
        if let Some(election) = election {
            election.acquire().await;
            tracing::info!("this coordinator leads");
        }
        leads.send_replace(true);
        metrics.set_leads(true);
        let hold = async {
            match election {
                Some(election) => election.hold().await,
                None => std::future::pending().await,
            }
        };
        let work = context.lead(leads.subscribe());
        tokio::pin!(hold, work);
        tokio::select! {
            () = &mut hold => {
                leads.send_replace(false);
                // Work in progress has a moment to end; the rest is dropped.
                let _ = tokio::time::timeout(std::time::Duration::from_secs(2), &mut work).await;
            }
            () = &mut work => {}
        }
        metrics.set_leads(false);
        if election.is_none() {
            return;
        }
    }
}
