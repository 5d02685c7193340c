//! What is known of a capture while it runs, and what is left of it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::Book;
use crate::{
    interfaces::Interface,
    kernel::{self, ring_fill::RingFill},
    pipeline::{FailureKind, Progress, drain::Shared, packet::InterfaceId, recorder::Finished},
};
use capture_file::manifest::FileEntry;
use capture_types::{CaptureSpec, Discarded, Ledger, LinkType};

/// Why a capture ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// It was told to.
    Stopped,
    /// Its time was over.
    Duration,
    /// It had its packets.
    Packets,
    /// Something failed; the report says what.
    Failed,
}

/// The live numbers of a capture; read from any thread.
pub struct Monitor {
    book: Arc<Book>,
    progress: Arc<Progress>,
    drain: Arc<Shared>,
    ring: RingFill,
    interfaces: Mutex<Vec<Member>>,
}

#[derive(Debug, Clone)]
struct Member {
    id: InterfaceId,
    name: String,
    ifindex: u32,
    link_type: LinkType,
}

impl Monitor {
    pub(super) fn new(
        book: Arc<Book>,
        progress: Arc<Progress>,
        drain: Arc<Shared>,
        ring: RingFill,
    ) -> Self {
        Self {
            book,
            progress,
            drain,
            ring,
            interfaces: Mutex::default(),
        }
    }

    pub(super) fn add(&self, id: InterfaceId, interface: &Interface, link_type: LinkType) {
        self.members().push(Member {
            id,
            name: interface.name.clone(),
            ifindex: interface.ifindex,
            link_type,
        });
    }

    pub(super) fn name(&self, id: InterfaceId) -> String {
        let members = self.members();
        members
            .iter()
            .find(|member| member.id == id)
            .map_or_else(String::new, |m| m.name.clone())
    }

    fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        self.interfaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the files have come.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// How full the ring buffer is.
    #[must_use]
    pub const fn ring(&self) -> &RingFill {
        &self.ring
    }

    /// Names of the interfaces that have joined so far, those that are gone included.
    #[must_use]
    pub fn interfaces(&self) -> Vec<String> {
        self.members()
            .iter()
            .map(|member| member.name.clone())
            .collect()
    }

    /// What became of the packets so far, all interfaces together.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        total(&self.report())
    }

    /// What became of the packets of each interface so far, in the order of their joining.
    #[must_use]
    pub fn report(&self) -> Vec<InterfaceReport> {
        // Before the kernel's counters: then no packet is written that was not seen.
        let outcomes = self
            .drain
            .outcomes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        self.with(&outcomes)
    }

    fn with(&self, outcomes: &[(u64, Discarded)]) -> Vec<InterfaceReport> {
        let members = self.members();
        // One that has just joined has no outcome yet.
        let joined = members.iter().map(|member| member.id.0 as usize + 1).max();
        let count = outcomes.len().max(joined.unwrap_or(0));
        (0..)
            .take(count)
            .map(|id| {
                let (written, discarded) = outcomes.get(id as usize).copied().unwrap_or_default();
                let id = InterfaceId(id);
                let counters = self.book.read(id).unwrap_or_default();
                let ledger = Ledger {
                    written,
                    discarded,
                    ..kernel::counters::ledger(counters)
                };
                let member = members.iter().find(|member| member.id == id);
                InterfaceReport {
                    name: member.map_or_else(|| "unknown".to_owned(), |m| m.name.clone()),
                    ifindex: member.map_or(0, |m| m.ifindex),
                    link_type: member.map_or(LinkType::Ethernet, |m| m.link_type),
                    ledger,
                }
            })
            .collect()
    }
}

fn total(interfaces: &[InterfaceReport]) -> Ledger {
    let mut total = Ledger::default();
    for interface in interfaces {
        total += interface.ledger;
    }
    total
}

/// One interface in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceReport {
    /// Its name when it joined.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
    /// Its link type's name (<https://www.tcpdump.org/linktypes.html>).
    pub link_type: LinkType,
    /// What became of its packets.
    pub ledger: Ledger,
}

/// What a capture leaves: its ledger, its files, and why it ended.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The capture's name.
    pub name: String,
    /// Why it ended.
    pub reason: EndReason,
    /// What failed, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What kind of failure that was, if it was one of the disk.
    #[serde(skip)]
    pub failure_kind: Option<FailureKind>,
    /// All interfaces together.
    pub total: Ledger,
    /// In the order in which they joined.
    pub interfaces: Vec<InterfaceReport>,
    /// The directory of the files.
    pub directory: PathBuf,
    /// The files that were finished and are still there, in order.
    pub files: Vec<FileEntry>,
}

impl Report {
    pub(super) fn new(
        spec: &CaptureSpec,
        reason: EndReason,
        monitor: &Monitor,
        finished: Finished,
    ) -> Self {
        let interfaces = monitor.with(&finished.interfaces);
        let total = total(&interfaces);
        let failure_kind = finished.failure.as_ref().map(|failure| failure.kind);
        let failure = finished
            .failure
            .map(|failure| failure.message)
            .or_else(|| total.check().err().map(|imbalance| imbalance.to_string()));
        Self {
            name: spec.name.to_string(),
            reason: if failure.is_some() {
                EndReason::Failed
            } else {
                reason
            },
            failure,
            failure_kind,
            total,
            interfaces,
            directory: spec
                .output
                .directory()
                .map(Path::to_owned)
                .unwrap_or_default(),
            files: finished.files.into_iter().map(|file| file.entry).collect(),
        }
    }
}
