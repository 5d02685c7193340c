//! Feeds the index: one watch each of resources, pods and nodes, and the daemons' reports. After the start
//! nothing is listed again unless a watch breaks.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1 as api;
use kube::{
    Api, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        reflector::store::Writer,
        watcher::{self, Event, watcher},
    },
};
use tokio::{
    sync::{mpsc, watch as signal},
    task::JoinSet,
};

use super::{Context, pause::Pause};
use crate::{
    cluster::{Interest, node, pod},
    decide::LABEL_RESOURCE,
    nodes::Change,
    request::Plan,
    resource::PacketCaptureConfig,
};

/// The watches, which run until they are dropped.
#[derive(Debug)]
pub struct Watches {
    tasks: JoinSet<()>,
    ready: signal::Receiver<Ready>,
}

/// Which lists have been read.
#[derive(Debug, Clone, Copy, Default)]
struct Ready {
    resources: bool,
    pods: bool,
    nodes: bool,
}

impl Watches {
    /// Whether everything has been listed once.
    #[must_use]
    pub fn are_ready(&self) -> bool {
        let ready = *self.ready.borrow();
        ready.resources && ready.pods && ready.nodes
    }

    /// Signals when everything has been listed once.
    pub fn readiness(&self) -> impl Fn() -> bool + Send + Sync + Clone + use<> {
        let ready = self.ready.clone();
        move || {
            let ready = *ready.borrow();
            ready.resources && ready.pods && ready.nodes
        }
    }

    /// Waits until everything has been listed once.
    pub async fn wait(&self) {
        let mut ready = self.ready.clone();
        let all = |ready: &Ready| ready.resources && ready.pods && ready.nodes;
        let _ = ready.wait_for(all).await;
    }

    /// Returns when a watch has ended, which is a fault of this program.
    pub async fn ended(&mut self) {
        let _ = self.tasks.join_next().await;
    }
}

/// Starts the watches.
pub fn watch(
    context: &Arc<Context>,
    resources: Writer<PacketCaptureConfig>,
    changes: mpsc::Receiver<Change>,
) -> Watches {
    let (sender, ready) = signal::channel(Ready::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(watch_resources(
        Arc::clone(context),
        resources,
        sender.clone(),
    ));
    tasks.spawn(watch_pods(Arc::clone(context), sender.clone()));
    tasks.spawn(watch_nodes(Arc::clone(context), sender));
    tasks.spawn(take_changes(Arc::clone(context), changes));
    Watches { tasks, ready }
}

async fn watch_resources(
    context: Arc<Context>,
    writer: Writer<PacketCaptureConfig>,
    ready: signal::Sender<Ready>,
) {
    let api = Api::<PacketCaptureConfig>::all(context.client.clone());
    let events = watcher(api, watcher::Config::default())
        .backoff(Pause::default())
        .modify(|resource| {
            resource.metadata.managed_fields = None;
        })
        .reflect(writer);
    let mut events = Box::pin(events);
    let mut present = BTreeSet::new();
    let mut wishes = Wishes::default();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => {
                present.clear();
                wishes = Wishes::default();
            }
            Ok(Event::InitApply(resource)) => {
                present.insert(resource.name_any());
                wishes.has_changed(&resource);
                note(&context, &resource);
            }
            Ok(Event::InitDone) => {
                let known = context.cluster.lock().all();
                for name in known.difference(&present) {
                    forget(&context, name);
                }
                ready.send_modify(|ready| ready.resources = true);
                context.trigger(&present);
            }
            Ok(Event::Apply(resource)) => {
                if wishes.has_changed(&resource) {
                    note(&context, &resource);
                    context.trigger(&BTreeSet::from([resource.name_any()]));
                }
            }
            Ok(Event::Delete(resource)) => {
                wishes.0.remove(&resource.name_any());
                forget(&context, &resource.name_any());
            }
            Err(error) => tracing::warn!("watching resources: {error}"),
        }
    }
}

