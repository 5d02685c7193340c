//! What the threads behind the drain thread tell each other of files.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use capture_file::{
    Recompressed,
    manifest::{FileEntry, InterfaceLedger},
};

/// What the finalizer is told.
#[derive(Debug)]
pub(crate) enum FinalizeTask {
    /// The writer is done with a file.
    Closed(Box<ClosedFile>),
    /// A file's SHA-256.
    Digest {
        /// Its name.
        file: String,
        /// In hexadecimal.
        sha256: String,
    },
    /// A plain file has been compressed.
    Recompressed(Recompressed),
    /// The writer has ended: no further file will be closed.
    End,
}

/// A file that has its last byte and not yet its name.
#[derive(Debug)]
pub(crate) struct ClosedFile {
    pub(crate) output: usize,
    pub(crate) entry: FileEntry,
    pub(crate) interfaces: Vec<InterfaceLedger>,
    pub(crate) file: File,
}

/// How far a file has come, from the writer to the digest.
#[derive(Debug)]
pub(crate) struct Growth {
    /// Bytes that will not be written again.
    pub(crate) stable: AtomicU64,
    /// Bytes of the finished file; `u64::MAX` until it is finished.
    pub(crate) end: AtomicU64,
}

impl Growth {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            stable: AtomicU64::new(0),
            end: AtomicU64::new(u64::MAX),
        })
    }

    pub(crate) fn grow(&self, stable: u64) {
        self.stable.store(stable, Ordering::Release);
    }

    pub(crate) fn finish(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.end.load(Ordering::Acquire) != u64::MAX
    }
}

/// A file to take the digest of.
#[derive(Debug)]
pub(crate) struct GrowingFile {
    pub(crate) name: String,
    pub(crate) growth: Arc<Growth>,
}
