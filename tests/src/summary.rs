//! The report of `captured record --summary json`: parsed independently, with separate types.

use anyhow::{Result, ensure};
use serde::Deserialize;

/// A capture that has ended.
#[derive(Debug, Clone, Deserialize)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// Why it ended.
    pub reason: String,
    /// What failed, if anything did.
    pub failure: Option<String>,
    /// The ledger of all interfaces together.
    pub total: Ledger,
    /// Each interface, in the order in which they joined.
    pub interfaces: Vec<Interface>,
    /// Its warnings.
    pub warnings: Vec<String>,
    /// Existing files, oldest first.
    pub files: Vec<File>,
}

/// An interface of the capture.
#[derive(Debug, Clone, Deserialize)]
pub struct Interface {
    /// Its name when it joined.
    pub name: String,
    /// Its index in its network namespace.
    pub ifindex: u32,
    /// The ledger of its packets.
    pub ledger: Ledger,
}

/// A file of the capture.
#[derive(Debug, Clone, Deserialize)]
pub struct File {
    /// Its name.
    pub file: String,
    /// Number of its packets.
    pub packets: u64,
    /// Its length.
    pub bytes: u64,
}

/// The outcome of every packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "they are the ledger's own names")]
pub struct Ledger {
    pub seen: u64,
    pub filtered: u64,
    pub matched: u64,
    pub submitted: u64,
    pub ring_full: u64,
    pub unreadable: u64,
    pub duplicate: u64,
    pub written: u64,
    pub discarded: Discarded,
    pub truncated: u64,
}

/// Packets taken from the ring and not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "they are the ledger's own names")]
pub struct Discarded {
    pub queue_full: u64,
    pub disk_full: u64,
    pub write_error: u64,
    pub stopped: u64,
}

impl Discarded {
    /// The sum of all reasons.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.queue_full + self.disk_full + self.write_error + self.stopped
    }
}

impl Ledger {
    /// Checks the three lines of the ledger, with nothing in flight.
    pub fn adds_up(&self) -> Result<()> {
        ensure!(
            self.seen == self.filtered + self.matched,
            "seen is not filtered + matched: {self:?}"
        );
        ensure!(
            self.matched == self.submitted + self.ring_full + self.unreadable + self.duplicate,
            "matched is not submitted + ring_full + unreadable + duplicate: {self:?}"
        );
        ensure!(
            self.submitted == self.written + self.discarded.total(),
            "submitted is not written + discarded: {self:?}"
        );
        ensure!(
            self.truncated <= self.submitted,
            "more truncated than submitted: {self:?}"
        );
        Ok(())
    }
}

impl Summary {
    /// Checks that every ledger adds up, the interfaces' to the total, and that the files contain
    /// what was written.
    pub fn adds_up(&self) -> Result<()> {
        type Field = fn(&Ledger) -> u64;
        self.total.adds_up()?;
        let sum =
            |field: Field| -> u64 { self.interfaces.iter().map(|each| field(&each.ledger)).sum() };
        for interface in &self.interfaces {
            interface.ledger.adds_up()?;
        }
        let fields: [(&str, Field); 8] = [
            ("seen", |ledger| ledger.seen),
            ("matched", |ledger| ledger.matched),
            ("submitted", |ledger| ledger.submitted),
            ("ring_full", |ledger| ledger.ring_full),
            ("unreadable", |ledger| ledger.unreadable),
            ("duplicate", |ledger| ledger.duplicate),
            ("written", |ledger| ledger.written),
            ("discarded", |ledger| ledger.discarded.total()),
        ];
        for (name, field) in fields {
            ensure!(
                sum(field) == field(&self.total),
                "{name}: the interfaces make {}, the total is {}: {self:?}",
                sum(field),
                field(&self.total)
            );
        }
        Ok(())
    }

    /// The interface with this name; an error unless there is exactly one.
    pub fn interface(&self, name: &str) -> Result<&Interface> {
        let mut found = self.interfaces.iter().filter(|each| each.name == name);
        let interface = found.next();
        ensure!(
            found.next().is_none(),
            "{name} stands in the summary twice: {self:?}"
        );
        interface.ok_or_else(|| anyhow::anyhow!("{name} is not in the summary: {self:?}"))
    }
}
