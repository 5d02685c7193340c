//! The live counts of a capture.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::warnings::Warnings;
use crate::interfaces::Interface;
use capture_kernel::ring_fill::RingFill;
use capture_pipeline::{
    Progress, drain::DrainState, interface_counters::InterfaceCounters, packet::InterfaceId,
};
use capture_types::{Discarded, Ledger, LinkType, PodState};

/// The live counts of a capture; read from any thread.
pub struct Monitor {
    counters: Arc<InterfaceCounters>,
    progress: Arc<Progress>,
    drain: Arc<DrainState>,
    ring: RingFill,
    interfaces: Mutex<Vec<Joined>>,
    pods: watch::Sender<Arc<[PodState]>>,
    pub(super) warnings: Warnings,
}

/// An interface that has joined the capture.
#[derive(Debug, Clone)]
struct Joined {
    id: InterfaceId,
    name: String,
    ifindex: u32,
    link_type: LinkType,
}

/// One interface in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceReport {
    /// The interface's name when it joined.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
    /// The name of its link type (<https://www.tcpdump.org/linktypes.html>).
    pub link_type: LinkType,
    /// The ledger of its packets.
    pub ledger: Ledger,
}

impl Monitor {
    pub(super) fn new(
        counters: Arc<InterfaceCounters>,
        progress: Arc<Progress>,
        drain: Arc<DrainState>,
        ring: RingFill,
    ) -> Self {
        Self {
            counters,
            progress,
            drain,
            ring,
            interfaces: Mutex::default(),
            pods: watch::Sender::default(),
            warnings: Warnings::default(),
        }
    }

    pub(super) fn add(&self, id: InterfaceId, interface: &Interface, link_type: LinkType) {
        self.joined().push(Joined {
            id,
            name: interface.name.clone(),
            ifindex: interface.ifindex,
            link_type,
        });
    }

    pub(super) fn name(&self, id: InterfaceId) -> String {
        let joined = self.joined();
        joined
            .iter()
            .find(|interface| interface.id == id)
            .map_or_else(String::new, |interface| interface.name.clone())
    }

    fn joined(&self) -> MutexGuard<'_, Vec<Joined>> {
        self.interfaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Packets, bytes and files written so far.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// How full the ring buffers are.
    #[must_use]
    pub const fn ring(&self) -> &RingFill {
        &self.ring
    }

    /// Names of the interfaces that have joined so far, including those that are gone.
    #[must_use]
    pub fn interfaces(&self) -> Vec<String> {
        self.joined()
            .iter()
            .map(|interface| interface.name.clone())
            .collect()
    }

    /// The state of each pod of the capture.
    #[must_use]
    pub fn pods(&self) -> Arc<[PodState]> {
        Arc::clone(&self.pods.borrow())
    }

    /// Tells of each change of that.
    #[must_use]
    pub fn follow_pods(&self) -> watch::Receiver<Arc<[PodState]>> {
        self.pods.subscribe()
    }

    pub(super) fn set_pods(&self, states: Vec<PodState>) {
        self.pods.send_if_modified(|known| {
            let is_new = **known != *states;
            if is_new {
                *known = Arc::from(states);
            }
            is_new
        });
    }

    /// The warnings that hold now, in sentences.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.list();
        if self.counters.own() > 0 {
            warnings.push(
                "packets of the daemon's own connections are excluded and counted as filtered; \
                 include_own_traffic records them"
                    .to_owned(),
            );
        }
        warnings
    }

    /// The ledger so far, all interfaces together.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        total(&self.report())
    }

    /// The ledger of each interface so far, in the order in which they joined.
    #[must_use]
    pub fn report(&self) -> Vec<InterfaceReport> {
        // Read before the kernel's counters, so that no more packets are written than were seen.
        let outcomes = self
            .drain
            .outcomes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        self.with(&outcomes)
    }

    /// The report with these outcomes (packets written and discarded, by [`InterfaceId`]).
    pub(super) fn with(&self, outcomes: &[(u64, Discarded)]) -> Vec<InterfaceReport> {
        let joined = self.joined();
        // An interface that has just joined has no outcome yet.
        let ids = joined
            .iter()
            .map(|interface| interface.id.0 as usize + 1)
            .max();
        let count = outcomes.len().max(ids.unwrap_or(0));
        (0..)
            .take(count)
            .map(|id| {
                let (written, discarded) = outcomes.get(id as usize).copied().unwrap_or_default();
                let id = InterfaceId(id);
                let counters = self.counters.read(id).unwrap_or_default();
                let ledger = Ledger {
                    written,
                    discarded,
                    ..capture_kernel::counters::ledger(counters)
                };
                let known = joined.iter().find(|interface| interface.id == id);
                InterfaceReport {
                    name: known.map_or_else(|| "unknown".to_owned(), |one| one.name.clone()),
                    ifindex: known.map_or(0, |one| one.ifindex),
                    link_type: known.map_or(LinkType::Ethernet, |one| one.link_type),
                    ledger,
                }
            })
            .collect()
    }
}

/// The ledgers of all interfaces together.
pub(super) fn total(interfaces: &[InterfaceReport]) -> Ledger {
    let mut total = Ledger::default();
    for interface in interfaces {
        total += interface.ledger;
    }
    total
}
