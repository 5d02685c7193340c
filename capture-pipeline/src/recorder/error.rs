//! Why a capture cannot be recorded.

use std::io;

use capture_file::DirectoryError;
use pcap_file::PcapError;

/// Why a capture cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// The directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The directory could not be read.
    #[error(
        "cannot list directory {path:?}: {source}; write to a directory that this user may read"
    )]
    List {
        /// The directory.
        path: std::path::PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A codec could not be set up.
    #[error("cannot set up compression: {0}; use another codec or level with --compress")]
    Codec(io::Error),
    /// Memory for blocks could not be allocated.
    #[error("cannot get memory for blocks: {0}; raise the limit on memory (ulimit -v, memory.max)")]
    Memory(io::Error),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}; raise the limit on threads (ulimit -u, pids.max)")]
    Thread(io::Error),
    /// The header of a file could not be encoded.
    #[error("cannot encode the header of a file: {0}")]
    Encode(#[from] PcapError),
}
