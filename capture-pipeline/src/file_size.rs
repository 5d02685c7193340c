//! The current size of an output's file, as the writer reports it to the drain thread.

use std::sync::atomic::{AtomicU64, Ordering};

/// The current size of an output's file, for the drain thread, which decides on rotation.
#[derive(Debug, Default)]
pub(crate) struct FileSize {
    /// The file's sequence number.
    pub(crate) file: AtomicU64,
    /// Bytes that the writer has taken, before compression.
    pub(crate) raw: AtomicU64,
    /// Bytes on disk after compression.
    pub(crate) stored: AtomicU64,
    /// The sequence number plus 1 of the file that the writer gave up last, and to which it writes nothing
    /// more.
    broken: AtomicU64,
}

impl FileSize {
    pub(crate) fn set(&self, raw: u64, stored: u64) {
        self.raw.store(raw, Ordering::Relaxed);
        self.stored.store(stored, Ordering::Relaxed);
    }

    /// Marks a file as given up by the writer.
    pub(crate) fn set_broken(&self, file: u64) {
        self.broken.store(file + 1, Ordering::Release);
    }

    /// Whether the writer has given this file up.
    pub(crate) fn is_broken(&self, file: u64) -> bool {
        self.broken.load(Ordering::Acquire) == file + 1
    }

    /// Bytes of this file before and after compression; 0 when the writer has not begun it.
    pub(crate) fn of(&self, file: u64) -> (u64, u64) {
        if self.file.load(Ordering::Acquire) == file {
            let raw = self.raw.load(Ordering::Relaxed);
            (raw, self.stored.load(Ordering::Relaxed))
        } else {
            (0, 0)
        }
    }
}
