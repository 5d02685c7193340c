//! The state of one node, and the index of which nodes have a capture: a look at one resource must not cost more in
//! a cluster with more nodes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use capture_client::{Client, model::Capture};

use crate::decide::Link;

/// The state of a node according to its daemon.
#[derive(Debug, Clone, Default)]
pub struct NodeState {
    /// The connection.
    pub link: Link,
    /// Its captures by name, as last reported.
    pub captures: BTreeMap<String, Arc<Capture>>,
    /// The daemon's version.
    pub version: String,
    /// The connection itself.
    pub client: Option<Client>,
}

/// Names of nodes by the name of a capture that they have.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<HashMap<String, BTreeSet<Arc<str>>>>);

impl Places {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, BTreeSet<Arc<str>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The nodes that have a capture of this name, in order.
    pub(super) fn of(&self, capture: &str) -> Vec<String> {
        let places = self.lock();
        let nodes = places.get(capture).into_iter().flatten();
        nodes.map(|node| node.to_string()).collect()
    }

    fn add(&self, capture: &str, node: &Arc<str>) {
        let mut places = self.lock();
        match places.get_mut(capture) {
            Some(nodes) => {
                nodes.insert(Arc::clone(node));
            }
            None => {
                places.insert(capture.to_owned(), BTreeSet::from([Arc::clone(node)]));
            }
        }
    }

    fn remove(&self, capture: &str, node: &str) {
        let mut places = self.lock();
        let Some(nodes) = places.get_mut(capture) else {
            return;
        };
        nodes.remove(node);
        if nodes.is_empty() {
            places.remove(capture);
        }
    }
}

/// A node's state, which its agent updates.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    node: Arc<str>,
    places: Arc<Places>,
    state: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    state: NodeState,
    /// The node is no longer followed: its agent may still be at work for a moment.
    is_dropped: bool,
}

impl Shared {
    pub(super) fn new(node: &str, places: &Arc<Places>) -> Self {
        Self {
            node: node.into(),
            places: Arc::clone(places),
            state: Arc::default(),
        }
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        Locked {
            of: self,
            // Each change is made as a whole.
            kept: self.state.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// A node's state, locked. Its captures are only changed together with the index.
pub(super) struct Locked<'a> {
    of: &'a Shared,
    kept: MutexGuard<'a, Kept>,
}

impl Deref for Locked<'_> {
    type Target = NodeState;

    fn deref(&self) -> &NodeState {
        &self.kept.state
    }
}

impl Locked<'_> {
    /// Sets the connection; `None`: it is broken or not established yet.
    pub(super) fn connect(&mut self, link: Link, client: Option<Client>) {
        self.kept.state.link = link;
        self.kept.state.client = client;
    }

    pub(super) fn set_version(&mut self, version: &str) {
        version.clone_into(&mut self.kept.state.version);
    }

    /// Adds or updates a capture.
    pub(super) fn put(&mut self, capture: Capture) {
        if self.kept.is_dropped {
            return;
        }
        let name = capture.name.clone();
        let old = self
            .kept
            .state
            .captures
            .insert(name.clone(), Arc::new(capture));
        if old.is_none() {
            self.of.places.add(&name, &self.of.node);
        }
    }

    pub(super) fn remove(&mut self, capture: &str) {
        if self.kept.state.captures.remove(capture).is_some() {
            self.of.places.remove(capture, &self.of.node);
        }
    }

    /// Replaces all captures.
    pub(super) fn replace(&mut self, captures: BTreeMap<String, Capture>) {
        let old: Vec<String> = self.captures.keys().cloned().collect();
        for name in old.iter().filter(|name| !captures.contains_key(*name)) {
            self.remove(name);
        }
        for capture in captures.into_values() {
            self.put(capture);
        }
    }

    /// The node is not followed any more.
    pub(super) fn leave(&mut self) {
        self.replace(BTreeMap::new());
        self.kept.is_dropped = true;
    }
}

#[cfg(test)]
mod tests {
    use capture_client::model::{Spec, State};
    use capture_types::PartialLedger;

    use super::*;

    fn captures(names: &[&str]) -> BTreeMap<String, Capture> {
        let own = |&name: &&str| (name.to_owned(), capture(name));
        names.iter().map(own).collect()
    }

    fn capture(name: &str) -> Capture {
        Capture {
            name: name.to_owned(),
            uid: String::new(),
            state: State::Running,
            state_reason: None,
            message: String::new(),
            spec: Spec::default(),
            labels: BTreeMap::new(),
            create_time: None,
            start_time: None,
            end_time: None,
            created_by: String::new(),
            reason: String::new(),
            request_id: String::new(),
            ledger: PartialLedger::default(),
            interfaces: Vec::new(),
            pods: Vec::new(),
            bytes_written: 0,
            files_finished: 0,
            current_file: None,
            warnings: Vec::new(),
            resumed: 0,
            generation: 1,
            export: Vec::new(),
        }
    }

    /// The same by a walk over all nodes.
    fn walk(nodes: &[Shared], capture: &str) -> Vec<String> {
        let has = |node: &&Shared| node.lock().captures.contains_key(capture);
        let found = nodes.iter().filter(has);
        found.map(|node| node.node.to_string()).collect()
    }

    #[test]
    fn the_index_has_what_a_walk_over_all_nodes_finds() {
        let places = Arc::new(Places::default());
        let nodes: Vec<Shared> = ["a", "b", "c"]
            .iter()
            .map(|name| Shared::new(name, &places))
            .collect();
        let same = |step: &str| {
            for name in ["x", "y", "z"] {
                assert_eq!(places.of(name), walk(&nodes, name), "{name} after {step}");
            }
        };
        nodes[0].lock().replace(captures(&["x", "y"]));
        nodes[1].lock().put(capture("x"));
        nodes[1].lock().put(capture("x"));
        assert_eq!(places.of("x"), ["a", "b"]);
        same("a start");
        nodes[0].lock().replace(captures(&["y", "z"]));
        same("another connection");
        nodes[2].lock().remove("x");
        nodes[1].lock().remove("x");
        same("a removal");
        nodes[0].lock().leave();
        same("the end of a node");
        nodes[0].lock().put(capture("x"));
        same("a late report of a node that is gone");
        assert!(places.lock().is_empty(), "nothing is left behind");
    }
}
