//! The decision: what must run where, from the state of one resource and its nodes. A pure function,
//! tested without a server; [`crate::controller`] reads and acts.

mod action;
mod export;
mod namespaces;
mod node;
mod orphans;
mod overall;
mod spec;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use capture_client::model::{Capture, File};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::{
    cluster::{Members, PodKey},
    request::{Invalid, Plan},
    resource::PacketCaptureConfigStatus,
};

pub use action::Action;
pub use namespaces::{Namespaces, OwnFile, first_own};
pub use orphans::{Orphan, orphans};
pub use spec::{LABEL_RESOURCE, LABEL_UID, capture_name};

/// How long an unreachable node is waited for after the end of a run, and after the deletion of a resource.
/// Captures have a separate limit: none runs for ever on a node that is lost.
pub const GRACE: Duration = Duration::from_secs(60);

/// A resource, and the state that concerns it.
#[derive(Debug)]
pub struct View<'a> {
    /// The time, by the coordinator's clock.
    pub now: Timestamp,
    /// The resource's name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// Its generation.
    pub generation: i64,
    /// When it was marked for deletion.
    pub deleting: Option<Timestamp>,
    /// Whether files are deleted with the resource.
    pub delete_files: bool,
    /// Its request.
    pub plan: Result<&'a Plan, &'a Invalid>,
    /// Its previous status.
    pub previous: &'a PacketCaptureConfigStatus,
    /// Nodes on which it must be captured, with its pods.
    pub members: &'a Members,
    /// Pods that it names and that do not exist.
    pub missing: &'a [PodKey],
    /// Pods that it names and that no node runs yet.
    pub pending: &'a [PodKey],
    /// Every node of `members`, of the previous status, and with a capture of this resource.
    pub nodes: &'a BTreeMap<String, NodeView>,
}

/// The state of a node with regard to one resource.
#[derive(Debug, Clone, Default)]
pub struct NodeView {
    /// Its address.
    pub address: String,
    /// Whether the cluster still has it.
    pub exists: bool,
    /// Whether the resource's node selector selects it.
    pub selected: bool,
    /// The connection to its daemon.
    pub link: Link,
    /// The capture that has the resource's name.
    pub capture: Option<Arc<Capture>>,
    /// The last error of an action on it.
    pub fault: Option<Fault>,
    /// The files of its capture, if they were listed after its end.
    pub files: Option<Arc<Vec<File>>>,
}

/// The connection to a node's daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Link {
    /// No daemon runs there.
    #[default]
    NoDaemon,
    /// The first connection is being established.
    Connecting,
    /// It cannot be reached.
    Broken(String),
    /// All captures of the node are known.
    Ready,
}

/// An error of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The node's message.
    pub message: String,
    /// Whether it is permanent until the resource changes.
    pub permanent: bool,
    /// The run that it belongs to.
    pub run: String,
    /// When it may be retried.
    pub retry_at: Timestamp,
}

/// The result of a decision.
#[derive(Debug, Default)]
pub struct Decision {
    /// Actions on nodes.
    pub actions: Vec<(String, Action)>,
    /// The new status.
    pub status: PacketCaptureConfigStatus,
    /// Whether the finalizer may be removed: nothing of the resource runs any more.
    pub release: bool,
    /// Whether the resource has outlived its ttl.
    pub expired: bool,
    /// When to decide again even without a change.
    pub again_in: Option<Duration>,
}

/// Decides.
#[must_use]
pub fn decide(view: &View<'_>) -> Decision {
    let mut decision = Decision::default();
    if let Some(since) = view.deleting {
        release(view, since, &mut decision);
        return decision;
    }
    let plan = match view.plan {
        Ok(plan) => plan,
        Err(invalid) => {
            decision.status = overall::invalid(view, invalid);
            return decision;
        }
    };
    let run = Run::of(view, plan);
    if plan.suspend {
        suspend(view, plan, &run, &mut decision);
        return decision;
    }
    if run.is_complete(view) {
        decision.status = view.previous.clone();
        decision.status.observed_generation = Some(view.generation);
        export::refresh(&mut decision.status, view, plan, &run);
        expire(view, plan, &mut decision);
        return decision;
    }
    let (common, previous) = (spec::Common::of(view, plan), node::previous(view));
    let mut nodes = Vec::new();
    for (name, node) in view.nodes {
        let action = action::of_node(view, plan, (&run, &common), name, node);
        let before = previous.get(&**name).copied();
        nodes.push(node::status(
            view,
            &run,
            (name, node),
            before,
            action.as_ref(),
        ));
        if let Some(at) = node.fault.as_ref().filter(|fault| !fault.permanent) {
            wake(&mut decision, view.now, at.retry_at);
        }
        if let Some(action) = action {
            decision.actions.push((name.clone(), action));
        }
    }
    // How long a node is waited for after the end of a run.
    if let Some(end) = run.end {
        for due in [end, end + GRACE] {
            wake(&mut decision, view.now, due + Duration::from_secs(1));
        }
    }
    decision.status = overall::status(view, plan, &run, nodes);
    expire(view, plan, &mut decision);
    decision
}

/// Requests another decision at a time, if it is in the future.
fn wake(decision: &mut Decision, now: Timestamp, at: Timestamp) {
    if at <= now {
        return;
    }
    let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    decision.again_in = Some(decision.again_in.map_or(wait, |other| other.min(wait)));
}

/// The digest of the run that a resource is in: that of what it captures, with a number if it was resumed. While it
/// is suspended, that of its last run.
#[must_use]
pub fn run_digest(plan: &Plan, previous: &PacketCaptureConfigStatus) -> String {
    let own = plan.run_digest();
    let Some(last) = &previous.run else {
        return own;
    };
    if plan.suspend {
        return last.clone();
    }
    let (of, resumed) = last.split_once('.').unwrap_or((last, "0"));
    if of != own {
        return own;
    }
    if !overall::was_suspended(previous) {
        return last.clone();
    }
    let resumed: u32 = resumed.parse().unwrap_or_default();
    format!("{own}.{}", resumed.saturating_add(1))
}

