//! The status of a resource, from those of its nodes.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::{Run, View, action::has_files, export};
use crate::{
    cluster::PodKey,
    request::{Invalid, Plan},
    resource::{CaptureFile, NodePhase, NodeStatus, PacketCaptureConfigStatus, Phase, Summary},
};

/// Types of conditions.
const ACCEPTED: &str = "Accepted";
const RUNNING: &str = "Running";
const COMPLETE: &str = "Complete";
const DEGRADED: &str = "Degraded";
const SUSPENDED: &str = "Suspended";

/// The destinations of captures on nodes.
const DIRECTORY: &str = "/var/lib/packet-captures";

/// Whether a status is that of a suspended resource.
pub(super) fn was_suspended(status: &PacketCaptureConfigStatus) -> bool {
    status
        .conditions
        .iter()
        .any(|condition| condition.type_ == SUSPENDED && condition.status == "True")
}

/// The status of an invalid resource.
pub(super) fn invalid(view: &View<'_>, invalid: &Invalid) -> PacketCaptureConfigStatus {
    let mut status = view.previous.clone();
    status.phase = Some(Phase::Failed);
    status.message = invalid.to_string();
    status.observed_generation = Some(view.generation);
    condition(
        view,
        &mut status,
        ACCEPTED,
        false,
        "Invalid",
        &invalid.to_string(),
    );
    status
}

/// The status of a suspended resource, with the nodes on which it was captured.
pub(super) fn suspended(
    view: &View<'_>,
    plan: &Plan,
    run: &Run,
    nodes: Vec<NodeStatus>,
) -> PacketCaptureConfigStatus {
    let mut status = if nodes.is_empty() {
        let mut status = PacketCaptureConfigStatus {
            phase: Some(Phase::Starting),
            message: "nothing is captured".to_owned(),
            observed_generation: Some(view.generation),
            run: Some(run.digest.clone()),
            conditions: view.previous.conditions.clone(),
            ..PacketCaptureConfigStatus::default()
        };
        condition(view, &mut status, ACCEPTED, true, "Valid", "");
        condition(view, &mut status, RUNNING, false, "Suspended", "");
        condition(view, &mut status, COMPLETE, false, "Suspended", "");
        status
    } else {
        let mut status = of_nodes(view, plan, run, nodes);
        status.started_at.clone_from(&view.previous.started_at);
        if status.completed_at.is_some() && view.previous.completed_at.is_some() {
            status.completed_at.clone_from(&view.previous.completed_at);
        }
        status
    };
    status.message = format!("suspended: {}", status.message);
    let reason = "spec.suspend is set";
    condition(view, &mut status, SUSPENDED, true, "Suspended", reason);
    status
}

/// Numbers of nodes by state.
#[derive(Debug, Default)]
struct Counts {
    waiting: usize,
    starting: usize,
    running: usize,
    finishing: usize,
    completed: usize,
    failed: usize,
    unreachable: usize,
}

impl Counts {
    fn of(nodes: &[NodeStatus]) -> Self {
        let mut counts = Self::default();
        for node in nodes {
            *match node.phase {
                NodePhase::Waiting => &mut counts.waiting,
                NodePhase::Starting => &mut counts.starting,
                NodePhase::Running => &mut counts.running,
                NodePhase::Finishing => &mut counts.finishing,
                NodePhase::Completed => &mut counts.completed,
                NodePhase::Failed | NodePhase::Lost => &mut counts.failed,
                NodePhase::Unreachable => &mut counts.unreachable,
            } += 1;
        }
        counts
    }

    const fn active(&self) -> usize {
        self.waiting + self.starting + self.running + self.finishing + self.unreachable
    }

    const fn begun(&self) -> usize {
        self.running + self.finishing + self.completed
    }
}

/// The status of a captured resource.
pub(super) fn status(
    view: &View<'_>,
    plan: &Plan,
    run: &Run,
    nodes: Vec<NodeStatus>,
) -> PacketCaptureConfigStatus {
    let mut status = of_nodes(view, plan, run, nodes);
    if was_suspended(&status) {
        condition(view, &mut status, SUSPENDED, false, "Resumed", "");
    }
    status
}

