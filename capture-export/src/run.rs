//! Runs the exporter: one task follows the manifests, and one task per sink delivers.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

use crate::{
    checkpoint::Ledger,
    follow::{Follower, Snapshot},
    lock,
    metrics::Metrics,
    renewal::Renewal,
    settings::Settings,
    worker::{Patience, Worker},
};

/// A task that panicked starts again after this long.
const AFTER_PANIC: Duration = Duration::from_secs(10);

/// Runs until a signal to end.
///
/// # Errors
/// No sink is configured, or one cannot be made; the state directory or the address of the metrics cannot be used.
pub async fn run(settings: Settings) -> Result<()> {
    if settings.sinks.is_empty() {
        bail!("no sink is configured: add [sink.NAME] to the file given by --config");
    }
    let _lock = lock::lock(&settings.state_dir)?;
    let metrics = Metrics::default();
    let (sender, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let mut tasks = JoinSet::new();
    let mut names = std::collections::HashMap::new();
    for name in settings.sinks.keys() {
        let worker = worker(&settings, name, &snapshots, &metrics)?;
        names.insert(tasks.spawn(worker.run()).id(), name.clone());
    }
    let followed = follow(&settings, sender, metrics.clone());
    let served = serve(&settings, metrics.clone());
    tracing::info!(
        "capture-export {} follows {} for {} sinks",
        env!("CARGO_PKG_VERSION"),
        settings.data_dir.display(),
        names.len()
    );
    let supervised = async {
        while let Some(ended) = tasks.join_next_with_id().await {
            // A task ends only by a fault of this program; the other sinks go on.
            let Err(error) = ended else { continue };
            let Some(name) = names.remove(&error.id()) else {
                continue;
            };
            tracing::error!(sink = name, "the task of the sink failed: {error}");
            metrics.set_up(&name, false);
            tokio::time::sleep(AFTER_PANIC).await;
            let worker = worker(&settings, &name, &snapshots, &metrics)?;
            names.insert(tasks.spawn(worker.run()).id(), name);
        }
        bail!("the tasks of all sinks have ended")
    };
    tokio::select! {
        result = told_to_end() => result,
        result = served => result,
        result = supervised => result,
        () = followed => Ok(()),
    }
}

fn worker(
    settings: &Settings,
    name: &str,
    snapshots: &watch::Receiver<Arc<Snapshot>>,
    metrics: &Metrics,
) -> Result<Worker> {
    let Some(sink) = settings.sinks.get(name) else {
        bail!("sink.{name} is not configured");
    };
    metrics.set_up(name, true);
    let open = {
        let (sink, metrics) = (sink.clone(), metrics.clone());
        let state = settings.state_dir.join("sinks").join(name);
        Box::new(move || sink.open(&state, &metrics))
    };
    let (opened, renewal) =
        Renewal::begin(sink.files(), open).with_context(|| format!("sink.{name}"))?;
    Ok(Worker {
        name: name.to_owned(),
        sink: opened,
        renewal,
        ledger: Ledger::open(&settings.state_dir, name)?,
        route: sink.route(name),
        snapshots: snapshots.clone(),
        state_dir: settings.state_dir.clone(),
        metrics: metrics.clone(),
        patience: Patience {
            longest_wait: settings.longest_wait,
            ..Patience::default()
        },
    })
}

/// Looks at the manifests again and again. A data directory that is missing is waited for.
async fn follow(settings: &Settings, sender: watch::Sender<Arc<Snapshot>>, metrics: Metrics) {
    let mut follower = Follower::new(&settings.data_dir, Arc::new(settings.origin.clone()));
    let mut was_readable = true;
    let mut unknown = BTreeSet::new();
    loop {
        let scanned = tokio::task::block_in_place(|| follower.scan());
        match scanned {
            Ok(snapshot) => {
                metrics.set_scanned(true);
                was_readable = true;
                for (sink, capture) in follower.named() {
                    if !settings.sinks.contains_key(sink.as_str()) && unknown.insert(sink.clone()) {
                        tracing::warn!(
                            "capture {capture:?} names the sink {:?}, which is not configured: add [sink.{sink}] to \
                             the file given by --config",
                            sink.as_str()
                        );
                    }
                }
                sender.send_replace(Arc::new(snapshot));
            }
            Err(error) => {
                metrics.set_scanned(false);
                if was_readable {
                    tracing::warn!(
                        "data_dir {}: {error}; nothing is exported until it can be read",
                        settings.data_dir.display()
                    );
                }
                was_readable = false;
            }
        }
        tokio::time::sleep(settings.interval).await;
    }
}

async fn serve(settings: &Settings, metrics: Metrics) -> Result<()> {
    match settings.metrics {
        Some(address) => capture_metrics::serve(address, metrics, std::future::pending())
            .await
            .with_context(|| {
                format!(
                    "metrics {address}: give another address (--metrics, CAPTURE_EXPORT_METRICS, or METRICS_PORT for the \
                     port alone), or none (--metrics ''); captured and capture-web have the same one by default"
                )
            }),
        None => std::future::pending().await,
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
