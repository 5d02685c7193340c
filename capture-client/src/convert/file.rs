use capture_proto::v1;

use super::{
    capture::ledger,
    spec::{codec, format},
    time::time,
};
use crate::model::{Codec, File, FileEndReason, FileState};

pub(crate) fn file(file: v1::File) -> File {
    File {
        state: match file.state() {
            v1::FileState::Unspecified => FileState::Unknown,
            v1::FileState::Growing => FileState::Growing,
            v1::FileState::Finished => FileState::Finished,
            v1::FileState::Recovered => FileState::Recovered,
            v1::FileState::Removed => FileState::Removed,
        },
        format: format(file.format()),
        codec: codec(file.codec()).unwrap_or(Codec::Unknown),
        end_reason: end_reason(file.end_reason),
        capture: file.capture,
        name: file.name,
        sequence: file.sequence,
        bytes: file.bytes,
        bytes_uncompressed: file.bytes_uncompressed,
        packets: file.packets,
        first_time: time(file.first_time),
        last_time: time(file.last_time),
        digest: file.digest.parse().ok(),
        link_types: file.link_types,
        ledger: file.ledger.map(ledger),
    }
}

fn end_reason(reason: i32) -> Option<FileEndReason> {
    use v1::FileEndReason as Proto;
    Some(match Proto::try_from(reason) {
        Ok(Proto::Unspecified) => return None,
        Ok(Proto::Size) => FileEndReason::Size,
        Ok(Proto::Interval) => FileEndReason::Interval,
        Ok(Proto::Packets) => FileEndReason::Packets,
        Ok(Proto::Requested) => FileEndReason::Requested,
        Ok(Proto::CaptureEnd) => FileEndReason::CaptureEnd,
        Ok(Proto::DiskFull) => FileEndReason::DiskFull,
        Ok(Proto::WriteError) => FileEndReason::WriteError,
        Ok(Proto::Interrupted) => FileEndReason::Interrupted,
        Err(_) => FileEndReason::Unknown,
    })
}
