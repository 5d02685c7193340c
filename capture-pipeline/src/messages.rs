//! Messages about files between the threads after the drain thread.

use std::fs::File;

use capture_file::{
    PartCheckpoint, Recompressed,
    manifest::{FileEntry, InterfaceLedger},
};

/// Messages to the finalizer.
#[derive(Debug)]
pub(crate) enum FinalizeTask {
    /// The writer has finished a file.
    Closed(Box<ClosedFile>),
    /// A growing file, by its number, has come this far.
    Checkpoint(u64, Box<PartCheckpoint>),
    /// A growing file, by its number, was given up, and is not closed.
    Abandoned(u64),
    /// A file's digest.
    Digest {
        /// Its name.
        file: String,
        /// In hexadecimal.
        digest: capture_types::Digest,
    },
    /// A plain file has been compressed.
    Recompressed(Recompressed),
    /// Blocks arrive again after a quiet time.
    Busy,
    /// The writer has ended: no further file will be closed.
    End,
}

/// A complete file that does not have its final name yet.
#[derive(Debug)]
pub(crate) struct ClosedFile {
    pub(crate) output: usize,
    pub(crate) entry: FileEntry,
    pub(crate) interfaces: Vec<InterfaceLedger>,
    pub(crate) file: File,
    /// Its packets by interface.
    pub(crate) counts: Vec<u64>,
}
