//! Outcomes of packets after the drain thread, and whether the capture can continue.

use std::{
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use capture_file::manifest::FileEndReason;
use capture_types::Discarded;

/// Why packets could not be written: permanently, or until the cause is gone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RecorderFailure {
    /// The counter of the ledger for packets that came after the failure.
    pub kind: FailureKind,
    /// What happened, where, and how to fix it.
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
    /// What prevents writing at present, or did last.
    fault: Mutex<Option<Fault>>,
    /// 0, or the kind of the fault plus 1: read for each packet meanwhile.
    suspended: AtomicU8,
    /// How often writing was suspended.
    suspensions: AtomicU64,
}

/// Why writing is suspended, and when to try again.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) failure: RecorderFailure,
    pub(crate) retry_at: Instant,
}

impl Outcomes {
    /// Counts a block's packets as written to a file.
    pub(crate) fn written(&self, counts: &[u64]) {
        self.add(counts, |outcome, count| outcome.written += count);
    }

    /// Counts a block's packets as lost because of the failure.
    pub(crate) fn lost(&self, counts: &[u64]) {
        let kind = match self.failure() {
            Some(failure) => Some(failure.kind),
            None => self.fault().map(|fault| fault.failure.kind),
        };
        self.add(counts, |outcome, count| match kind {
            Some(FailureKind::DiskFull) => outcome.lost.disk_full += count,
            Some(FailureKind::WriteError) | None => outcome.lost.write_error += count,
        });
    }

    /// Counts written packets as lost: somebody has truncated or removed the file, or the disk did not
    /// keep it.
    pub(crate) fn retract(&self, counts: &[u64]) {
        self.add(counts, |outcome, count| {
            let lost = count.min(outcome.written);
            outcome.written -= lost;
            outcome.lost.write_error += lost;
        });
    }

    /// Counts a block's packets as dropped because the reader is too slow.
    pub(crate) fn too_slow(&self, counts: &[u64]) {
        self.add(counts, |outcome, count| outcome.lost.queue_full += count);
    }

    /// The outcome of an interface's packets so far.
    pub(crate) fn outcome(&self, interface: usize) -> Outcome {
        lock(&self.outcomes)
            .get(interface)
            .copied()
            .unwrap_or_default()
    }

    /// Ends the capture; the first reason is kept.
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

    /// Suspends writing until [`Self::resume`], which is tried after `wait` at the earliest.
    pub(crate) fn suspend(&self, kind: FailureKind, message: String, wait: Duration) {
        let fault = Fault {
            failure: RecorderFailure { kind, message },
            retry_at: Instant::now() + wait,
        };
        *lock(&self.fault) = Some(fault);
        self.suspended.store(1 + kind as u8, Ordering::Release);
        self.suspensions.fetch_add(1, Ordering::AcqRel);
    }

    /// Allows writing again.
    pub(crate) fn resume(&self) {
        self.suspended.store(0, Ordering::Release);
    }

    /// Why writing is suspended, if it is.
    pub(crate) fn suspended(&self) -> Option<Fault> {
        self.suspended_kind().and_then(|_| self.fault())
    }

    /// The kind of fault that prevents writing at present.
    #[inline]
    pub(crate) fn suspended_kind(&self) -> Option<FailureKind> {
        [FailureKind::DiskFull, FailureKind::WriteError]
            .into_iter()
            .find(|kind| 1 + *kind as u8 == self.suspended.load(Ordering::Acquire))
    }

    /// How often writing was suspended so far.
    pub(crate) fn suspensions(&self) -> u64 {
        self.suspensions.load(Ordering::Acquire)
    }

    fn fault(&self) -> Option<Fault> {
        lock(&self.fault).clone()
    }

    fn add(&self, counts: &[u64], add: impl Fn(&mut Outcome, u64)) {
        let mut outcomes = lock(&self.outcomes);
        if outcomes.len() < counts.len() {
            outcomes.resize(counts.len(), Outcome::default());
        }
        for (outcome, count) in outcomes.iter_mut().zip(counts) {
            add(outcome, *count);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counters are added one by one, and faults are stored whole; a panic leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
