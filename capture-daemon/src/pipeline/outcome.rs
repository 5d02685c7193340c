//! What became of the packets behind the drain thread, and whether the capture can go on.

use std::sync::{
    Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use capture_file::manifest::FileEndReason;
use capture_types::Discarded;

/// Why a capture could not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RecorderFailure {
    /// Which of the ledger's counters the packets are in that came too late.
    pub kind: FailureKind,
    /// What happened, where, and the way out.
    pub message: String,
}

/// The kinds of [`RecorderFailure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The file system, or the capture's share of it, was full.
    DiskFull,
    /// Anything else.
    WriteError,
}

impl From<FailureKind> for FileEndReason {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::DiskFull => Self::DiskFull,
            FailureKind::WriteError => Self::WriteError,
        }
    }
}

/// Packets of one interface that reached the writer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    pub(crate) written: u64,
    pub(crate) lost: Discarded,
}

/// Shared by the threads of a recorder. Its lock is taken once per block, never per packet.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    outcomes: Mutex<Vec<Outcome>>,
    failure: OnceLock<RecorderFailure>,
    failed: AtomicBool,
}

impl Outcomes {
    /// The block's packets are in a file.
    pub(crate) fn written(&self, counts: &[u64]) {
        self.add(counts, |outcome, count| outcome.written += count);
    }

    /// The block's packets are in no file, because of the failure.
    pub(crate) fn lost(&self, counts: &[u64]) {
        let kind = self.failure().map(|failure| failure.kind);
        self.add(counts, |outcome, count| match kind {
            Some(FailureKind::DiskFull) => outcome.lost.disk_full += count,
            Some(FailureKind::WriteError) | None => outcome.lost.write_error += count,
        });
    }

    /// The block's packets are nowhere, because nobody takes them as fast as they come.
    pub(crate) fn too_slow(&self, counts: &[u64]) {
        self.add(counts, |outcome, count| outcome.lost.queue_full += count);
    }

    /// What became of an interface's packets so far.
    pub(crate) fn outcome(&self, interface: usize) -> Outcome {
        self.lock().get(interface).copied().unwrap_or_default()
    }

    /// Ends the capture; the first reason stays.
    pub(crate) fn fail(&self, kind: FailureKind, message: String) {
        let _ = self.failure.set(RecorderFailure { kind, message });
        self.failed.store(true, Ordering::Release);
    }

    #[inline]
    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(crate) fn failure(&self) -> Option<&RecorderFailure> {
        self.failure.get()
    }

    fn add(&self, counts: &[u64], add: impl Fn(&mut Outcome, u64)) {
        let mut outcomes = self.lock();
        if outcomes.len() < counts.len() {
            outcomes.resize(counts.len(), Outcome::default());
        }
        for (outcome, count) in outcomes.iter_mut().zip(counts) {
            add(outcome, *count);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Outcome>> {
        // Numbers are added one by one; there is nothing that a panic could leave half done.
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
