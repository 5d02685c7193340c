//! The pods of a capture: where each is captured, and when to search for the others.

mod looks;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use self::looks::Looks;
use crate::interfaces::{Interface, Located};
use capture_pipeline::packet::InterfaceDescription;
use capture_types::{Directions, Pod, PodAddresses, PodAttachment, PodId, PodSelection, PodState};

/// A pod has its address when its network is complete. If the address is on no interface after this
/// long, it never will be: the pod's interface has no other end on the node.
const SETTLED: Duration = Duration::from_secs(5);

/// The pods of a capture.
#[derive(Debug)]
pub(super) struct Pods {
    entries: Vec<Entry>,
    /// Whether a packet between two pods is kept at only one of their interfaces.
    keeps_once: bool,
    /// Whether packets that interfaces receive, which pods send, are captured.
    sees_sent: bool,
    node: Arc<str>,
    pub(super) looks: Looks,
    /// Why the kernel could not be queried for addresses.
    trouble: Option<String>,
}

#[derive(Debug)]
struct Entry {
    pod: Pod,
    place: Place,
    /// Since when it has been without an interface.
    since: Instant,
    /// Whether it once had a host-side interface.
    had_interface: bool,
    /// Why its interface could not be joined.
    failure: Option<String>,
}

/// Where a pod is captured.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Nowhere,
    /// At its own host-side interface.
    Interface {
        ifindex: u32,
        name: String,
    },
    /// By address: its interface has no other end here. The kind of the interface, if known.
    Apart(Option<String>),
    /// By address: it shares the node's.
    Here,
    /// By address: it is on no interface.
    Unseen,
}

impl Entry {
    const fn new(pod: Pod, now: Instant) -> Self {
        Self {
            pod,
            place: Place::Nowhere,
            since: now,
            had_interface: false,
            failure: None,
        }
    }

    const fn is_by_address(&self) -> bool {
        matches!(self.place, Place::Apart(_) | Place::Here | Place::Unseen)
    }

    const fn ifindex(&self) -> Option<u32> {
        match self.place {
            Place::Interface { ifindex, .. } => Some(ifindex),
            _ => None,
        }
    }

    /// Whether a host-side interface may still appear.
    fn is_looked_for(&self) -> bool {
        !self.pod.host_network && self.ifindex().is_none() && !self.pod.addresses.is_empty()
    }

    fn leaves_interface(&mut self, now: Instant) {
        self.place = Place::Nowhere;
        self.since = now;
        self.had_interface = true;
        self.failure = None;
    }
}

impl Pods {
    pub(super) fn new(selection: PodSelection, directions: Directions, node: Arc<str>) -> Self {
        let now = Instant::now();
        let mut pods = Self {
            entries: Vec::new(),
            keeps_once: false,
            sees_sent: directions != Directions::Out,
            node,
            looks: Looks::new(now),
            trouble: None,
        };
        pods.set(selection, now);
        pods
    }

    /// Replaces the pods; the state of remaining ones is kept. The caller searches for the others.
    pub(super) fn set(&mut self, selection: PodSelection, now: Instant) {
        let entries = std::mem::take(&mut self.entries).into_iter();
        let mut known: HashMap<PodId, Entry> =
            entries.map(|entry| (entry.pod.id.clone(), entry)).collect();
        let entry = |pod: Pod| match known.remove(&pod.id) {
            Some(mut entry) => {
                let is_same = entry.pod.addresses == pod.addresses
                    && entry.pod.host_network == pod.host_network;
                if !is_same {
                    entry.place = Place::Nowhere;
                    entry.since = now;
                    entry.failure = None;
                }
                entry.pod = pod;
                entry
            }
            None => Entry::new(pod, now),
        };
        self.entries = selection.pods.into_iter().map(entry).collect();
        self.keeps_once = !selection.every_interface && self.sees_sent;
        self.looks.something_changed(now);
    }

    /// The addresses to search for.
    pub(super) fn wanted(&self) -> BTreeSet<IpAddr> {
        let looked_for = self.entries.iter().filter(|entry| entry.is_looked_for());
        looked_for
            .flat_map(|entry| entry.pod.addresses.iter().copied())
            .collect()
    }

