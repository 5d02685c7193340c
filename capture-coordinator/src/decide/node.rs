//! The status of one node.

use std::collections::HashMap;

use capture_client::model::{Capture, File, PodAttachment, State};
use capture_types::PartialLedger;

use super::{
    Link, NodeView, Run, View,
    action::{Action, are_complete, is_of},
    export,
    spec::{LABEL_RUN, capture_name},
};
use crate::resource::{FileStatus, LedgerStatus, NodePhase, NodeStatus};

/// Maximum entries of a node's lists in the status: a thousand nodes must fit into one object.
const MOST_PODS: usize = 32;
const MOST_FILES: usize = 32;
const MOST_WARNINGS: usize = 4;
/// Maximum characters of a text from a node.
const LONGEST_TEXT: usize = 500;

/// The previous status of each node, by its name.
pub(super) fn previous<'a>(view: &View<'a>) -> HashMap<&'a str, &'a NodeStatus> {
    let nodes = view.previous.nodes.iter();
    nodes.map(|status| (&*status.name, status)).collect()
}

/// The status of a node; `previous`: its last one; `action`: the action that is about to run there.
pub(super) fn status(
    view: &View<'_>,
    run: &Run,
    (name, node): (&str, &NodeView),
    previous: Option<&NodeStatus>,
    action: Option<&Action>,
) -> NodeStatus {
    let previous = previous.filter(|_| run.is_of_status);
    let blank = NodeStatus {
        name: name.to_owned(),
        address: node.address.clone(),
        phase: NodePhase::Waiting,
        message: String::new(),
        capture: capture_name(view.name),
        pods: Vec::new(),
        ledger: None,
        bytes: 0,
        files: Vec::new(),
        export: Vec::new(),
        warnings: Vec::new(),
        started_at: None,
        ended_at: None,
    };
    // A final state does not change, whatever happens to the node.
    if let Some(previous) = previous
        && is_terminal(previous.phase)
        && !matches!(action, Some(Action::Start { .. } | Action::Replace { .. }))
    {
        let mut last = previous.clone();
        export::refresh_node(&mut last, view, run, node);
        return last;
    }
    let ours = node.capture.as_ref().filter(|capture| {
        is_of(capture, view.uid)
            && (!capture.has_ended()
                || capture
                    .labels
                    .get(LABEL_RUN)
                    .is_some_and(|of| *of == run.digest))
    });
    match (ours, &node.link) {
        (Some(capture), Link::Ready) => {
            let mut status = blank;
            fill(&mut status, capture, node);
            let (phase, message) = phase(view, run, capture, node);
            status.phase = phase;
            status.message = message;
            if let Some(fault) = &node.fault {
                status.message.clone_from(&fault.message);
            }
            status
        }
        (ours, link) => {
            let mut status = previous.cloned().unwrap_or(blank);
            if let Some(capture) = ours {
                fill(&mut status, capture, node);
            }
            if !node.address.is_empty() {
                status.address.clone_from(&node.address);
            }
            let had_begun =
                ours.is_some() || previous.is_some_and(|previous| previous.started_at.is_some());
            let (phase, message) = absent(view, run, node, link, had_begun, action);
            if let Some(phase) = phase {
                status.phase = phase;
                status.message = message;
            }
            status
        }
    }
}

pub(super) const fn is_terminal(phase: NodePhase) -> bool {
    matches!(
        phase,
        NodePhase::Completed | NodePhase::Failed | NodePhase::Lost
    )
}

/// The state of a known capture.
fn phase(view: &View<'_>, run: &Run, capture: &Capture, node: &NodeView) -> (NodePhase, String) {
    let message = short(&capture.message);
    match capture.state {
        State::Pending => (NodePhase::Starting, message),
        State::Running => (NodePhase::Running, message),
        State::Stopping => (NodePhase::Finishing, message),
        State::Completed => {
            let listed = node.files.as_ref();
            let has_files = capture.files_finished > 0;
            match listed {
                Some(files) if are_complete(files) => (NodePhase::Completed, message),
                None if !has_files => (NodePhase::Completed, message),
                _ => (
                    NodePhase::Finishing,
                    "its files are being completed: waiting for their checksums".to_owned(),
                ),
            }
        }
        State::Failed => (NodePhase::Failed, message),
        // The next daemon resumes the capture if its time is not over.
        State::Interrupted if !run.is_long_over(view.now) => (
            NodePhase::Unreachable,
            format!("the daemon ended: {message}"),
        ),
        State::Interrupted | State::Unknown => (NodePhase::Failed, message),
    }
}

