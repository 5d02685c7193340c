//! Live progress of a recorder; read from any thread.

use std::{
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use capture_file::Baseline;
use capture_types::SinkName;

/// Upper bounds, in microseconds, of the buckets for durations of write calls.
pub const WRITE_BOUNDS: [u64; 10] = [
    100, 250, 1_000, 2_500, 10_000, 25_000, 100_000, 250_000, 1_000_000, 5_000_000,
];

/// Durations of write calls, each of one block of a file or of one piece of output.
#[derive(Debug, Default)]
pub struct Writes {
    /// The number of calls in each bucket of [`WRITE_BOUNDS`]; the last bucket: calls that took
    /// longer.
    counts: [AtomicU64; WRITE_BOUNDS.len() + 1],
    /// Sum of all durations, in microseconds.
    total: AtomicU64,
}

impl Writes {
    fn add(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = WRITE_BOUNDS.partition_point(|bound| *bound < took);
        self.counts[at].fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(took, Ordering::Relaxed);
    }

    /// The number of calls by bucket.
    #[must_use]
    pub fn counts(&self) -> [u64; WRITE_BOUNDS.len() + 1] {
        self.counts
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed))
    }

    /// Sum of all durations, in microseconds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

/// Progress of the files. Each number is correct by itself; they need not belong to one moment.
#[derive(Debug, Default)]
pub struct Progress {
    packets: AtomicU64,
    bytes: AtomicU64,
    files: AtomicU64,
    unexported: AtomicU64,
    queued: AtomicUsize,
    writes: Writes,
    begun: OnceLock<Baseline>,
    file: Mutex<Option<String>>,
    warnings: Mutex<Vec<String>>,
    export: Mutex<Vec<SinkName>>,
    finalizer_rests: AtomicBool,
}

/// This many warnings are kept; the oldest are dropped first.
const MOST_WARNINGS: usize = 20;

impl Progress {
    /// Packets written to files.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    /// Files that retention removed although the sink of an exporter did not have them.
    #[must_use]
    pub fn unexported(&self) -> u64 {
        self.unexported.load(Ordering::Relaxed)
    }

    pub(crate) fn add_unexported(&self, files: u64) {
        self.unexported.fetch_add(files, Ordering::Relaxed);
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

    /// The directory's content before the capture; `None` if there are no files.
    #[must_use]
    pub fn begun(&self) -> Option<Baseline> {
        self.begun.get().copied()
    }

    /// How long writing takes.
    #[must_use]
    pub fn writes(&self) -> &Writes {
        &self.writes
    }

    /// The final name of the newest file.
    #[must_use]
    pub fn file(&self) -> Option<String> {
        self.file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Distinct problems with files so far, the latest last.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.lock_warnings().clone()
    }

    /// The sinks of an exporter that get the files.
    pub(crate) fn export(&self) -> Vec<SinkName> {
        self.export
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sets the sinks of an exporter that get the files. The manifest has them within seconds.
    pub fn set_export(&self, sinks: Vec<SinkName>) {
        *self.export.lock().unwrap_or_else(PoisonError::into_inner) = sinks;
    }

    /// Adds a warning, and logs it; once, however often it occurs.
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

    /// Subtracts written packets that are no longer in any file.
    pub(crate) fn retract(&self, packets: u64) {
        self.packets.fetch_sub(packets, Ordering::Relaxed);
    }

    pub(crate) fn add_written(&self, packets: u64, bytes: u64) {
        self.packets.fetch_add(packets, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Records the directory's content, once.
    pub(crate) fn set_begun(&self, begun: Baseline) {
        let _ = self.begun.set(begun);
    }

    /// Records how long one write took.
    pub(crate) fn add_write(&self, took: Duration) {
        self.writes.add(took);
    }

    pub(crate) fn add_file(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn enqueue(&self) {
        self.queued.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn dequeue(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }

    /// The finalizer looks at the disk rarely from now on, until [`Self::wake_finalizer`]. `false` if blocks
    /// arrived meanwhile.
    pub(crate) fn rest_finalizer(&self, bytes: u64) -> bool {
        self.finalizer_rests.store(true, Ordering::SeqCst);
        self.queued.load(Ordering::SeqCst) == 0 && self.bytes() == bytes
    }

    /// Whether the finalizer rests and has to be told of a block; it does not rest any more.
    pub(crate) fn wake_finalizer(&self) -> bool {
        self.finalizer_rests.load(Ordering::SeqCst)
            && self.finalizer_rests.swap(false, Ordering::SeqCst)
    }

    pub(crate) fn begin(&self, file: &str) {
        let mut current = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(file.to_owned());
    }
}
