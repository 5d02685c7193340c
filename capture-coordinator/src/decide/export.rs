//! What the sinks of the exporter have of the files of all nodes.

use capture_client::model::Capture;

use super::{NodeView, Run, View, action::is_of, spec::LABEL_RUN};
use crate::{
    request::Plan,
    resource::{ExportStatus, NodeStatus, PacketCaptureConfigStatus},
};

/// Maximum characters of a sink's message in the status: a thousand nodes must fit into one object.
const LONGEST: usize = 200;

/// What a node reports of its capture.
pub(super) fn of_node(capture: &Capture) -> Vec<ExportStatus> {
    let states = capture.export.iter().map(|state| ExportStatus {
        sink: state.sink.clone(),
        delivered: state.delivered_files,
        waiting: state.waiting_files,
        set_aside: state.aside_files,
        missed: state.missed_files,
        message: state
            .message
            .replace(char::is_control, " ")
            .chars()
            .take(LONGEST)
            .collect(),
    });
    states.collect()
}

/// Brings what sinks have up to date in a status that is final otherwise: files are delivered after the end of a
/// run, too.
pub(super) fn refresh(
    status: &mut PacketCaptureConfigStatus,
    view: &View<'_>,
    plan: &Plan,
    run: &Run,
) {
    for node in &mut status.nodes {
        if let Some(known) = view.nodes.get(&node.name) {
            refresh_node(node, view, run, known);
        }
    }
    status.export = total(plan, &status.nodes);
}

/// The same for one node. What was last known is kept of a node that does not say.
pub(super) fn refresh_node(node: &mut NodeStatus, view: &View<'_>, run: &Run, known: &NodeView) {
    let of_run = |capture: &&Capture| {
        is_of(capture, view.uid)
            && capture
                .labels
                .get(LABEL_RUN)
                .is_some_and(|of| *of == run.digest)
    };
    if let Some(capture) = known.capture.as_deref().filter(of_run)
        && !capture.export.is_empty()
    {
        node.export = of_node(capture);
    }
}

/// All nodes together, for each sink that the resource names or a node reports.
pub(super) fn total(plan: &Plan, nodes: &[NodeStatus]) -> Vec<ExportStatus> {
    let mut sums: Vec<ExportStatus> = plan.export.iter().map(|sink| none(sink)).collect();
    for node in nodes {
        for state in &node.export {
            let at = sums.iter().position(|sum| sum.sink == state.sink);
            let at = at.unwrap_or_else(|| {
                sums.push(none(&state.sink));
                sums.len() - 1
            });
            let sum = &mut sums[at];
            sum.delivered += state.delivered;
            sum.waiting += state.waiting;
            sum.set_aside += state.set_aside;
            sum.missed += state.missed;
            if sum.message.is_empty() && !state.message.is_empty() {
                sum.message = format!("{}: {}", node.name, state.message);
            }
        }
    }
    sums
}

fn none(sink: &str) -> ExportStatus {
    ExportStatus {
        sink: sink.to_owned(),
        ..ExportStatus::default()
    }
}
