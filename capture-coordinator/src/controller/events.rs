//! Kubernetes Events: each step of a capture and each error, for `kubectl describe`.

use std::collections::BTreeMap;

use kube::Resource as _;

use super::{Context, act::Outcome, recorder::Notice};
use crate::{
    decide::Action,
    resource::{PacketCaptureConfig, PacketCaptureConfigStatus, Phase},
};

/// Maximum length of an event's text.
const LONGEST: usize = 1000;
/// Maximum events of one reconcile.
const MOST: usize = 8;

/// Reports the actions on nodes, and changes of the status. Does not wait until the events are published.
pub(super) fn publish(
    context: &Context,
    resource: &PacketCaptureConfig,
    outcomes: &[Outcome],
    before: &PacketCaptureConfigStatus,
    after: &PacketCaptureConfigStatus,
) {
    let mut events = of_outcomes(outcomes);
    events.extend(of_change(before, after));
    let reference = resource.object_ref(&());
    for event in events.into_iter().take(MOST) {
        context.recorder.accept(&reference, event);
    }
}

/// Reports who asked for something through the cluster API.
pub(super) async fn asked(context: &Context, resource: &PacketCaptureConfig, note: String) {
    let event = event(false, "Asked", note);
    let reference = resource.object_ref(&());
    let published = context.recorder.publish(&reference, &event).await;
    if let Err(error) = published {
        let error = super::error::describe(&error);
        tracing::warn!("event {} not published: {error}", event.reason);
    }
}

fn event(is_warning: bool, reason: &str, note: String) -> Notice {
    let note = match note.char_indices().nth(LONGEST) {
        Some((at, _)) => note[..at].to_owned(),
        None => note,
    };
    Notice {
        is_warning,
        reason: reason.to_owned(),
        note,
    }
}

/// One event for each kind of action, with the nodes, and one for each kind of error.
fn of_outcomes(outcomes: &[Outcome]) -> Vec<Notice> {
    let mut done: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut failed: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for outcome in outcomes {
        match (&outcome.result, sentence(&outcome.action)) {
            (Ok(_), Some(sentence)) => done.entry(sentence).or_default().push(&outcome.node),
            (Ok(_), None) => {}
            (Err(error), _) => failed
                .entry(format!("{}: {error}", outcome.action.name()))
                .or_default()
                .push(&outcome.node),
        }
    }
    let done = done.into_iter().map(|(sentence, nodes)| {
        let (reason, text) = sentence.split_once(": ").unwrap_or(("Acted", sentence));
        // Pods come and go all the time: the same text each time is one event, which is counted.
        let note = if reason == CHANGED {
            text.to_owned()
        } else {
            format!("{text} on {}", names(&nodes))
        };
        event(false, reason, note)
    });
    let failed = failed
        .into_iter()
        .map(|(error, nodes)| event(true, "NodeFailed", format!("{}: {error}", names(&nodes))));
    failed.chain(done).collect()
}

/// The reason of events about changes.
const CHANGED: &str = "CaptureChanged";

const fn sentence(action: &Action) -> Option<&'static str> {
    match action {
        Action::Start { .. } => Some("CaptureStarted: capture started"),
        Action::Update { .. } => {
            Some("CaptureChanged: the capture follows its pods and its resource")
        }
        Action::Replace { .. } => Some("CaptureRestarted: capture started anew"),
        Action::Stop => Some("CaptureStopped: capture stopped"),
        Action::Delete { .. } => Some("CaptureRemoved: capture removed"),
        Action::ListFiles => None,
    }
}

/// "node-1, node-2 and 3 others".
fn names(nodes: &[&str]) -> String {
    let mut nodes = nodes.to_vec();
    nodes.sort_unstable();
    let shown = nodes.len().min(5);
    let mut text = nodes[..shown].join(", ");
    if nodes.len() > shown {
        text.push_str(&format!(" and {} others", nodes.len() - shown));
    }
    text
}

fn of_change(
    before: &PacketCaptureConfigStatus,
    after: &PacketCaptureConfigStatus,
) -> Option<Notice> {
    let phase = after.phase?;
    if before.phase == after.phase && (phase != Phase::Starting || before.message == after.message)
    {
        let is_new_problem = phase == Phase::Failed && before.message != after.message;
        if !is_new_problem {
            return None;
        }
    }
    let is_warning = match phase {
        Phase::Failed | Phase::Degraded => true,
        Phase::Starting => after.nodes.is_empty(),
        Phase::Running | Phase::Completed => false,
    };
    let summary = after
        .summary
        .as_ref()
        .filter(|_| after.completed_at.is_some());
    let numbers = summary.map_or_else(String::new, |summary| {
        let lost = summary
            .lost
            .map_or_else(|| "an unknown number".to_owned(), |lost| lost.to_string());
        format!(
            "; {} packets, {lost} lost, {} bytes",
            summary.packets, summary.bytes
        )
    });
    Some(event(
        is_warning,
        &phase.to_string(),
        format!("{}{numbers}", after.message),
    ))
}