fn of_nodes(
    view: &View<'_>,
    plan: &Plan,
    run: &Run,
    nodes: Vec<NodeStatus>,
) -> PacketCaptureConfigStatus {
    let counts = Counts::of(&nodes);
    let began = nodes.iter().any(|node| {
        matches!(
            node.phase,
            NodePhase::Running | NodePhase::Finishing | NodePhase::Completed
        )
    });
    let started = run.started.or_else(|| began.then_some(view.now));
    let (phase, is_over) = phase(&counts, nodes.len());
    let mut status = PacketCaptureConfigStatus {
        phase: Some(phase),
        message: message(view, plan, phase, &counts, &nodes),
        capture_files: files(plan, &nodes),
        capture_results: results(&nodes),
        summary: Some(summary(&counts, &nodes)),
        observed_generation: Some(view.generation),
        run: Some(run.digest.clone()),
        started_at: started.map(Time),
        completed_at: is_over.then_some(Time(view.now)),
        conditions: view.previous.conditions.clone(),
        last_update_time: view.previous.last_update_time.clone(),
        export: export::total(plan, &nodes),
        nodes,
    };
    let message = status.message.clone();
    condition(view, &mut status, ACCEPTED, true, "Valid", "");
    let running = counts.running > 0;
    let reason = if running { "Capturing" } else { "NotCapturing" };
    condition(view, &mut status, RUNNING, running, reason, &message);
    let complete = phase == Phase::Completed;
    let reason = if complete {
        "FilesComplete"
    } else {
        "NotComplete"
    };
    condition(view, &mut status, COMPLETE, complete, reason, &message);
    let degraded = counts.failed + counts.unreachable > 0;
    let reason = if degraded { "NodesFailed" } else { "NodesWell" };
    condition(view, &mut status, DEGRADED, degraded, reason, "");
    status
}

/// The phase, and whether the run is over.
fn phase(counts: &Counts, nodes: usize) -> (Phase, bool) {
    if nodes == 0 {
        return (Phase::Starting, false);
    }
    if counts.active() == 0 {
        let phase = match (counts.completed, counts.failed) {
            (_, 0) => Phase::Completed,
            (0, _) => Phase::Failed,
            _ => Phase::Degraded,
        };
        return (phase, true);
    }
    let phase = if counts.failed + counts.unreachable > 0 {
        Phase::Degraded
    } else if counts.begun() > 0 {
        Phase::Running
    } else {
        Phase::Starting
    };
    (phase, false)
}

/// A summary in one sentence.
fn message(
    view: &View<'_>,
    plan: &Plan,
    phase: Phase,
    counts: &Counts,
    nodes: &[NodeStatus],
) -> String {
    let mut parts = Vec::new();
    match phase {
        Phase::Starting if nodes.is_empty() => parts.push(nobody(view, plan)),
        Phase::Starting => parts.push(format!("starting on {}", count(nodes.len(), "node"))),
        Phase::Running | Phase::Degraded if counts.active() > 0 => {
            if counts.running > 0 {
                parts.push(format!("captured on {}", count(counts.running, "node")));
            }
            if counts.finishing > 0 {
                parts.push(format!(
                    "files are completed on {}",
                    count(counts.finishing, "node")
                ));
            }
        }
        Phase::Completed | Phase::Running | Phase::Degraded | Phase::Failed => {}
    }
    if phase == Phase::Completed {
        parts.push(format!("complete on {}", count(counts.completed, "node")));
    }
    for (number, what) in [
        (counts.failed, "failed"),
        (counts.unreachable, "cannot be reached"),
        (counts.waiting, "waiting"),
    ] {
        if number > 0 {
            parts.push(format!(
                "{} {what}{}",
                count(number, "node"),
                why(nodes, what)
            ));
        }
    }
    if !view.missing.is_empty() && counts.active() > 0 {
        parts.push(format!(
            "{} {} not exist",
            names(view.missing),
            does(view.missing.len())
        ));
    }
    parts.join("; ")
}

/// Why the first node of a kind does not capture.
fn why(nodes: &[NodeStatus], what: &str) -> String {
    let first = nodes.iter().find(|node| match what {
        "failed" => matches!(node.phase, NodePhase::Failed | NodePhase::Lost),
        "waiting" => node.phase == NodePhase::Waiting,
        _ => node.phase == NodePhase::Unreachable,
    });
    match first {
        Some(node) if !node.message.is_empty() => {
            let line = node.message.lines().next().unwrap_or_default();
            format!(" ({}: {line})", node.name)
        }
        _ => String::new(),
    }
}

