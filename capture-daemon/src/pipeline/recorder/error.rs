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
        /// What the system said.
        source: io::Error,
    },
    /// A codec could not be set up.
    #[error("cannot set up compression: {0}; use another codec or level with --compress")]
    Codec(io::Error),
    /// There is no memory for blocks.
    #[error("cannot get memory for blocks: {0}; raise the limit on memory (ulimit -v, memory.max)")]
    Memory(io::Error),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}; raise the limit on threads (ulimit -u, pids.max)")]
    Thread(io::Error),
    /// The head of a file could not be written.
    #[error("cannot encode the head of a file: {0}")]
    Encode(#[from] PcapError),
}
