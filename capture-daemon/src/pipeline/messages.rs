//! What the threads behind the drain thread tell each other of files.

use std::fs::File;

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
    /// Its packets by interface.
    pub(crate) counts: Vec<u64>,
}
