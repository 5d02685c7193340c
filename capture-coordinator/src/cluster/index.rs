//! An index of the pods and nodes that each resource selects, updated with every change. The cost of a
//! change of a pod depends only on what it affects: no list of all pods, nodes or resources is walked.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use kube::core::SelectorExt as _;

use super::{Node, Pod, PodKey, candidates::Candidates};
use crate::request::{NodeChoice, Selection};

/// The selection of a resource.
#[derive(Debug, Clone)]
pub struct Interest {
    /// Its pods; `None` if it selects nodes, by addresses only.
    pub selection: Option<Selection>,
    /// The nodes.
    pub nodes: NodeChoice,
    /// Whether it also selects nodes without its pods, because it has addresses.
    pub every_node: bool,
}

/// The pods of a resource, by node.
pub type Members = BTreeMap<String, BTreeMap<PodKey, Arc<Pod>>>;

/// A daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Its address.
    pub address: String,
    /// The uid of its pod.
    pub pod_uid: String,
}

#[derive(Debug)]
struct Resource {
    interest: Interest,
    members: Members,
}

/// The state of the cluster.
#[derive(Debug, Default)]
pub struct Index {
    pods: HashMap<PodKey, Arc<Pod>>,
    nodes: BTreeMap<String, Arc<Node>>,
    daemons: BTreeMap<String, Daemon>,
    /// Incremented when daemons appear, disappear or move.
    daemon_changes: u64,
    resources: HashMap<String, Resource>,
    candidates: Candidates,
}

/// Names of resources that a change affects.
pub type Concerned = BTreeSet<String>;

impl Index {
    /// Adds or updates a resource.
    pub fn apply_resource(&mut self, name: &str, interest: Interest) {
        let mut members = Members::new();
        if let Some(selection) = &interest.selection {
            let named = selection.names.iter().filter_map(|key| self.pods.get(key));
            let named: Vec<_> = named.cloned().collect();
            let labelled = self
                .pods
                .values()
                .filter(|pod| by_labels(selection, pod))
                .cloned();
            let labelled: Vec<_> = labelled.collect();
            for pod in named.into_iter().chain(labelled) {
                join(&mut members, pod);
            }
        }
        self.remove_resource(name);
        if let Some(selection) = &interest.selection {
            self.candidates.add(name, selection);
        }
        let resource = Resource { interest, members };
        self.resources.insert(name.to_owned(), resource);
    }

    /// Removes a resource.
    pub fn remove_resource(&mut self, name: &str) {
        let known = self.resources.remove(name);
        if let Some(selection) = known.and_then(|known| known.interest.selection) {
            self.candidates.remove(name, &selection);
        }
    }

    /// Adds or updates a pod. Affects no resource if nothing relevant changed.
    pub fn apply_pod(&mut self, pod: Pod) -> Concerned {
        let key = pod.key();
        if self.pods.get(&key).is_some_and(|known| **known == pod) {
            return Concerned::new();
        }
        let pod = Arc::new(pod);
        let old = self.pods.insert(key, Arc::clone(&pod));
        self.move_pod(old.as_deref(), Some(pod))
    }

    /// Removes a pod.
    pub fn remove_pod(&mut self, key: &PodKey) -> Concerned {
        match self.pods.remove(key) {
            Some(old) => self.move_pod(Some(&old), None),
            None => Concerned::new(),
        }
    }

    /// Removes all pods except these, after a watch was restarted.
    pub fn retain_pods(&mut self, present: &std::collections::HashSet<PodKey>) -> Concerned {
        let gone: Vec<_> = self
            .pods
            .keys()
            .filter(|key| !present.contains(*key))
            .cloned()
            .collect();
        gone.iter().flat_map(|key| self.remove_pod(key)).collect()
    }

    fn move_pod(&mut self, old: Option<&Pod>, new: Option<Arc<Pod>>) -> Concerned {
        let mut concerned = self.move_daemon(old, new.as_deref());
        let both = old.into_iter().chain(new.as_deref());
        let candidates: BTreeSet<&String> = both.flat_map(|pod| self.candidates.of(pod)).collect();
        for name in candidates {
            let Some(resource) = self.resources.get_mut(name) else {
                continue;
            };
            let Some(selection) = &resource.interest.selection else {
                continue;
            };
            let left = old.is_some_and(|old| leave(&mut resource.members, old));
            let joined = match &new {
                Some(pod) if means(selection, pod) => join(&mut resource.members, Arc::clone(pod)),
                _ => false,
            };
            if left || joined {
                concerned.insert(name.clone());
            }
        }
        concerned
    }

    /// Updates the daemons, which are pods themselves.
    fn move_daemon(&mut self, old: Option<&Pod>, new: Option<&Pod>) -> Concerned {
        let mut concerned = Concerned::new();
        if let Some(old) = old.filter(|old| old.is_daemon) {
            let known = self.daemons.get(&old.node);
            let gone = new.is_none_or(|new| !new.can_be_captured() || new.uid != old.uid);
            if gone && known.is_some_and(|daemon| daemon.pod_uid == old.uid) {
                self.daemons.remove(&old.node);
                self.daemon_changes += 1;
                concerned.extend(self.of_node(&old.node));
            }
        }
        if let Some(new) = new.filter(|new| new.is_daemon && new.can_be_captured()) {
            let daemon = Daemon {
                address: new.addresses[0].clone(),
                pod_uid: new.uid.clone(),
            };
            if self.daemons.get(&new.node) != Some(&daemon) {
                self.daemons.insert(new.node.clone(), daemon);
                self.daemon_changes += 1;
                concerned.extend(self.of_node(&new.node));
            }
        }
        concerned
    }