/// What people want of each resource, as a digest. A status is not a part of it: the leader has just written it
/// itself, and a look at it would walk all pods for nothing.
#[derive(Default)]
struct Wishes(HashMap<String, u64>, RandomState);

impl Wishes {
    /// Whether it differs from the last one.
    fn has_changed(&mut self, resource: &PacketCaptureConfig) -> bool {
        let metadata = &resource.metadata;
        let deleted = metadata.deletion_timestamp.as_ref();
        let wish = self.1.hash_one((
            (&metadata.uid, metadata.generation),
            deleted.map(|time| time.0.as_second()),
            (&metadata.annotations, &metadata.finalizers),
        ));
        self.0.insert(resource.name_any(), wish) != Some(wish)
    }
}

/// Updates the selection of a resource.
fn note(context: &Context, resource: &PacketCaptureConfig) {
    let interest = match Plan::new(&resource.spec, context.settings.files) {
        Ok(plan) => Interest {
            every_node: plan.selection.is_none() || !plan.targets.is_empty(),
            nodes: plan.nodes(),
            selection: plan.selection,
        },
        Err(_) => Interest {
            selection: None,
            nodes: Default::default(),
            every_node: false,
        },
    };
    context
        .cluster
        .lock()
        .apply_resource(&resource.name_any(), interest);
}

fn forget(context: &Context, name: &str) {
    context.cluster.lock().remove_resource(name);
    context.memories.forget(name);
}

async fn watch_pods(context: Arc<Context>, ready: signal::Sender<Ready>) {
    let pods = Api::<api::Pod>::all(context.client.clone());
    let events = watcher(pods, watcher::Config::default()).backoff(Pause::default());
    let mut events = Box::pin(events);
    let mut followed = 0;
    let mut present = HashSet::new();
    while let Some(event) = events.next().await {
        let concerned = match event {
            Ok(Event::Init) => {
                present.clear();
                continue;
            }
            Ok(Event::InitApply(object)) => {
                let Some(pod) = pod(object, &context.settings.daemons) else {
                    continue;
                };
                present.insert(pod.key());
                context.cluster.lock().apply_pod(pod)
            }
            Ok(Event::InitDone) => {
                let concerned = context.cluster.lock().retain_pods(&present);
                present = HashSet::new();
                ready.send_modify(|ready| ready.pods = true);
                concerned
            }
            Ok(Event::Apply(object)) => {
                let Some(pod) = pod(object, &context.settings.daemons) else {
                    continue;
                };
                context.cluster.lock().apply_pod(pod)
            }
            Ok(Event::Delete(object)) => {
                let key = (object.namespace().unwrap_or_default(), object.name_any());
                context.cluster.lock().remove_pod(&key)
            }
            Err(error) => {
                tracing::warn!("watching pods: {error}");
                continue;
            }
        };
        follow_daemons(&context, &mut followed);
        context.trigger(&concerned);
    }
}

async fn watch_nodes(context: Arc<Context>, ready: signal::Sender<Ready>) {
    let nodes = Api::<api::Node>::all(context.client.clone());
    let events = watcher(nodes, watcher::Config::default()).backoff(Pause::default());
    let mut events = Box::pin(events);
    let mut present = BTreeSet::new();
    while let Some(event) = events.next().await {
        let concerned = match event {
            Ok(Event::Init) => {
                present.clear();
                continue;
            }
            Ok(Event::InitApply(object)) => {
                let Some(node) = node(object) else { continue };
                present.insert(node.name.clone());
                context.cluster.lock().apply_node(node)
            }
            Ok(Event::InitDone) => {
                let concerned = context.cluster.lock().retain_nodes(&present);
                ready.send_modify(|ready| ready.nodes = true);
                concerned
            }
            Ok(Event::Apply(object)) => {
                let Some(node) = node(object) else { continue };
                context.cluster.lock().apply_node(node)
            }
            Ok(Event::Delete(object)) => context.cluster.lock().remove_node(&object.name_any()),
            Err(error) => {
                tracing::warn!("watching nodes: {error}");
                continue;
            }
        };
        context.trigger(&concerned);
    }
}

