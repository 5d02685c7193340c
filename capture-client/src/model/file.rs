//! A file of a capture.

use capture_types::{Format, PartialLedger};
use serde::Serialize;

use super::{Codec, Time, as_text, named};

/// A file on a node; what is not known is null.
#[derive(Debug, Clone, Serialize)]
pub struct File {
    /// The capture's name.
    pub capture: String,
    /// The file's name.
    pub name: String,
    /// Its number.
    pub sequence: u64,
    /// Where it is in its life.
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
    /// SHA-256 of its bytes, in lower-case hexadecimal.
    pub sha256: Option<String>,
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
    /// Those that are there, the oldest first.
    pub files: Vec<File>,
    /// Those that retention has removed.
    pub removed: Removed,
}

/// Files that retention has removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// How many.
    pub files: u64,
    /// Packets in them, as far as that was known.
    pub packets: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl File {
    /// Whether it has its last byte and is still there.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        matches!(self.state, FileState::Finished | FileState::Recovered)
    }
}

named! {
    /// Where a file is in its life.
    pub enum FileState {
        /// Being written.
        Growing = "growing",
        /// Finished.
        Finished = "finished",
        /// Cut short by a crash; holds all that was whole.
        Recovered = "recovered",
        /// No longer there.
        Removed = "removed",
    }
}

named! {
    /// Why a file ended.
    pub enum FileEndReason {
        /// The next packet would have made it too large.
        Size = "size",
        /// Its interval was over.
        Interval = "interval",
        /// It had its packets.
        Packets = "packets",
        /// Somebody asked for it to be finished.
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