    /// Adds or updates a node.
    pub fn apply_node(&mut self, node: Arc<Node>) -> Concerned {
        let name = node.name.clone();
        if self.nodes.get(&name) == Some(&node) {
            return Concerned::new();
        }
        self.nodes.insert(name.clone(), node);
        self.of_node(&name)
    }

    /// Removes a node.
    pub fn remove_node(&mut self, name: &str) -> Concerned {
        let concerned = self.of_node(name);
        self.nodes.remove(name);
        concerned
    }

    /// Removes all nodes except these.
    pub fn retain_nodes(&mut self, present: &BTreeSet<String>) -> Concerned {
        let gone: Vec<_> = self
            .nodes
            .keys()
            .filter(|name| !present.contains(*name))
            .cloned()
            .collect();
        gone.iter()
            .flat_map(|name| self.remove_node(name))
            .collect()
    }

    /// Resources that a node affects: those with pods there, and those that select nodes.
    #[must_use]
    pub fn of_node(&self, node: &str) -> Concerned {
        self.resources
            .iter()
            .filter(|(_, resource)| {
                resource.interest.every_node || resource.members.contains_key(node)
            })
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// All resources.
    #[must_use]
    pub fn all(&self) -> Concerned {
        self.resources.keys().cloned().collect()
    }

    /// The nodes on which a resource must be captured, each with its pods.
    #[must_use]
    pub fn members(&self, name: &str) -> Members {
        let Some(resource) = self.resources.get(name) else {
            return Members::new();
        };
        let interest = &resource.interest;
        let NodeChoice { labels, .. } = &interest.nodes;
        let selected = |node: &str| {
            let has_labels = || self.nodes.get(node).is_some_and(|node| node.has(labels));
            interest.nodes.names(node) && (labels.is_empty() || has_labels())
        };
        let mut members = Members::new();
        for (node, pods) in resource.members.iter().filter(|(node, _)| selected(node)) {
            members.insert(node.clone(), pods.clone());
        }
        if interest.every_node {
            // A node that is not supposed to have a daemon (a virtual node) is not waited for.
            for node in self.daemons.keys().filter(|node| selected(node)) {
                members.entry(node.clone()).or_default();
            }
        }
        members
    }

    /// Pods that a resource names and that do not exist or have ended.
    #[must_use]
    pub fn missing(&self, name: &str) -> Vec<PodKey> {
        let selection = self
            .resources
            .get(name)
            .and_then(|resource| resource.interest.selection.as_ref());
        let names = selection.map_or(&[][..], |selection| &selection.names);
        names
            .iter()
            .filter(|key| self.pods.get(*key).is_none_or(|pod| pod.ended))
            .cloned()
            .collect()
    }

    /// Pods that a resource names and that no node runs yet.
    #[must_use]
    pub fn pending(&self, name: &str) -> Vec<PodKey> {
        let selection = self
            .resources
            .get(name)
            .and_then(|resource| resource.interest.selection.as_ref());
        let names = selection.map_or(&[][..], |selection| &selection.names);
        names
            .iter()
            .filter(|key| {
                self.pods
                    .get(*key)
                    .is_some_and(|pod| !pod.ended && !pod.can_be_captured())
            })
            .cloned()
            .collect()
    }

    /// A node.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<Arc<Node>> {
        self.nodes.get(name).cloned()
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// The daemon of each node.
    #[must_use]
    pub const fn daemons(&self) -> &BTreeMap<String, Daemon> {
        &self.daemons
    }

    /// Incremented with every change of a daemon.
    #[must_use]
    pub const fn daemon_changes(&self) -> u64 {
        self.daemon_changes
    }

    /// A pod.
    #[must_use]
    pub fn pod(&self, key: &PodKey) -> Option<&Arc<Pod>> {
        self.pods.get(key)
    }

    /// The number of pods.
    #[must_use]
    pub fn pod_count(&self) -> usize {
        self.pods.len()
    }
}

fn means(selection: &Selection, pod: &Pod) -> bool {
    let named = selection
        .names
        .iter()
        .any(|(namespace, name)| *namespace == pod.namespace && *name == pod.name);
    named || by_labels(selection, pod)
}

fn by_labels(selection: &Selection, pod: &Pod) -> bool {
    selection
        .labels
        .as_ref()
        .is_some_and(|(selector, namespaces)| {
            (namespaces.is_empty() || namespaces.contains(&pod.namespace))
                && selector.matches(&pod.labels)
        })
}

/// Whether the pod is captured from now on, or in another way.
fn join(members: &mut Members, pod: Arc<Pod>) -> bool {
    if !pod.can_be_captured() {
        return false;
    }
    let pods = members.entry(pod.node.clone()).or_default();
    pods.insert(pod.key(), pod);
    true
}

/// Whether the pod was captured.
fn leave(members: &mut Members, pod: &Pod) -> bool {
    let Some(pods) = members.get_mut(&pod.node) else {
        return false;
    };
    let was = pods.remove(&pod.key()).is_some();
    if pods.is_empty() {
        members.remove(&pod.node);
    }
    was
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
