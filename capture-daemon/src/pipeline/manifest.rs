//! What the manifest says: one JSON object per line, `<capture>.manifest.jsonl`. The first line is a
//! [`CaptureEntry`], each other one a [`FileEntry`], the oldest file first. It is replaced as a
//! whole, so that a reader always sees a complete one.

use std::fmt;

use serde::{Deserialize, Serialize};

use capture_types::Discarded;
use capture_types::time;

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

impl KernelLedger {
    fn plus(self, other: Self) -> Self {
        Self {
            seen: self.seen + other.seen,
            filtered: self.filtered + other.filtered,
            matched: self.matched + other.matched,
            submitted: self.submitted + other.submitted,
            ring_full: self.ring_full + other.ring_full,
            unreadable: self.unreadable + other.unreadable,
            truncated: self.truncated + other.truncated,
        }
    }
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
    /// Its number in the capture, counted from 0 in the order in which interfaces joined.
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

impl LedgerSoFar {
    /// All interfaces together; the kernel's counters only when those of each are known.
    #[must_use]
    pub fn total(interfaces: &[InterfaceLedger]) -> Self {
        let mut total = Self {
            kernel: Some(KernelLedger::default()),
            ..Self::default()
        };
        for InterfaceLedger { ledger, .. } in interfaces {
            total.kernel = total
                .kernel
                .zip(ledger.kernel)
                .map(|(sum, one)| sum.plus(one));
            total.written += ledger.written;
            total.discarded.queue_full += ledger.discarded.queue_full;
            total.discarded.disk_full += ledger.discarded.disk_full;
            total.discarded.write_error += ledger.discarded.write_error;
            total.discarded.stopped += ledger.discarded.stopped;
        }
        total
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
            utc: time::rfc3339(nanoseconds),
            nanoseconds,
        }
    }
}

impl FileEntry {
    /// A file of which no more is known.
    #[must_use]
    pub const fn unknown(file: String, sequence: u64, bytes: u64) -> Self {
        Self {
            file,
            sequence,
            link_types: Vec::new(),
            packets: None,
            bytes,
            bytes_uncompressed: None,
            first: None,
            last: None,
            sha256: None,
            ended: None,
            ledger: None,
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
    /// The recorder died; what was whole of the file was recovered.
    Interrupted,
}

impl EndReason {
    /// The file is a part of what was to be.
    #[must_use]
    pub const fn is_recovered(self) -> bool {
        matches!(self, Self::Interrupted)
    }
}

/// A finished file, or what a killed capture has left of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name in the directory. It ends in `.part` when a capture was killed while it wrote the
    /// file, which then may be cut short.
    pub file: String,
    /// Its number; goes on from capture to capture of one name in one directory.
    pub sequence: u64,
    /// Link types of the interfaces that it describes (<https://www.tcpdump.org/linktypes.html>).
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

/// The capture as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureEntry {
    /// Its name.
    pub capture: String,
    /// Program and version that wrote this.
    pub program: String,
    /// When it started.
    pub started: Timestamp,
    /// When this was written.
    pub updated: Timestamp,
    /// When it ended; `None` while it runs, or when it was killed.
    pub ended: Option<Timestamp>,
    /// Why it ended by itself.
    pub failure: Option<String>,
    /// The highest sequence number that a file has had.
    pub last_sequence: u64,
    /// Files that retention has removed. They have no line of their own any more.
    pub removed: Removed,
    /// The ledger of each interface when a file last ended.
    pub interfaces: Vec<InterfaceLedger>,
}

/// What retention has removed, by all captures of this name in this directory together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Files.
    pub files: u64,
    /// Packets in them, as far as that was known.
    pub packets: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// When the last one was removed, nanoseconds since 1970-01-01 UTC.
    pub last: Option<u64>,
}

/// A manifest's content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The first line.
    pub capture: Option<CaptureEntry>,
    /// The others.
    pub files: Vec<FileEntry>,
}

impl Manifest {
    /// Reads a manifest's text. Lines that are not understood are left out: a newer version of the
    /// program may have written them.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        Self {
            capture: lines
                .next()
                .and_then(|line| serde_json::from_str(line).ok()),
            files: lines
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(number: u32, kernel: Option<KernelLedger>) -> InterfaceLedger {
        InterfaceLedger {
            interface: number,
            name: format!("eth{number}"),
            ledger: LedgerSoFar {
                kernel,
                written: 5,
                discarded: Discarded {
                    queue_full: 1,
                    disk_full: 2,
                    write_error: 3,
                    stopped: 4,
                },
            },
        }
    }

    #[test]
    fn the_kernels_counters_add_up_as_they_are_read() {
        let kernel = KernelLedger::from(capture_common::Counters {
            filtered: 10,
            submitted: 4,
            ring_full: 2,
            unreadable: 1,
            truncated: 3,
        });
        assert_eq!((kernel.matched, kernel.seen), (7, 17));
        let total = LedgerSoFar::total(&[interface(0, Some(kernel)), interface(1, Some(kernel))]);
        assert_eq!(total.kernel.map(|kernel| kernel.seen), Some(34));
        assert_eq!((total.written, total.discarded.total()), (10, 20));
    }

    #[test]
    fn what_is_not_known_of_one_interface_is_not_known_of_all() {
        let known = KernelLedger::default();
        let total = LedgerSoFar::total(&[interface(0, Some(known)), interface(1, None)]);
        assert_eq!(total.kernel, None);
        assert_eq!(total.written, 10);
    }

    #[test]
    fn a_manifest_is_read_back_as_it_was_written() {
        let capture = CaptureEntry {
            capture: "a".to_owned(),
            program: "captured 1".to_owned(),
            started: 1.into(),
            updated: 2.into(),
            ended: None,
            failure: Some("disk".to_owned()),
            last_sequence: 7,
            removed: Removed {
                files: 1,
                packets: 2,
                bytes: 3,
                last: Some(4),
            },
            interfaces: vec![interface(0, None)],
        };
        let file = FileEntry {
            file: "a-1".to_owned(),
            sequence: 7,
            link_types: vec![1],
            packets: Some(3),
            bytes: 4,
            bytes_uncompressed: Some(5),
            first: Some(8.into()),
            last: Some(9.into()),
            sha256: None,
            ended: Some(EndReason::DiskFull),
            ledger: Some(LedgerSoFar::default()),
        };
        let lines = [
            serde_json::to_string(&capture).expect("JSON"),
            "{\"of\": \"a later version\"}".to_owned(),
            serde_json::to_string(&file).expect("JSON"),
        ];
        let manifest = Manifest::parse(&lines.join("\n"));
        assert_eq!(manifest.capture, Some(capture));
        assert_eq!(manifest.files, [file]);
    }
}
