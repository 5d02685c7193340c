//! From the manager's records to the API's resource.

use std::collections::HashMap;

use capture_proto::v1;

use super::{
    pods::{pod_states, selection},
    time::{timestamp, to_duration},
};
use crate::manager::{
    CaptureRequest, Counts, ExportState, MADE_UP_NAME, Reason, Snapshot, State, Totals,
};
use capture_session::InterfaceReport;
use capture_types::{
    CompressWhen, Compression, DigestAlgorithm, Directions, Format, Ledger, Output, Retention,
    Rotation,
};

/// A capture as it is now.
pub(in super::super) fn capture(
    Snapshot {
        record,
        current_file,
        export,
    }: Snapshot,
) -> v1::Capture {
    let mut labels: HashMap<String, String> = record.request.labels.clone().into_iter().collect();
    labels.remove(MADE_UP_NAME);
    let pods = pod_states(record.request.spec.pods.as_ref(), &record.pods);
    v1::Capture {
        name: record.name.to_string(),
        uid: record.uid,
        spec: Some(spec(&record.request)),
        labels,
        state: state(record.state).into(),
        state_reason: record
            .state_reason
            .map_or(v1::StateReason::Unspecified, reason)
            .into(),
        message: record.message,
        create_time: Some(timestamp(record.created)),
        start_time: record.started.map(timestamp),
        end_time: record.ended.map(timestamp),
        created_by: record.request.created_by,
        reason: record.request.reason,
        request_id: record.request.request_id.unwrap_or_default(),
        ledger: Some(ledger(&record.totals.total)),
        interfaces: interfaces(&record.totals),
        bytes_written: record.totals.bytes,
        files_finished: record.totals.files,
        current_file: current_file.unwrap_or_default(),
        warnings: record.warnings,
        resumed: record.resumed,
        generation: record.generation,
        pods,
        export: export.iter().map(exported).collect(),
    }
}

fn exported(state: &ExportState) -> v1::ExportState {
    v1::ExportState {
        sink: state.sink.to_string(),
        delivered_files: state.delivered,
        waiting_files: state.waiting,
        aside_files: state.aside,
        missed_files: state.missed,
        message: state.message.clone(),
    }
}

/// The current counts of a capture, without all other fields.
pub(in super::super) fn counts(counts: &Counts) -> v1::Capture {
    v1::Capture {
        name: counts.name.to_string(),
        uid: counts.uid.clone(),
        state: state(counts.state).into(),
        generation: counts.generation,
        ledger: Some(ledger(&counts.totals.total)),
        interfaces: interfaces(&counts.totals),
        bytes_written: counts.totals.bytes,
        files_finished: counts.totals.files,
        current_file: counts.current_file.clone().unwrap_or_default(),
        ..v1::Capture::default()
    }
}

fn interfaces(totals: &Totals) -> Vec<v1::InterfaceLedger> {
    let interface = |interface: &InterfaceReport| v1::InterfaceLedger {
        interface: interface.name.clone(),
        ifindex: interface.ifindex,
        link_type: interface.link_type.number().into(),
        ledger: Some(ledger(&interface.ledger)),
    };
    totals.interfaces.iter().map(interface).collect()
}

fn ledger(ledger: &Ledger) -> v1::Ledger {
    v1::Ledger {
        seen: Some(ledger.seen),
        filtered: Some(ledger.filtered),
        matched: Some(ledger.matched),
        submitted: Some(ledger.submitted),
        ring_full: Some(ledger.ring_full),
        unreadable: Some(ledger.unreadable),
        duplicate: Some(ledger.duplicate),
        written: Some(ledger.written),
        discarded: Some(discarded(&ledger.discarded)),
        truncated: Some(ledger.truncated),
    }
}

pub(super) fn discarded(discarded: &capture_types::Discarded) -> v1::Discarded {
    v1::Discarded {
        queue_full: Some(discarded.queue_full),
        disk_full: Some(discarded.disk_full),
        write_error: Some(discarded.write_error),
        stopped: Some(discarded.stopped),
    }
}

const fn state(state: State) -> v1::CaptureState {
    match state {
        State::Pending => v1::CaptureState::Pending,
        State::Running => v1::CaptureState::Running,
        State::Stopping => v1::CaptureState::Stopping,
        State::Completed => v1::CaptureState::Completed,
        State::Failed => v1::CaptureState::Failed,
        State::Interrupted => v1::CaptureState::Interrupted,
    }
}

/// The state for a number of the API.
pub(in super::super) fn state_from(number: i32) -> Option<State> {
    let wanted = v1::CaptureState::try_from(number).ok()?;
    State::ALL.into_iter().find(|one| state(*one) == wanted)
}

