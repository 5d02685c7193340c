//! The daemon's defaults for fields that a request leaves unset.

use std::path::PathBuf;

use capture_types::{Compression, MinFree};

/// Values for fields that a request leaves unset.
#[derive(Debug, Clone, PartialEq)]
pub struct Defaults {
    /// Bytes of a ring buffer.
    pub ring_size: u32,
    /// The files' compression.
    pub compression: Compression,
    /// Bytes after which a file is finished.
    pub rotation_size: Option<u64>,
    /// Finished files to keep.
    pub max_files: Option<u32>,
    /// Free space to leave on the file system.
    pub min_free: MinFree,
    /// The parent of the captures' directories.
    pub data_dir: PathBuf,
}