    /// Updates the locations of addresses, and the existing interfaces.
    pub(super) fn found(
        &mut self,
        located: Result<HashMap<IpAddr, Located>, String>,
        interfaces: &[Interface],
        began: Instant,
        now: Instant,
    ) {
        let names: HashMap<u32, &str> = interfaces
            .iter()
            .map(|interface| (interface.ifindex, interface.name.as_str()))
            .collect();
        for entry in &mut self.entries {
            if entry
                .ifindex()
                .is_some_and(|ifindex| !names.contains_key(&ifindex))
            {
                entry.leaves_interface(now);
            }
        }
        self.trouble = located.as_ref().err().cloned();
        if let Ok(located) = located {
            for entry in &mut self.entries {
                if entry.ifindex().is_none() {
                    entry.place = place(entry, &located, &names, now);
                    entry.had_interface |= entry.ifindex().is_some();
                }
            }
        }
        let waits =
            |entry: &&Entry| entry.is_looked_for() && !matches!(entry.place, Place::Apart(_));
        let waiting: Vec<&Entry> = self.entries.iter().filter(waits).collect();
        let settles = waiting
            .iter()
            .filter(|entry| entry.place == Place::Nowhere && !entry.had_interface)
            .map(|entry| entry.since + SETTLED)
            .min();
        let waits = !waiting.is_empty() || self.trouble.is_some();
        self.looks.looked(began, now, waits, settles);
    }

    /// Handles the removal of an interface.
    pub(super) fn gone(&mut self, ifindex: u32, now: Instant) {
        for entry in &mut self.entries {
            if entry.ifindex() == Some(ifindex) {
                entry.leaves_interface(now);
            }
        }
    }

    /// A link has changed: pods without an interface may have one now.
    pub(super) fn link_changed(&mut self, now: Instant) {
        if self.entries.iter().any(Entry::is_looked_for) {
            self.looks.something_changed(now);
        }
    }

    /// Records that an interface could not be joined.
    pub(super) fn failed(&mut self, ifindex: u32, error: &str) {
        for entry in &mut self.entries {
            if entry.ifindex() == Some(ifindex) {
                entry.failure = Some(error.to_owned());
            }
        }
    }

    /// The pod whose host-side interface this is.
    pub(super) fn at(&self, ifindex: u32) -> Option<&Pod> {
        let mut entries = self.entries.iter();
        let entry = entries.find(|entry| entry.ifindex() == Some(ifindex))?;
        Some(&entry.pod)
    }

    /// Whether any pod is captured by address.
    pub(super) fn any_by_address(&self) -> bool {
        self.entries.iter().any(Entry::is_by_address)
    }

    /// The addresses for the programs to look up.
    pub(super) fn addresses(&self) -> PodAddresses {
        let of = |counts: &dyn Fn(&Entry) -> bool| {
            let entries = self.entries.iter().filter(|entry| counts(entry));
            let addresses = entries.flat_map(|entry| entry.pod.addresses.iter().copied());
            addresses.collect::<BTreeSet<_>>()
        };
        PodAddresses {
            at_interfaces: self.addresses_at(|_| true),
            by_address: of(&Entry::is_by_address),
            all: of(&|_| true),
        }
    }

    /// The addresses of pods whose packets are kept only at their interfaces, for interfaces for which
    /// `counts` holds.
    pub(super) fn addresses_at(&self, counts: impl Fn(u32) -> bool) -> BTreeSet<IpAddr> {
        let counts = |entry: &&Entry| {
            self.keeps_once && entry.failure.is_none() && entry.ifindex().is_some_and(&counts)
        };
        let entries = self.entries.iter().filter(counts);
        let addresses = entries.flat_map(|entry| entry.pod.addresses.iter().copied());
        addresses.collect()
    }

    /// The names of addresses. The node's address is not used as the name of one pod.
    pub(super) fn names(&self) -> Vec<(IpAddr, String)> {
        let mut known = HashSet::new();
        let mut names = Vec::new();
        for entry in &self.entries {
            if entry.pod.host_network || entry.place == Place::Here {
                continue;
            }
            let addresses = entry.pod.addresses.iter();
            for address in addresses.filter(|address| known.insert(**address)) {
                names.push((*address, entry.pod.id.host_name()));
            }
        }
        names
    }