const fn reason(reason: Reason) -> v1::StateReason {
    match reason {
        Reason::Requested => v1::StateReason::Requested,
        Reason::Duration => v1::StateReason::Duration,
        Reason::Packets => v1::StateReason::Packets,
        Reason::Bytes => v1::StateReason::Bytes,
        Reason::Deadline => v1::StateReason::Deadline,
        Reason::StartFailed => v1::StateReason::StartFailed,
        Reason::DiskFull => v1::StateReason::DiskFull,
        Reason::WriteError => v1::StateReason::WriteError,
        Reason::Ledger => v1::StateReason::Ledger,
        Reason::Shutdown => v1::StateReason::Shutdown,
        Reason::Crash => v1::StateReason::Crash,
        Reason::Internal => v1::StateReason::Internal,
    }
}

fn spec(request: &CaptureRequest) -> v1::CaptureSpec {
    let spec = &request.spec;
    v1::CaptureSpec {
        interfaces: spec.interfaces.iter().map(ToString::to_string).collect(),
        direction: match spec.direction {
            Directions::In => v1::Direction::In,
            Directions::Out => v1::Direction::Out,
            Directions::InOut => v1::Direction::Inout,
        }
        .into(),
        snaplen: Some(spec.snaplen),
        promiscuous: Some(spec.promiscuous),
        include_own_traffic: spec.include_own_traffic,
        each_packet_once: Some(spec.each_packet_once),
        ring_size: Some(spec.ring_size),
        filter: spec.filter.expression.clone().unwrap_or_default(),
        inner_filter: spec.filter.inner.as_ref().map(|inner| v1::InnerFilter {
            expression: inner.expression.clone(),
            tunnels: inner.tunnels.iter().map(ToString::to_string).collect(),
        }),
        targets: list(spec.targets.hosts.as_deref(), ToString::to_string),
        ports: list(spec.targets.ports.as_deref(), |port| u32::from(*port)),
        excluded_targets: list(spec.targets.not_hosts.as_deref(), ToString::to_string),
        excluded_ports: list(spec.targets.not_ports.as_deref(), |port| u32::from(*port)),
        pods: spec.pods.as_ref().map(selection),
        output: Some(v1::Output {
            kind: Some(output(&spec.output, request.keep_for)),
        }),
        limits: Some(v1::Limits {
            duration: spec.limits.duration.map(to_duration),
            packets: spec.limits.packets,
            bytes: request.stop.bytes,
            deadline: request.stop.deadline.map(timestamp),
        }),
        export: spec.export.iter().map(ToString::to_string).collect(),
    }
}

fn output(output: &Output, keep_for: Option<std::time::Duration>) -> v1::output::Kind {
    let Output::Files(files) = output else {
        return v1::output::Kind::Stdout(v1::StdoutOutput {});
    };
    let compression = Some(compression(files.compression, files.compress_when));
    let rotation = Some(rotation(&files.rotation));
    let retention = Some(retention(&files.retention, keep_for));
    let format = match files.format {
        Format::Pcapng => v1::FileFormat::Pcapng,
        Format::Pcap => v1::FileFormat::Pcap,
        Format::Text => {
            return v1::output::Kind::Text(v1::TextOutput {
                compression,
                rotation,
                retention,
            });
        }
    };
    v1::output::Kind::Files(v1::FileOutput {
        format: format.into(),
        compression,
        rotation,
        retention,
        digest: digest(files.digest).into(),
    })
}

fn digest(algorithm: Option<DigestAlgorithm>) -> v1::DigestAlgorithm {
    match algorithm {
        None => v1::DigestAlgorithm::None,
        Some(DigestAlgorithm::Xxh128) => v1::DigestAlgorithm::Xxh128,
        Some(DigestAlgorithm::Sha256) => v1::DigestAlgorithm::Sha256,
    }
}

fn list<T, U>(values: Option<&[T]>, convert: impl Fn(&T) -> U) -> Vec<U> {
    values.unwrap_or_default().iter().map(convert).collect()
}

fn compression(compression: Compression, when: CompressWhen) -> v1::Compression {
    let (codec, level) = match compression {
        Compression::None => (v1::Codec::None, None),
        Compression::Gzip(level) => (v1::Codec::Gzip, Some(level)),
        Compression::Zstd(level) => (v1::Codec::Zstd, u32::try_from(level).ok()),
    };
    let when = match when {
        CompressWhen::Streaming => v1::CompressWhen::Streaming,
        CompressWhen::Rotated => v1::CompressWhen::Rotated,
    };
    v1::Compression {
        codec: codec.into(),
        level,
        when: when.into(),
    }
}

fn rotation(rotation: &Rotation) -> v1::Rotation {
    v1::Rotation {
        max_file_bytes: rotation.size,
        interval: rotation.interval.map(to_duration),
        max_packets: rotation.packets,
    }
}

fn retention(retention: &Retention, keep_for: Option<std::time::Duration>) -> v1::Retention {
    v1::Retention {
        max_files: retention.max_files,
        max_bytes: retention.max_bytes,
        max_age: keep_for.map(to_duration),
    }
}
