//! A file of a capture.

use capture_types::{Digest, Format, PartialLedger};
use serde::Serialize;

use super::{Codec, Time, as_text, named};

/// A file on a node; unknown values are null.
#[derive(Debug, Clone, Serialize)]
pub struct File {
    /// The capture's name.
    pub capture: String,
    /// The file's name.
    pub name: String,
    /// Its sequence number.
    pub sequence: u64,
    /// Its state.
    pub state: FileState,
    /// Its format.
    #[serde(serialize_with = "as_text")]
    pub format: Option<Format>,
    /// Its codec.
    pub codec: Codec,
    /// Its bytes on disk.
    pub bytes: u64,
    /// Its bytes before compression.
    pub bytes_uncompressed: Option<u64>,
    /// Packets in it.
    pub packets: Option<u64>,
    /// The earliest timestamp in it.
    pub first_time: Option<Time>,
    /// The latest timestamp in it.
    pub last_time: Option<Time>,
    /// Of its bytes.
    pub digest: Option<Digest>,
    /// Link types in it.
    pub link_types: Vec<u32>,
    /// Why it ended.
    pub end_reason: Option<FileEndReason>,
    /// The capture's ledger when it ended.
    pub ledger: Option<PartialLedger>,
}

/// The files of a capture on one node.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Existing files, the oldest first.
    pub files: Vec<File>,
    /// Files that retention has removed.
    pub removed: Removed,
}

/// Files that retention has removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Their number.
    pub files: u64,
    /// Packets in them, as far as known.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl File {
    /// Whether it is complete and still exists.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        matches!(self.state, FileState::Finished | FileState::Recovered)
    }
}

named! {
    /// The state of a file.
    pub enum FileState {
        /// Being written.
        Growing = "growing",
        /// Finished.
        Finished = "finished",
        /// Truncated by a crash; contains all whole packets.
        Recovered = "recovered",
        /// Removed.
        Removed = "removed",
    }
}

named! {
    /// Why a file ended.
    pub enum FileEndReason {
        /// It reached its size limit.
        Size = "size",
        /// Its rotation interval ended.
        Interval = "interval",
        /// It reached its packet limit.
        Packets = "packets",
        /// The recorder was asked to finish it.
        Requested = "requested",
        /// The capture ended.
        CaptureEnd = "capture_end",
        /// The disk was full.
        DiskFull = "disk_full",
        /// Writing failed.
        WriteError = "write_error",
        /// The recorder died.
        Interrupted = "interrupted",
    }
}
