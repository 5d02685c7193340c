//! Pods and nodes, reduced to what captures need. The objects themselves are dropped at once: for ten
//! thousand pods they would use a hundred megabytes.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1 as api;
use kube::core::{Selector, SelectorExt as _};

/// Namespace and name.
pub type PodKey = (String, String);

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid, which distinguishes it from other pods of the same name.
    pub uid: String,
    /// Its node; empty until it is scheduled.
    pub node: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Names of its containers.
    pub containers: Vec<String>,
    /// Whether it shares the node's network.
    pub host_network: bool,
    /// Whether it has ended: its addresses may belong to another pod by now.
    pub ended: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The daemon's port, if it is a pod of the recorder.
    pub is_daemon: bool,
}

impl Pod {
    /// Namespace and name.
    #[must_use]
    pub fn key(&self) -> PodKey {
        (self.namespace.clone(), self.name.clone())
    }

    /// Whether it can be captured: it is scheduled and has an address.
    #[must_use]
    pub fn can_be_captured(&self) -> bool {
        !self.ended && !self.node.is_empty() && !self.addresses.is_empty()
    }
}

/// Selects the pods of the recorder's daemons.
#[derive(Debug, Clone)]
pub struct DaemonPods {
    /// Their namespace.
    pub namespace: String,
    /// Their labels.
    pub selector: Selector,
}

impl DaemonPods {
    fn matches(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.namespace == namespace && self.selector.matches(labels)
    }
}

/// Maximum addresses and containers of a pod that a node accepts.
const MOST_ADDRESSES: usize = 16;
const MOST_CONTAINERS: usize = 64;

/// The data of a pod that captures need; `None` without a name.
#[must_use]
pub fn pod(pod: api::Pod, daemons: &DaemonPods) -> Option<Pod> {
    let namespace = pod.metadata.namespace.unwrap_or_default();
    let labels = pod.metadata.labels.unwrap_or_default();
    let spec = pod.spec.unwrap_or_default();
    let status = pod.status.unwrap_or_default();
    let mut addresses: Vec<String> = status
        .pod_ips
        .unwrap_or_default()
        .into_iter()
        .map(|address| address.ip)
        .collect();
    if addresses.is_empty() {
        addresses.extend(status.pod_ip);
    }
    addresses.retain(|address| !address.is_empty());
    addresses.truncate(MOST_ADDRESSES);
    let mut containers: Vec<String> = spec.containers.into_iter().map(|c| c.name).collect();
    containers.truncate(MOST_CONTAINERS);
    Some(Pod {
        is_daemon: daemons.matches(&namespace, &labels),
        name: pod.metadata.name?,
        uid: pod.metadata.uid.unwrap_or_default(),
        node: spec.node_name.unwrap_or_default(),
        host_network: spec.host_network.unwrap_or_default(),
        ended: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
        namespace,
        addresses,
        containers,
        labels,
    })
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its internal address; empty if it has none.
    pub address: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Node {
    /// Whether it has all of these labels.
    #[must_use]
    pub fn has(&self, wanted: &BTreeMap<String, String>) -> bool {
        wanted
            .iter()
            .all(|(key, value)| self.labels.get(key) == Some(value))
    }
}

/// The data of a node that captures need; `None` without a name.
#[must_use]
pub fn node(node: api::Node) -> Option<Arc<Node>> {
    let addresses = node.status.and_then(|status| status.addresses);
    let internal = addresses
        .unwrap_or_default()
        .into_iter()
        .find(|address| address.type_ == "InternalIP");
    Some(Arc::new(Node {
        name: node.metadata.name?,
        address: internal.map(|address| address.address).unwrap_or_default(),
        labels: node.metadata.labels.unwrap_or_default(),
    }))
}
