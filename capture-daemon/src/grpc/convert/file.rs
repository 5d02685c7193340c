//! Files.

use capture_proto::v1;

use super::{capture::discarded, time::timestamp};
use crate::{
    manager::{FileStatus, StoredFile},
    pipeline::manifest::{EndReason, LedgerSoFar},
};

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
        sha256: entry.sha256.clone().unwrap_or_default(),
        link_types: entry
            .link_types
            .iter()
            .map(|link_type| u32::from(*link_type))
            .collect(),
        end_reason: entry
            .ended
            .map_or(v1::FileEndReason::Unspecified, end_reason)
            .into(),
        ledger: entry.ledger.as_ref().map(ledger_so_far),
    }
}

/// Why a file ended.
const fn end_reason(reason: EndReason) -> v1::FileEndReason {
    match reason {
        EndReason::Size => v1::FileEndReason::Size,
        EndReason::Interval => v1::FileEndReason::Interval,
        EndReason::Packets => v1::FileEndReason::Packets,
        EndReason::End => v1::FileEndReason::CaptureEnd,
        EndReason::DiskFull => v1::FileEndReason::DiskFull,
        EndReason::WriteError => v1::FileEndReason::WriteError,
        EndReason::Interrupted => v1::FileEndReason::Interrupted,
    }
}

/// The ledger at a file's end.
fn ledger_so_far(ledger: &LedgerSoFar) -> v1::Ledger {
    let kernel = ledger.kernel.as_ref();
    v1::Ledger {
        seen: kernel.map(|kernel| kernel.seen),
        filtered: kernel.map(|kernel| kernel.filtered),
        matched: kernel.map(|kernel| kernel.matched),
        submitted: kernel.map(|kernel| kernel.submitted),
        ring_full: kernel.map(|kernel| kernel.ring_full),
        unreadable: kernel.map(|kernel| kernel.unreadable),
        written: Some(ledger.written),
        discarded: Some(discarded(&ledger.discarded)),
        truncated: kernel.map(|kernel| kernel.truncated),
    }
}
