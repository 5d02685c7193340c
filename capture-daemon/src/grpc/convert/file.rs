//! Files.

use capture_proto::v1;

use super::time::timestamp;
use crate::manager::{FileStatus, StoredFile};
use capture_file::manifest::FileEndReason;
use capture_types::PartialLedger;

/// A file of a capture.
pub(in super::super) fn file(capture: &str, stored: &StoredFile) -> v1::File {
    let StoredFile { entry, status, .. } = stored;
    let plain = entry.file.trim_end_matches(".gz").trim_end_matches(".zst");
    v1::File {
        capture: capture.to_owned(),
        name: entry.file.clone(),
        sequence: entry.sequence,
        state: match status {
            FileStatus::Growing => v1::FileState::Growing,
            FileStatus::Finished => v1::FileState::Finished,
            FileStatus::Recovered => v1::FileState::Recovered,
        }
        .into(),
        format: if plain.ends_with(".pcapng") {
            v1::FileFormat::Pcapng
        } else if plain.ends_with(".txt") {
            v1::FileFormat::Text
        } else {
            v1::FileFormat::Pcap
        }
        .into(),
        codec: if entry.file.ends_with(".gz") {
            v1::Codec::Gzip
        } else if entry.file.ends_with(".zst") {
            v1::Codec::Zstd
        } else {
            v1::Codec::None
        }
        .into(),
        bytes: entry.bytes,
        bytes_uncompressed: entry.bytes_uncompressed,
        packets: entry.packets,
        first_time: entry
            .first
            .as_ref()
            .map(|first| timestamp(first.nanoseconds)),
        last_time: entry.last.as_ref().map(|last| timestamp(last.nanoseconds)),
        digest: entry
            .digest
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        link_types: entry
            .link_types
            .iter()
            .map(|link_type| u32::from(*link_type))
            .collect(),
        end_reason: entry
            .ended
            .map_or(v1::FileEndReason::Unspecified, end_reason)
            .into(),
        ledger: entry.ledger.as_ref().map(partial_ledger),
    }
}

/// Why a file ended.
const fn end_reason(reason: FileEndReason) -> v1::FileEndReason {
    match reason {
        FileEndReason::Size => v1::FileEndReason::Size,
        FileEndReason::Interval => v1::FileEndReason::Interval,
        FileEndReason::Packets => v1::FileEndReason::Packets,
        FileEndReason::Requested => v1::FileEndReason::Requested,
        FileEndReason::End => v1::FileEndReason::CaptureEnd,
        FileEndReason::DiskFull => v1::FileEndReason::DiskFull,
        FileEndReason::WriteError => v1::FileEndReason::WriteError,
        FileEndReason::Interrupted => v1::FileEndReason::Interrupted,
    }
}

/// The ledger at a file's end.
fn partial_ledger(ledger: &PartialLedger) -> v1::Ledger {
    let discarded = &ledger.discarded;
    v1::Ledger {
        seen: ledger.seen,
        filtered: ledger.filtered,
        matched: ledger.matched,
        submitted: ledger.submitted,
        ring_full: ledger.ring_full,
        unreadable: ledger.unreadable,
        duplicate: ledger.duplicate,
        written: ledger.written,
        discarded: Some(v1::Discarded {
            queue_full: discarded.queue_full,
            disk_full: discarded.disk_full,
            write_error: discarded.write_error,
            stopped: discarded.stopped,
        }),
        truncated: ledger.truncated,
    }
}
