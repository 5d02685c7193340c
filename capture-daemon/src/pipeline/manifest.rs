//! What the manifest says: one JSON object per line, `<capture>.manifest.jsonl`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::utc;
use crate::ledger::Discarded;

/// The kernel's counters of one interface, from the start of the capture on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelLedger {
    /// Packets that passed the program.
    pub seen: u64,
    /// Packets that the filter did not match.
    pub filtered: u64,
    /// Packets that the filter matched.
    pub matched: u64,
    /// Packets copied into the ring buffer.
    pub submitted: u64,
    /// Packets lost because the ring buffer had no room.
    pub ring_full: u64,
    /// Packets lost because their bytes could not be read.
    pub unreadable: u64,
    /// Of the submitted: packets captured shorter than they were.
    pub truncated: u64,
}

impl From<capture_common::Counters> for KernelLedger {
    fn from(counters: capture_common::Counters) -> Self {
        let matched = counters.submitted + counters.ring_full + counters.unreadable;
        Self {
            seen: counters.filtered + matched,
            filtered: counters.filtered,
            matched,
            submitted: counters.submitted,
            ring_full: counters.ring_full,
            unreadable: counters.unreadable,
            truncated: counters.truncated,
        }
    }
}

/// The ledger of an interface, or of all together, from the start of the capture on. Packets that
/// stand in the ring buffer at the time are submitted and neither written nor discarded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerSoFar {
    /// The kernel's counters; `None` when they could not be read.
    pub kernel: Option<KernelLedger>,
    /// Packets in the capture's files.
    pub written: u64,
    /// Packets taken from the ring buffer and not written.
    pub discarded: Discarded,
}

/// The ledger of one interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceLedger {
    /// Its number in the capture, which is its number in each pcapng file.
    pub interface: u32,
    /// Its name when it joined the capture.
    pub name: String,
    /// Its counters.
    #[serde(flatten)]
    pub ledger: LedgerSoFar,
}

/// As it stands in a pcapng file's interface statistics.
impl fmt::Display for LedgerSoFar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kernel {
            Some(kernel) => write!(
                f,
                "seen={} filtered={} matched={} submitted={} ring_full={} unreadable={} \
                 truncated={} ",
                kernel.seen,
                kernel.filtered,
                kernel.matched,
                kernel.submitted,
                kernel.ring_full,
                kernel.unreadable,
                kernel.truncated,
            )?,
            None => f.write_str("kernel=unknown ")?,
        }
        write!(
            f,
            "written={} queue_full={} disk_full={} write_error={} stopped={}",
            self.written,
            self.discarded.queue_full,
            self.discarded.disk_full,
            self.discarded.write_error,
            self.discarded.stopped,
        )
    }
}

/// A time, once to read and once to compute with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timestamp {
    /// RFC 3339 with nanoseconds.
    pub utc: String,
    /// Nanoseconds since 1970-01-01 UTC.
    pub nanoseconds: u64,
}

impl From<u64> for Timestamp {
    fn from(nanoseconds: u64) -> Self {
        Self {
            utc: utc::rfc3339(nanoseconds),
            nanoseconds,
        }
    }
}

/// Why a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The next packet would have made it too large.
    Size,
    /// Its interval was over.
    Interval,
    /// It had as many packets as it may have.
    Packets,
    /// The capture ended.
    End,
    /// The file system was full; the file was cut behind its last whole packet.
    DiskFull,
    /// Writing failed; the file was cut behind its last whole packet.
    WriteError,
}

/// A finished file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name in the directory.
    pub file: String,
    /// Its number; goes on from capture to capture of one name in one directory.
    pub sequence: u64,
    /// Link types of the interfaces in it (<https://www.tcpdump.org/linktypes.html>).
    pub link_types: Vec<u16>,
    /// Packets in it; `None` of a file that no manifest knew.
    pub packets: Option<u64>,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes before compression; `None` of a file that no manifest knew.
    pub bytes_uncompressed: Option<u64>,
    /// The earliest timestamp in it.
    pub first: Option<Timestamp>,
    /// The latest timestamp in it.
    pub last: Option<Timestamp>,
    /// SHA-256 of the file as it is on disk, in hexadecimal; `None` until it is known.
    pub sha256: Option<String>,
    /// Why it ended; `None` of a file that no manifest knew.
    pub ended: Option<EndReason>,
    /// The capture's ledger at its end, all interfaces together. A pcapng file has that of each
    /// interface in its own statistics.
    pub ledger: Option<LedgerSoFar>,
}