    /// Adds the pod of an interface to its description.
    pub(super) fn describe(&self, description: &mut InterfaceDescription) {
        let Some(pod) = self.at(description.ifindex) else {
            return;
        };
        let containers = pod.containers.join(",");
        let mut text = format!("pod {}", pod.id);
        let mut comment = Vec::new();
        if !self.node.is_empty() {
            text.push_str(&format!(" on node {}", self.node));
            comment.push(format!("node={}", self.node));
        }
        comment.push(format!("namespace={}", pod.id.namespace));
        comment.push(format!("pod={}", pod.id.name));
        if !pod.id.uid.is_empty() {
            comment.push(format!("uid={}", pod.id.uid));
        }
        if !containers.is_empty() {
            text.push_str(&format!(", containers {containers}"));
            comment.push(format!("containers={containers}"));
        }
        if !description.description.is_empty() {
            text.push_str(&format!(", {}", description.description));
        }
        description.description = text;
        description.comment = comment.join("\n");
    }

    /// The state of each pod, in their order.
    pub(super) fn states(&self) -> Vec<PodState> {
        self.entries.iter().map(|entry| self.state(entry)).collect()
    }

    fn state(&self, entry: &Entry) -> PodState {
        const BY_ADDRESS: &str =
            "captured by address, where its packets pass interfaces of the node";
        let (attachment, message) = match &entry.place {
            Place::Nowhere => match &self.trouble {
                Some(trouble) => (PodAttachment::Unreachable, trouble.clone()),
                None => (PodAttachment::Waiting, waits_for(entry).to_owned()),
            },
            Place::Interface { .. } => match &entry.failure {
                Some(failure) => (PodAttachment::Unreachable, failure.clone()),
                None => (PodAttachment::Interface, String::new()),
            },
            Place::Apart(kind) => {
                let kind = kind.as_deref().unwrap_or("unknown");
                let message = format!(
                    "its interface has no other end on the node (kind {kind}): {BY_ADDRESS}"
                );
                (PodAttachment::Address, message)
            }
            Place::Here => (
                PodAttachment::Address,
                "it shares the node's network: captured by the node's address".to_owned(),
            ),
            Place::Unseen => (
                PodAttachment::Address,
                format!(
                    "no interface of the node leads to its address, as with macvlan, ipvlan and SR-IOV: \
                     {BY_ADDRESS}"
                ),
            ),
        };
        let (ifindex, interface) = match &entry.place {
            Place::Interface { ifindex, name } => (*ifindex, name.clone()),
            _ => (0, String::new()),
        };
        PodState {
            id: entry.pod.id.clone(),
            attachment,
            ifindex,
            interface,
            message,
        }
    }
}

/// The location of a pod without an interface, by the locations of its addresses.
fn place(
    entry: &Entry,
    located: &HashMap<IpAddr, Located>,
    names: &HashMap<u32, &str>,
    now: Instant,
) -> Place {
    if entry.pod.host_network {
        return Place::Here;
    }
    let mut place = Place::Nowhere;
    for address in &entry.pod.addresses {
        match located.get(address) {
            Some(Located::Behind(ifindex)) => {
                if let Some(name) = names.get(ifindex) {
                    return Place::Interface {
                        ifindex: *ifindex,
                        name: (*name).to_owned(),
                    };
                }
            }
            Some(Located::Apart(kind)) => place = Place::Apart(kind.clone()),
            Some(Located::Here) if place == Place::Nowhere => place = Place::Here,
            Some(Located::Here) | None => {}
        }
    }
    let is_settled = now.duration_since(entry.since) >= SETTLED;
    let has_address = !entry.pod.addresses.is_empty();
    if place == Place::Nowhere && has_address && is_settled && !entry.had_interface {
        place = Place::Unseen;
    }
    place
}

fn waits_for(entry: &Entry) -> &'static str {
    if entry.pod.addresses.is_empty() {
        "it has no address yet"
    } else if entry.had_interface {
        "its interface is gone"
    } else {
        "no interface of this node leads to its address yet"
    }
}
