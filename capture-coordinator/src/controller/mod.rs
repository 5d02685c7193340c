//! The controller: watches resources, pods, nodes and daemons, and carries out the decisions of
//! [`crate::decide`].

mod act;
mod clean;
mod cluster;
mod error;
mod events;
mod finalizer;
mod memory;
mod pause;
mod reconcile;
mod recorder;
mod results;
mod spawned;
mod watch;

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use capture_types::SinkName;
use futures_util::StreamExt as _;
use kube::runtime::{
    controller,
    reflector::{ObjectRef, Store},
};
use tokio::sync::{Semaphore, mpsc, watch as signal};
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::{
    cluster::DaemonPods, metrics::Metrics, nodes::Nodes, request::FileDefaults,
    resource::PacketCaptureConfig,
};

pub use cluster::Cluster;
pub use watch::{Watches, watch};

use memory::Memories;
use spawned::Spawned;

/// Settings of the controller.
#[derive(Debug, Clone)]
pub struct ControllerSettings {
    /// Which pods are the daemons.
    pub daemons: DaemonPods,
    /// The namespace of result ConfigMaps.
    pub namespace: String,
    /// The name of this process in events.
    pub identity: String,
    /// Defaults for files of captures.
    pub files: FileDefaults,
    /// Sinks of the exporter that resources may name.
    pub sinks: Vec<SinkName>,
}

/// State shared by the controller.
pub struct Context {
    pub(crate) client: kube::Client,
    pub(crate) settings: ControllerSettings,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) resources: Store<PacketCaptureConfig>,
    pub(crate) metrics: Metrics,
    memories: Memories,
    recorder: recorder::Recorder,
    writes: Semaphore,
    /// The receiver of triggers while this process leads.
    triggers: Mutex<Option<mpsc::UnboundedSender<ObjectRef<PacketCaptureConfig>>>>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

/// Resources that are reconciled concurrently. Many of them wait for their turn to write a status: a change of a pod
/// must not wait for the statuses of other resources.
const AT_ONCE: u16 = 128;
/// Requests of these reconciles that the API server has to answer concurrently.
const WRITES: usize = 16;

impl Context {
    /// The shared state; nothing runs yet.
    #[must_use]
    pub fn new(
        client: kube::Client,
        settings: ControllerSettings,
        cluster: Arc<Cluster>,
        nodes: Arc<Nodes>,
        resources: Store<PacketCaptureConfig>,
        metrics: Metrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            recorder: recorder::Recorder::new(client.clone(), &settings.identity),
            client,
            settings,
            cluster,
            nodes,
            resources,
            metrics,
            memories: Memories::default(),
            writes: Semaphore::new(WRITES),
            triggers: Mutex::default(),
        })
    }

    /// Triggers a reconcile of resources; no effect if this process does not lead.
    pub(crate) fn trigger(&self, names: &BTreeSet<String>) {
        let triggers = self.triggers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(triggers) = triggers.as_ref() {
            for name in names {
                // Each is accepted at once: the controller keeps one entry per resource.
                let _ = triggers.send(ObjectRef::new(name));
            }
        }
    }

    /// Reports in an event who asked for something through the cluster API.
    pub(crate) async fn asked(&self, resource: &PacketCaptureConfig, note: String) {
        events::asked(self, resource, note).await;
    }

    fn set_triggers(&self, to: Option<mpsc::UnboundedSender<ObjectRef<PacketCaptureConfig>>>) {
        *self.triggers.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }

    /// Acts as the leader until the signal that leadership is lost.
    pub async fn lead(self: &Arc<Self>, mut leads: signal::Receiver<bool>) {
        let (triggers, receiver) = mpsc::unbounded_channel();
        self.set_triggers(Some(triggers));
        self.memories.clear();
        if self.resources.wait_until_ready().await.is_err() {
            return;
        }
        self.trigger(&self.cluster.lock().all());
        let config = controller::Config::default().concurrency(AT_ONCE);
        let queue = UnboundedReceiverStream::new(receiver)
            .map(Ok::<_, Infallible>)
            .take_until(async move {
                let _ = leads.wait_for(|leads| !leads).await;
            });
        let looks = controller::applier(
            |resource, context| Spawned::new(reconcile::reconcile(resource, context)),
            reconcile::on_error,
            Arc::clone(self),
            self.resources.clone(),
            queue,
            config,
        );
        let looks = looks.for_each(async |result| {
            if let Err(controller::Error::ReconcilerFailed(error, object)) = result {
                tracing::warn!("{}: {error}", object.name);
            }
        });
        tokio::select! {
            () = looks => {}
            () = clean::clean(Arc::clone(self)) => {}
            () = self.recorder.run() => {}
        }
        self.set_triggers(None);
    }
}
