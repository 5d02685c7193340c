use capture_proto::v1;
use capture_types::{Discarded, PartialLedger};

use super::{known, pods::pod_state, spec::spec, time::time};
use crate::model::{Capture, Event, EventKind, ExportState, InterfaceLedger, State, StateReason};

pub(crate) fn capture(capture: v1::Capture) -> Capture {
    Capture {
        state: state(capture.state()),
        state_reason: state_reason(capture.state_reason),
        name: capture.name,
        uid: capture.uid,
        message: capture.message,
        spec: spec(capture.spec.unwrap_or_default()),
        labels: capture.labels.into_iter().collect(),
        create_time: time(capture.create_time),
        start_time: time(capture.start_time),
        end_time: time(capture.end_time),
        created_by: capture.created_by,
        reason: capture.reason,
        request_id: capture.request_id,
        ledger: ledger(capture.ledger.unwrap_or_default()),
        interfaces: capture.interfaces.into_iter().map(interface).collect(),
        pods: capture.pods.into_iter().map(pod_state).collect(),
        bytes_written: capture.bytes_written,
        files_finished: capture.files_finished,
        current_file: known(capture.current_file),
        warnings: capture.warnings,
        resumed: capture.resumed,
        generation: capture.generation,
        export: capture.export.into_iter().map(export).collect(),
    }
}

fn export(state: v1::ExportState) -> ExportState {
    ExportState {
        sink: state.sink,
        delivered_files: state.delivered_files,
        waiting_files: state.waiting_files,
        aside_files: state.aside_files,
        missed_files: state.missed_files,
        message: state.message,
    }
}

fn interface(interface: v1::InterfaceLedger) -> InterfaceLedger {
    InterfaceLedger {
        interface: interface.interface,
        ifindex: interface.ifindex,
        link_type: interface.link_type,
        ledger: ledger(interface.ledger.unwrap_or_default()),
    }
}

pub(super) fn ledger(ledger: v1::Ledger) -> PartialLedger {
    let discarded = ledger.discarded.unwrap_or_default();
    PartialLedger {
        seen: ledger.seen,
        filtered: ledger.filtered,
        matched: ledger.matched,
        submitted: ledger.submitted,
        ring_full: ledger.ring_full,
        unreadable: ledger.unreadable,
        // A node that does not know the option counts none.
        duplicate: ledger.duplicate.or(ledger.matched.map(|_| 0)),
        written: ledger.written,
        discarded: Discarded {
            queue_full: discarded.queue_full,
            disk_full: discarded.disk_full,
            write_error: discarded.write_error,
            stopped: discarded.stopped,
        },
        truncated: ledger.truncated,
    }
}

fn state(state: v1::CaptureState) -> State {
    match state {
        v1::CaptureState::Unspecified => State::Unknown,
        v1::CaptureState::Pending => State::Pending,
        v1::CaptureState::Running => State::Running,
        v1::CaptureState::Stopping => State::Stopping,
        v1::CaptureState::Completed => State::Completed,
        v1::CaptureState::Failed => State::Failed,
        v1::CaptureState::Interrupted => State::Interrupted,
    }
}

/// `None`: no reason is given; a reason that this client does not know is `Unknown`.
fn state_reason(reason: i32) -> Option<StateReason> {
    use v1::StateReason as Proto;
    Some(match Proto::try_from(reason) {
        Ok(Proto::Unspecified) => return None,
        Ok(Proto::Requested) => StateReason::Requested,
        Ok(Proto::Duration) => StateReason::Duration,
        Ok(Proto::Packets) => StateReason::Packets,
        Ok(Proto::Bytes) => StateReason::Bytes,
        Ok(Proto::Deadline) => StateReason::Deadline,
        Ok(Proto::StartFailed) => StateReason::StartFailed,
        Ok(Proto::DiskFull) => StateReason::DiskFull,
        Ok(Proto::WriteError) => StateReason::WriteError,
        Ok(Proto::Ledger) => StateReason::Ledger,
        Ok(Proto::Shutdown) => StateReason::Shutdown,
        Ok(Proto::Crash) => StateReason::Crash,
        Ok(Proto::Internal) => StateReason::Internal,
        Err(_) => StateReason::Unknown,
    })
}

pub(crate) fn event(event: v1::WatchCapturesResponse) -> Event {
    Event {
        kind: match event.r#type() {
            v1::EventType::Unspecified => EventKind::Unknown,
            v1::EventType::Present => EventKind::Present,
            v1::EventType::Synced => EventKind::Synced,
            v1::EventType::Added => EventKind::Added,
            v1::EventType::Changed => EventKind::Changed,
            v1::EventType::Ledger => EventKind::Ledger,
            v1::EventType::Deleted => EventKind::Deleted,
        },
        capture: event.capture.map(capture),
    }
}
