//! The manifest: one JSON object per line, `<capture>.manifest.jsonl`. The first line is a
//! [`CaptureEntry`], each other one a [`FileEntry`], the oldest file first. It is replaced as a
//! whole, so that a reader always sees a complete one.

use serde::{Deserialize, Serialize};

use capture_types::{Digest, Ledger, PartialLedger, SinkName, time};

/// The ledger of one interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceLedger {
    /// Its number in the capture, counted from 0 in the order in which interfaces joined.
    pub interface: u32,
    /// Its name when it joined the capture.
    pub name: String,
    /// Its ledger, from the start of the capture on. Packets in the ring buffer at the time are submitted
    /// and neither written nor discarded. The kernel's counts are unknown when they could not be read.
    #[serde(flatten)]
    pub ledger: PartialLedger,
}

/// The ledger of all interfaces together.
#[must_use]
pub fn total(interfaces: &[InterfaceLedger]) -> PartialLedger {
    let mut total = PartialLedger::from(<Ledger>::default());
    for interface in interfaces {
        total += interface.ledger;
    }
    total
}

/// A time, in one form to read and one to compute with.
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
    /// The entry of a file about which nothing more is known.
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
            digest: None,
            ended: None,
            ledger: None,
        }
    }
}

/// Why a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileEndReason {
    /// The next packet would have made it too large.
    Size,
    /// Its interval was over.
    Interval,
    /// It reached its packet limit.
    Packets,
    /// The recorder was asked to finish it.
    Requested,
    /// The capture ended.
    End,
    /// The file system was full; the file was truncated after its last whole packet.
    DiskFull,
    /// Writing failed; the file was truncated after its last whole packet.
    WriteError,
    /// The recorder died; the whole packets of the file were recovered.
    Interrupted,
}

impl FileEndReason {
    /// Whether the file may be incomplete because it was recovered.
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
    /// Its sequence number; continues across captures of the same name in one directory.
    pub sequence: u64,
    /// Link types of the interfaces that it describes (<https://www.tcpdump.org/linktypes.html>).
    pub link_types: Vec<u16>,
    /// Packets in it; `None` if no manifest had the file.
    pub packets: Option<u64>,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes before compression; `None` if no manifest had the file.
    pub bytes_uncompressed: Option<u64>,
    /// The earliest timestamp in it.
    pub first: Option<Timestamp>,
    /// The latest timestamp in it.
    pub last: Option<Timestamp>,
    /// Of the file as it is on disk; `None` until it is known.
    pub digest: Option<Digest>,
    /// Why it ended; `None` if no manifest had the file.
    pub ended: Option<FileEndReason>,
    /// The capture's ledger at its end, all interfaces together. A pcapng file has the ledger of
    /// each interface in its statistics.
    pub ledger: Option<PartialLedger>,
}

/// The capture as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureEntry {
    /// Its name.
    pub capture: String,
    /// Name and version of the program that wrote this.
    pub program: String,
    /// When it started.
    pub started: Timestamp,
    /// When this was written.
    pub updated: Timestamp,
    /// When it ended; `None` while it runs, or when it was killed.
    pub ended: Option<Timestamp>,
    /// Why it ended by itself.
    pub failure: Option<String>,
    /// The highest sequence number so far.
    pub last_sequence: u64,
    /// Files that retention has removed. They no longer have lines in the manifest.
    pub removed: Removed,
    /// The ledger of each interface when a file last ended.
    pub interfaces: Vec<InterfaceLedger>,
    /// Sinks of an exporter that get the files; empty for those that get the files of every capture.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub export: Vec<SinkName>,
}

/// Files that retention has removed, for all captures of this name in this directory together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Files.
    pub files: u64,
    /// Packets in them, as far as known.
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
    /// Parses a manifest. Lines that cannot be parsed are skipped: a newer version of the program
    /// may have written them.
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

    fn interface(number: u32) -> InterfaceLedger {
        InterfaceLedger {
            interface: number,
            name: format!("eth{number}"),
            ledger: PartialLedger {
                seen: Some(17),
                written: Some(5),
                ..PartialLedger::default()
            },
        }
    }

    #[test]
    fn the_total_is_the_sum_of_what_is_known_of_each() {
        let total = total(&[interface(0), interface(1)]);
        assert_eq!((total.seen, total.written), (Some(34), Some(10)));
        assert_eq!(total.ring_full, None, "not known of one, not known of all");
    }

    #[test]
    fn what_older_versions_wrote_has_no_duplicates() {
        let mut written = serde_json::to_value(interface(0).ledger).unwrap();
        assert_eq!(written["duplicate"], serde_json::Value::Null);
        written.as_object_mut().unwrap().remove("duplicate");
        let read: PartialLedger = serde_json::from_value(written).unwrap();
        assert_eq!((read.seen, read.duplicate), (Some(17), Some(0)));
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
            interfaces: vec![interface(0)],
            export: vec!["archive".parse().expect("name")],
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
            digest: None,
            ended: Some(FileEndReason::DiskFull),
            ledger: Some(PartialLedger::default()),
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