/// Connects to daemons that are new, if there are any.
fn follow_daemons(context: &Context, followed: &mut u64) {
    let cluster = context.cluster.lock();
    if *followed != cluster.daemon_changes() {
        *followed = cluster.daemon_changes();
        context
            .nodes
            .follow(cluster.daemons(), |node| cluster.node(node).is_some());
    }
}

/// Converts the daemons' changes to the resources that they affect.
async fn take_changes(context: Arc<Context>, mut changes: mpsc::Receiver<Change>) {
    let mut looked = HashMap::new();
    while let Some(change) = changes.recv().await {
        let concerned = match change {
            Change::Link { node } => {
                let mut concerned = context.cluster.lock().of_node(&node);
                if let Some(state) = context.nodes.get(&node) {
                    let of_resources = state
                        .captures
                        .values()
                        .filter_map(|capture| capture.labels.get(LABEL_RESOURCE).cloned());
                    concerned.extend(of_resources);
                }
                concerned
            }
            // Numbers are written now and then, and with whatever else changes.
            Change::Capture {
                ref capture,
                numbers: true,
                ..
            } if !is_due(&mut looked, capture) => continue,
            Change::Capture { node, capture, .. } => {
                let known = context
                    .nodes
                    .view(&node, &capture)
                    .and_then(|(_, known)| known);
                let label = known.and_then(|known| known.labels.get(LABEL_RESOURCE).cloned());
                // A capture without a resource has the resource's name, unless that is very long.
                BTreeSet::from([label.unwrap_or(capture)])
            }
        };
        context.trigger(&concerned);
    }
}

/// How often numbers of a capture are looked at, and how many captures are remembered for that.
const NUMBERS: Duration = Duration::from_secs(5);
const REMEMBERED: usize = 4096;

/// Whether numbers of captures of this name were not looked at lately.
fn is_due(looked: &mut HashMap<String, Instant>, capture: &str) -> bool {
    if looked.len() >= REMEMBERED {
        looked.retain(|_, at| at.elapsed() < NUMBERS);
    }
    let is_due = looked.get(capture).is_none_or(|at| at.elapsed() >= NUMBERS);
    if is_due {
        looked.insert(capture.to_owned(), Instant::now());
    }
    is_due
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::PacketCaptureConfigStatus;

    #[test]
    fn a_status_is_no_reason_to_look_at_a_resource_again() {
        let spec = serde_json::json!({ "targetIPs": ["10.0.0.1"] });
        let mut resource = PacketCaptureConfig::new("web", serde_json::from_value(spec).unwrap());
        resource.metadata.generation = Some(1);
        let mut wishes = Wishes::default();
        assert!(wishes.has_changed(&resource), "it is new");
        resource.status = Some(PacketCaptureConfigStatus::default());
        resource.metadata.resource_version = Some("2".to_owned());
        assert!(!wishes.has_changed(&resource), "only the status");
        resource.metadata.generation = Some(2);
        assert!(wishes.has_changed(&resource), "the spec");
        resource.metadata.annotations = Some([("a".to_owned(), "b".to_owned())].into());
        assert!(wishes.has_changed(&resource), "an annotation");
        resource.metadata.finalizers = Some(vec!["f".to_owned()]);
        assert!(wishes.has_changed(&resource), "a finalizer");
        resource.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
                k8s_openapi::jiff::Timestamp::from_second(1).unwrap(),
            ));
        assert!(wishes.has_changed(&resource), "a deletion");
        resource.metadata.uid = Some("another".to_owned());
        assert!(
            wishes.has_changed(&resource),
            "another resource of the name"
        );
        assert!(!wishes.has_changed(&resource));
    }
}