/// One run of a resource: from the start on the first node to the end on the last.
#[derive(Debug)]
struct Run {
    /// The digest of the captured selection.
    digest: String,
    /// When the first node started to capture.
    started: Option<Timestamp>,
    /// When its time is over.
    end: Option<Timestamp>,
    /// Whether the previous status belongs to this run.
    is_of_status: bool,
}

impl Run {
    fn of(view: &View<'_>, plan: &Plan) -> Self {
        let previous = view.previous;
        let digest = run_digest(plan, previous);
        // A change while it runs belongs to the same run; one after its end begins another.
        let is_of_status =
            previous.completed_at.is_none() || previous.run.as_ref() == Some(&digest);
        let started = previous
            .started_at
            .as_ref()
            .filter(|_| is_of_status && !overall::was_suspended(previous))
            .map(|time| time.0);
        Self {
            end: started.and_then(|started| {
                let duration = SignedDuration::try_from(plan.duration).ok()?;
                started.checked_add(duration).ok()
            }),
            digest,
            started,
            is_of_status,
        }
    }

    /// Whether it has ended, and its status is final.
    fn is_complete(&self, view: &View<'_>) -> bool {
        view.previous.completed_at.is_some()
            && view.previous.run.as_ref() == Some(&self.digest)
            && !overall::was_suspended(view.previous)
    }

    /// Whether its time is over.
    fn is_over(&self, now: Timestamp) -> bool {
        self.end.is_some_and(|end| now >= end)
    }

    /// Whether a node that is still unreachable counts as lost.
    fn is_long_over(&self, now: Timestamp) -> bool {
        self.end.is_some_and(|end| now >= end + GRACE)
    }

    /// Seconds since its start, for a node that starts later.
    fn elapsed(&self, now: Timestamp) -> Duration {
        self.started
            .and_then(|started| Duration::try_from(now.duration_since(started)).ok())
            .unwrap_or_default()
    }
}

/// The resource is being deleted: ends its captures and then releases it. Nodes that are gone or
/// unreachable are not waited for beyond [`GRACE`]; captures that still run there are ended when they
/// come back.
fn release(view: &View<'_>, since: Timestamp, decision: &mut Decision) {
    decision.status = view.previous.clone();
    let is_expired = |plan: &Plan| ttl_left(view, plan).is_some_and(|left| left.is_zero());
    let without_files = view.delete_files || view.plan.is_ok_and(is_expired);
    let patience_over = view.now >= since + GRACE;
    let mut waiting = false;
    for (name, node) in view.nodes {
        let active = node
            .capture
            .as_ref()
            .filter(|capture| action::is_of(capture, view.uid));
        match (&node.link, active) {
            (Link::Ready, Some(_)) if without_files => {
                decision
                    .actions
                    .push((name.clone(), Action::Delete { keep_files: false }));
                waiting = true;
            }
            (Link::Ready, Some(capture)) if !capture.has_ended() => {
                decision.actions.push((name.clone(), Action::Stop));
                waiting = true;
            }
            (Link::Ready, _) => {}
            (_, Some(capture)) if capture.has_ended() => {}
            (Link::NoDaemon, None) => {}
            // It may have an unknown capture.
            _ => waiting |= node.exists,
        }
    }
    decision.release = !waiting || patience_over;
    if !decision.release {
        decision.again_in = Some(Duration::from_secs(2));
    }
}

/// Ends the captures in order: they and their files stay on the nodes until a new run begins.
fn suspend(view: &View<'_>, plan: &Plan, run: &Run, decision: &mut Decision) {
    if overall::was_suspended(view.previous) && view.previous.completed_at.is_some() {
        decision.status = view.previous.clone();
        decision.status.observed_generation = Some(view.generation);
        export::refresh(&mut decision.status, view, plan, run);
        expire(view, plan, decision);
        return;
    }
    let previous = node::previous(view);
    let mut nodes = Vec::new();
    for (name, node) in view.nodes {
        let ours = node.capture.as_ref();
        let ours = ours.filter(|capture| action::is_of(capture, view.uid));
        let before = previous.get(&**name).copied();
        let had_begun = before.is_some_and(|status| status.started_at.is_some());
        if ours.is_some() || had_begun {
            nodes.push(node::status(view, run, (name, node), before, None));
        }
        let action = match ours.filter(|_| node.link == Link::Ready) {
            Some(capture) if !capture.has_ended() => Some(Action::Stop),
            Some(_) => action::listing(plan, node),
            None => None,
        };
        decision
            .actions
            .extend(action.map(|action| (name.clone(), action)));
    }
    decision.status = overall::suspended(view, plan, run, nodes);
    expire(view, plan, decision);
}

/// How long a resource that has ended is kept; `None`: it has not ended, or is kept for ever.
fn ttl_left(view: &View<'_>, plan: &Plan) -> Option<Duration> {
    let end = view.previous.completed_at.as_ref()?.0;
    let since = Duration::try_from(view.now.duration_since(end)).unwrap_or_default();
    Some(plan.ttl?.saturating_sub(since))
}

fn expire(view: &View<'_>, plan: &Plan, decision: &mut Decision) {
    match ttl_left(view, plan) {
        Some(left) if left.is_zero() => decision.expired = true,
        Some(left) => {
            decision.again_in = Some(decision.again_in.map_or(left, |other| other.min(left)));
        }
        None => {}
    }
}

#[cfg(test)]
#[path = "tests/mod.rs"]
mod tests;
