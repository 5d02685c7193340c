//! What a live line shows; read from any thread.

use std::{
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use capture_file::Baseline;

/// Upper bounds, in microseconds, of what write calls are sorted into by how long they took.
pub const WRITE_BOUNDS: [u64; 10] = [
    100, 250, 1_000, 2_500, 10_000, 25_000, 100_000, 250_000, 1_000_000, 5_000_000,
];

/// How long write calls took, of one block of a file or of one piece of output each.
#[derive(Debug, Default)]
pub struct Writes {
    /// How many took at most as long as each of [`WRITE_BOUNDS`] and longer than the one before; the
    /// last: how many took longer than that.
    counts: [AtomicU64; WRITE_BOUNDS.len() + 1],
    /// All of them together, in microseconds.
    total: AtomicU64,
}

impl Writes {
    fn add(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = WRITE_BOUNDS.partition_point(|bound| *bound < took);
        self.counts[at].fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(took, Ordering::Relaxed);
    }

    /// How many took how long, as the bounds sort them.
    #[must_use]
    pub fn counts(&self) -> [u64; WRITE_BOUNDS.len() + 1] {
        self.counts
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed))
    }

    /// All of them together, in microseconds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

/// How far the files have come. Each number is true by itself; they need not belong to one moment.
#[derive(Debug, Default)]
pub struct Progress {
    packets: AtomicU64,
    bytes: AtomicU64,
    files: AtomicU64,
    queued: AtomicUsize,
    writes: Writes,
    begun: OnceLock<Baseline>,
    file: Mutex<Option<String>>,
    warnings: Mutex<Vec<String>>,
}

/// So many warnings are kept; the oldest go first.
const MOST_WARNINGS: usize = 20;

impl Progress {
    /// Packets written to files.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    /// Bytes written to files, as they are on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Files finished.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// Blocks that wait to be compressed or written.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// What stood in the directory before; `None` if there are no files.
    #[must_use]
    pub fn begun(&self) -> Option<Baseline> {
        self.begun.get().copied()
    }

    /// How long writing takes.
    #[must_use]
    pub fn writes(&self) -> &Writes {
        &self.writes
    }

    /// The final name of the file begun last.
    #[must_use]
    pub fn file(&self) -> Option<String> {
        self.file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What went wrong with files so far, each thing once, the latest last.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.lock_warnings().clone()
    }

    /// Notes that something went wrong, in the log too; once, however often it happens.
    pub(crate) fn warn(&self, warning: String) {
        let mut warnings = self.lock_warnings();
        if !warnings.contains(&warning) {
            tracing::warn!("{warning}");
            if warnings.len() >= MOST_WARNINGS {
                warnings.remove(0);
            }
            warnings.push(warning);
        }
    }

    fn lock_warnings(&self) -> MutexGuard<'_, Vec<String>> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Packets that were written are in no file any more.
    pub(crate) fn retract(&self, packets: u64) {
        self.packets.fetch_sub(packets, Ordering::Relaxed);
    }

    pub(crate) fn add_written(&self, packets: u64, bytes: u64) {
        self.packets.fetch_add(packets, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes what stands in the directory, once.
    pub(crate) fn set_begun(&self, begun: Baseline) {
        let _ = self.begun.set(begun);
    }

    /// Notes how long one write took.
    pub(crate) fn add_write(&self, took: Duration) {
        self.writes.add(took);
    }

    pub(crate) fn add_file(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn enqueue(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn dequeue(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn begin(&self, file: &str) {
        let mut current = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(file.to_owned());
    }
}
