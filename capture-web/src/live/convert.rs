//! The client's model in the words of the API.

use capture_client::model::{self, Output, Time};
use capture_types::PartialLedger;

use crate::api::{
    Capture, CaptureFile, Discarded, InterfaceLedger, Ledger, Limits, NetworkInterface, NodeFacts,
    Recording,
};

fn time(time: Option<Time>) -> Option<String> {
    time.map(|time| time.to_string())
}

/// A capture on a node.
pub(super) fn capture(node: &str, capture: &model::Capture) -> Capture {
    Capture {
        node: node.to_owned(),
        name: capture.name.clone(),
        state: capture.state.to_string(),
        ended: capture.has_ended(),
        message: capture.message.clone(),
        recording: recording(&capture.spec),
        limits: Limits {
            seconds: capture.spec.limits.duration.map(|span| span.0.as_secs()),
            packets: capture.spec.limits.packets,
            bytes: capture.spec.limits.bytes,
        },
        created: time(capture.create_time),
        started: time(capture.start_time),
        stopped: time(capture.end_time),
        created_by: capture.created_by.clone(),
        ledger: ledger(&capture.ledger),
        interfaces: capture
            .interfaces
            .iter()
            .map(|interface| InterfaceLedger {
                interface: interface.interface.clone(),
                ledger: ledger(&interface.ledger),
            })
            .collect(),
        bytes_written: capture.bytes_written,
        files_finished: capture.files_finished,
        warnings: capture.warnings.clone(),
        generation: capture.generation,
    }
}

fn recording(spec: &model::Spec) -> Recording {
    let files = match &spec.output {
        Some(Output::Files(files) | Output::Text(files)) => Some(files),
        Some(Output::Stdout {}) | None => None,
    };
    Recording {
        interfaces: spec.interfaces.clone(),
        expression: spec.filter.clone(),
        targets: spec.targets.clone(),
        direction: spec.direction.map(|direction| match direction {
            capture_types::Directions::InOut => "both".to_owned(),
            one => one.to_string(),
        }),
        each_packet_once: spec.each_packet_once,
        snaplen: spec.snaplen,
        format: files
            .and_then(|files| files.format)
            .map(|format| format.to_string()),
        compression: files
            .and_then(|files| files.compression.as_ref())
            .map(|compression| compression.codec.to_string()),
        file_bytes: files.and_then(|files| files.rotation.max_file_bytes),
        max_files: files.and_then(|files| files.retention.max_files),
        max_bytes: files.and_then(|files| files.retention.max_bytes),
    }
}

fn ledger(ledger: &PartialLedger) -> Ledger {
    Ledger {
        seen: ledger.seen,
        filtered: ledger.filtered,
        matched: ledger.matched,
        submitted: ledger.submitted,
        ring_full: ledger.ring_full,
        unreadable: ledger.unreadable,
        duplicate: ledger.duplicate,
        written: ledger.written,
        discarded: Discarded {
            queue_full: ledger.discarded.queue_full,
            disk_full: ledger.discarded.disk_full,
            write_error: ledger.discarded.write_error,
            stopped: ledger.discarded.stopped,
        },
        truncated: ledger.truncated,
        lost: ledger.lost(),
    }
}

/// A node, and its interfaces that can be captured on.
pub(super) fn node(node: &model::Node, interfaces: &[model::NetworkInterface]) -> NodeFacts {
    NodeFacts {
        name: node.name.clone(),
        version: node.version.clone(),
        kernel: node.kernel_release.clone(),
        active_captures: node.usage.active_captures,
        max_active_captures: node.limits.max_active_captures,
        disk_bytes: node.usage.disk_bytes,
        disk_free_bytes: node.usage.disk_free_bytes,
        role: node.caller_role.clone(),
        interfaces: interfaces
            .iter()
            .filter(|interface| interface.link_type.is_some())
            .map(|interface| NetworkInterface {
                name: interface.name.clone(),
                up: interface.up,
                loopback: interface.loopback,
            })
            .collect(),
    }
}

/// A file.
pub(super) fn file(file: &model::File) -> CaptureFile {
    CaptureFile {
        name: file.name.clone(),
        state: file.state.to_string(),
        bytes: file.bytes,
        packets: file.packets,
        first: time(file.first_time),
        last: time(file.last_time),
        digest: file.digest.as_ref().map(ToString::to_string),
    }
}