/// The state of a node's capture if the node is unreachable, or does not know it. `None`:
/// unchanged.
fn absent(
    view: &View<'_>,
    run: &Run,
    node: &NodeView,
    link: &Link,
    had_begun: bool,
    action: Option<&Action>,
) -> (Option<NodePhase>, String) {
    if matches!(action, Some(Action::Start { .. } | Action::Replace { .. })) {
        return (Some(NodePhase::Starting), String::new());
    }
    if let Some(fault) = node.fault.as_ref().filter(|_| *link == Link::Ready) {
        let phase = if fault.permanent {
            NodePhase::Failed
        } else {
            NodePhase::Waiting
        };
        return (Some(phase), short(&fault.message));
    }
    let problem = match link {
        Link::NoDaemon if !node.exists => "the node is gone".to_owned(),
        Link::NoDaemon => "no daemon runs on the node".to_owned(),
        Link::Connecting => {
            if run.is_long_over(view.now) {
                "its daemon does not answer".to_owned()
            } else {
                return (None, String::new());
            }
        }
        Link::Broken(problem) => short(problem),
        Link::Ready => match &node.capture {
            Some(capture) if !is_of(capture, view.uid) => format!(
                "the node has a capture named {} that is of somebody else: rename the resource",
                capture.name
            ),
            _ if had_begun => "the node no longer knows the capture".to_owned(),
            _ => "the capture was not started before its time was over".to_owned(),
        },
    };
    let over = if *link == Link::Ready {
        run.is_over(view.now)
    } else {
        run.is_long_over(view.now)
    };
    let phase = match (had_begun, over) {
        (true, true) => NodePhase::Lost,
        (false, true) => NodePhase::Failed,
        (true, false) => NodePhase::Unreachable,
        (false, false) => NodePhase::Waiting,
    };
    (Some(phase), problem)
}

/// Adds the capture's own report.
fn fill(status: &mut NodeStatus, capture: &Capture, node: &NodeView) {
    status.capture.clone_from(&capture.name);
    status.ledger = Some(ledger(&capture.ledger));
    status.bytes = capture.bytes_written;
    status.started_at = capture.start_time.map(|time| time.to_string());
    status.ended_at = capture.end_time.map(|time| time.to_string());
    let captured = capture.pods.iter().filter(|state| {
        matches!(
            state.attachment,
            PodAttachment::Interface | PodAttachment::Address
        )
    });
    status.pods = captured
        .map(|state| format!("{}/{}", state.pod.namespace, state.pod.name))
        .take(MOST_PODS)
        .collect();
    let unreachable = capture.pods.iter().filter(|state| {
        state.attachment == PodAttachment::Unreachable && !state.message.is_empty()
    });
    let unreachable = unreachable.map(|state| {
        format!(
            "{}/{}: {}",
            state.pod.namespace, state.pod.name, state.message
        )
    });
    let warnings = capture.warnings.iter().rev().cloned();
    status.warnings = unreachable
        .chain(warnings)
        .take(MOST_WARNINGS)
        .map(|text| short(&text))
        .collect();
    if !capture.export.is_empty() {
        status.export = export::of_node(capture);
    }
    if let Some(files) = &node.files {
        let newest = files.len().saturating_sub(MOST_FILES);
        status.files = files[newest..].iter().map(file).collect();
    } else if let Some(current) = &capture.current_file {
        status.files = vec![FileStatus {
            name: current.clone(),
            bytes: capture.bytes_written,
            ..FileStatus::default()
        }];
    }
}

fn file(file: &File) -> FileStatus {
    FileStatus {
        name: file.name.clone(),
        bytes: file.bytes,
        packets: file.packets,
        digest: file.digest.as_ref().map(ToString::to_string),
    }
}

fn ledger(ledger: &PartialLedger) -> LedgerStatus {
    let discarded = &ledger.discarded;
    let lost = [
        discarded.queue_full,
        discarded.disk_full,
        discarded.write_error,
    ];
    LedgerStatus {
        seen: ledger.seen,
        filtered: ledger.filtered,
        matched: ledger.matched,
        ring_full: ledger.ring_full,
        unreadable: ledger.unreadable,
        duplicate: ledger.duplicate,
        submitted: ledger.submitted,
        written: ledger.written,
        discarded: lost.into_iter().sum(),
        stopped: discarded.stopped,
    }
}

/// A text from a node, truncated for a status.
fn short(text: &str) -> String {
    let text = text.replace(char::is_control, " ");
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}