/// Why there is no node to capture on.
fn nobody(view: &View<'_>, plan: &Plan) -> String {
    if !view.missing.is_empty() {
        return format!(
            "waiting for {}, which {} not exist",
            names(view.missing),
            does(view.missing.len())
        );
    }
    if !view.pending.is_empty() {
        return format!(
            "waiting for {} to get a node and an address",
            names(view.pending)
        );
    }
    let field = match (plan.node_selector.is_empty(), plan.node_names.is_empty()) {
        (true, true) => None,
        (false, true) => Some("nodeSelector"),
        (true, false) => Some("nodeNames"),
        (false, false) => Some("nodeSelector and nodeNames"),
    };
    match (&plan.selection, field) {
        (Some(_), None) => "waiting: no running pod matches podSelector".to_owned(),
        (Some(_), Some(field)) => {
            format!("waiting: no running pod matches podSelector on the nodes of {field}")
        }
        (None, None) => "waiting: no node runs a daemon".to_owned(),
        (None, Some(field)) => format!("waiting: no node of {field} runs a daemon"),
    }
}

fn names(pods: &[PodKey]) -> String {
    let shown = pods.iter().take(3);
    let shown: Vec<_> = shown
        .map(|(namespace, name)| format!("{namespace}/{name}"))
        .collect();
    let more = pods.len() - shown.len();
    let kind = if pods.len() == 1 { "pod" } else { "pods" };
    let mut text = format!("{kind} {}", shown.join(", "));
    if more > 0 {
        text.push_str(&format!(" and {more} others"));
    }
    text
}

const fn does(number: usize) -> &'static str {
    if number == 1 { "does" } else { "do" }
}

/// "1 node", "2 nodes".
pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn summary(counts: &Counts, nodes: &[NodeStatus]) -> Summary {
    let ledgers = || nodes.iter().filter_map(|node| node.ledger);
    let lost =
        ledgers().map(|ledger| Some(ledger.ring_full? + ledger.unreadable? + ledger.discarded?));
    Summary {
        nodes: format!("{}/{}", counts.begun(), nodes.len()),
        packets: ledgers().filter_map(|ledger| ledger.written).sum(),
        lost: lost.sum(),
        bytes: nodes.iter().map(|node| node.bytes).sum(),
        pods: nodes
            .iter()
            .filter(|node| node.phase == NodePhase::Running)
            .map(|node| node.pods.len() as u64)
            .sum(),
    }
}

/// By address, or by name if a node has none.
fn key(node: &NodeStatus) -> String {
    if node.address.is_empty() {
        node.name.clone()
    } else {
        node.address.clone()
    }
}

fn files(plan: &Plan, nodes: &[NodeStatus]) -> BTreeMap<String, CaptureFile> {
    let file = |node: &NodeStatus| {
        if !has_files(plan) {
            return CaptureFile {
                status: node.phase.to_string(),
                output_file: "packets are in the daemon's log".to_owned(),
                file_size: 0,
            };
        }
        let newest = node.files.last();
        CaptureFile {
            status: node.phase.to_string(),
            output_file: newest.map_or_else(String::new, |file| {
                format!("{DIRECTORY}/{}/{}", node.capture, file.name)
            }),
            file_size: newest.map_or(0, |file| file.bytes),
        }
    };
    nodes.iter().map(|node| (key(node), file(node))).collect()
}

fn results(nodes: &[NodeStatus]) -> BTreeMap<String, serde_json::Value> {
    let result = |node: &NodeStatus| {
        json!({
            "node": node.name,
            "status": node.phase,
            "message": node.message,
            "packets": node.ledger.and_then(|ledger| ledger.written),
            "bytes": node.bytes,
            "files": node.files.len(),
        })
    };
    nodes.iter().map(|node| (key(node), result(node))).collect()
}

/// Sets a condition; its time changes only with its status.
fn condition(
    view: &View<'_>,
    status: &mut PacketCaptureConfigStatus,
    kind: &str,
    holds: bool,
    reason: &str,
    message: &str,
) {
    let holds = if holds { "True" } else { "False" };
    let before = status.conditions.iter().position(|one| one.type_ == kind);
    let since = before
        .map(|at| &status.conditions[at])
        .filter(|one| one.status == holds)
        .map_or(view.now, |one| one.last_transition_time.0);
    let new = Condition {
        type_: kind.to_owned(),
        status: holds.to_owned(),
        reason: reason.to_owned(),
        // Some API servers treat an empty text as missing, and require one.
        message: if message.is_empty() { reason } else { message }.to_owned(),
        observed_generation: Some(view.generation),
        last_transition_time: Time(whole_seconds(since)),
    };
    match before {
        Some(at) => status.conditions[at] = new,
        None => status.conditions.push(new),
    }
}

/// The API keeps times of conditions to the second.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
