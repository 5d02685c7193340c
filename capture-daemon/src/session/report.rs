//! What is known of a capture while it runs, and what is left of it.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

use super::Book;
use crate::{
    interfaces::Interface,
    ledger::Ledger,
    pipeline::{
        Progress,
        manifest::FileEntry,
        packet::{InterfaceId, LinkType},
        recorder::Finished,
    },
    spec::CaptureSpec,
};

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
    pub(super) fn new(book: Arc<Book>, progress: Arc<Progress>) -> Self {
        Self {
            book,
            progress,
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

    /// Names of the interfaces that have joined so far, those that are gone included.
    #[must_use]
    pub fn interfaces(&self) -> Vec<String> {
        self.members()
            .iter()
            .map(|member| member.name.clone())
            .collect()
    }

    /// The kernel's counters of all interfaces as they are now, and what has been written.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        let mut total = Ledger::default();
        for member in self.members().iter() {
            if let Some(counters) = self.book.read(member.id) {
                total += Ledger::from(counters);
            }
        }
        total.written = self.progress.packets();
        total
    }
}

/// One interface in a report.
#[derive(Debug, Clone, Serialize)]
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
        let members = monitor.members();
        let interfaces: Vec<InterfaceReport> = finished
            .interfaces
            .iter()
            .enumerate()
            .map(|(at, (written, discarded))| {
                let id = InterfaceId(u32::try_from(at).unwrap_or(u32::MAX));
                let counters = monitor.book.read(id).unwrap_or_default();
                let ledger = Ledger {
                    written: *written,
                    discarded: *discarded,
                    ..Ledger::from(counters)
                };
                let member = members.iter().find(|member| member.id == id);
                InterfaceReport {
                    name: member.map_or_else(|| "unknown".to_owned(), |m| m.name.clone()),
                    ifindex: member.map_or(0, |m| m.ifindex),
                    link_type: member.map_or(LinkType::Ethernet, |m| m.link_type),
                    ledger,
                }
            })
            .collect();
        let total = interfaces
            .iter()
            .fold(Ledger::default(), |mut total, interface| {
                total += interface.ledger;
                total
            });
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
            total,
            interfaces,
            directory: spec.output.directory.clone(),
            files: finished.files.into_iter().map(|file| file.entry).collect(),
        }
    }
}
