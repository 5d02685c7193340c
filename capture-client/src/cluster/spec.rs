//! What to capture on the nodes of a cluster.

use std::collections::BTreeMap;

use capture_proto::v1;

use crate::{
    convert,
    model::{Span, Spec},
};

/// What to capture on the nodes of a cluster.
#[derive(Debug, Clone, Default)]
pub struct ClusterSpec {
    /// Names of nodes; if empty, all, and with `pods` those on which the pods are.
    pub nodes: Vec<String>,
    /// Pods, on whatever node they are. Only in Kubernetes.
    pub pods: Option<PodSelector>,
    /// What each node records, without pods.
    pub capture: Spec,
    /// Labels that nodes must have. Only in Kubernetes.
    pub node_labels: BTreeMap<String, String>,
    /// The capture and its files are deleted so long after its end. Only in Kubernetes.
    pub ttl: Option<Span>,
}

/// Pods by name, by labels, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodSelector {
    /// By name.
    pub names: Vec<PodName>,
    /// Labels that pods must have; they join and leave while the capture runs.
    pub labels: BTreeMap<String, String>,
    /// Namespaces in which the labels are looked for; all if empty. Without labels every pod of these.
    pub namespaces: Vec<String>,
}

/// A pod by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl From<v1::ClusterCaptureSpec> for ClusterSpec {
    fn from(message: v1::ClusterCaptureSpec) -> Self {
        Self {
            nodes: message.nodes,
            pods: message.pods.map(|pods| PodSelector {
                names: pods.names.into_iter().map(pod_name).collect(),
                labels: pods.labels.into_iter().collect(),
                namespaces: pods.namespaces,
            }),
            capture: convert::spec(message.capture.unwrap_or_default()),
            node_labels: message.node_labels.into_iter().collect(),
            ttl: convert::time::span(message.ttl),
        }
    }
}

impl From<ClusterSpec> for v1::ClusterCaptureSpec {
    fn from(spec: ClusterSpec) -> Self {
        let name = |pod: PodName| v1::ClusterPodName {
            namespace: pod.namespace,
            name: pod.name,
        };
        Self {
            nodes: spec.nodes,
            pods: spec.pods.map(|pods| v1::ClusterPodSelector {
                names: pods.names.into_iter().map(name).collect(),
                labels: pods.labels.into_iter().collect(),
                namespaces: pods.namespaces,
            }),
            capture: Some(convert::spec_to_proto(spec.capture)),
            node_labels: spec.node_labels.into_iter().collect(),
            ttl: spec.ttl.map(convert::time::duration),
        }
    }
}

fn pod_name(message: v1::ClusterPodName) -> PodName {
    let namespace = match message.namespace {
        empty if empty.is_empty() => "default".to_owned(),
        namespace => namespace,
    };
    PodName {
        namespace,
        name: message.name,
    }
}
