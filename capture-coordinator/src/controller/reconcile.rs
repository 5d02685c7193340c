//! One reconcile of one resource: gather, decide, act, report.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use capture_client::resource::DELETE_FILES;
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    runtime::controller::Action as Requeue,
};
use serde_json::json;

use super::{
    Context, act,
    error::{Error, describe},
    events, finalizer,
    memory::Memory,
    results::{self, MANAGER},
};
use crate::{
    decide::{Decision, Link, NodeView, View, capture_name, decide, run_digest},
    request::{Invalid, Plan},
    resource::{NodePhase, PacketCaptureConfig, PacketCaptureConfigStatus},
};

/// How often a status is written if only counts have changed, and the share of all these writes that each resource has:
/// 20 a second, whatever their number. A status that says more is written at once.
const NUMBERS: Duration = Duration::from_secs(5);
const NUMBERS_OF_EACH: Duration = Duration::from_millis(50);
/// How long the watch may be behind what was written.
const BEHIND: Duration = Duration::from_millis(200);
/// How many rounds of actions a resource gets before the next one has its turn.
const ROUNDS: usize = 3;

fn failed(doing: &'static str) -> impl Fn(kube::Error) -> Error {
    move |error| Error::Api {
        doing,
        problem: describe(&error),
    }
}

/// The policy after a failed reconcile.
pub(super) fn on_error(
    resource: Arc<PacketCaptureConfig>,
    _: &Error,
    context: Arc<Context>,
) -> Requeue {
    context.metrics.reconciled(false);
    let uid = resource.uid().unwrap_or_default();
    let wait = context
        .memories
        .with(&resource.name_any(), &uid, Memory::wait);
    Requeue::requeue(wait)
}

/// One reconcile of a resource.
pub(super) async fn reconcile(
    resource: Arc<PacketCaptureConfig>,
    context: Arc<Context>,
) -> Result<Requeue, Error> {
    let api = Api::<PacketCaptureConfig>::all(context.client.clone());
    let is_deleted = resource.metadata.deletion_timestamp.is_some();
    let look = Look::new(&resource, &context);
    if !is_deleted
        && !finalizer::is_set(&resource)
        && !look.remembers(|memory| memory.is_finalizer_set)
    {
        let turn = context.writes.acquire().await;
        let set = finalizer::set(&api, &resource).await;
        drop(turn);
        match set {
            Ok(()) => look.remember_that(|memory| memory.is_finalizer_set = true),
            // The watch is behind: what it brings is looked at next.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                return Ok(Requeue::requeue(BEHIND));
            }
            Err(error) => return Err(failed("setting the finalizer")(error)),
        }
    }
    let before = Arc::clone(&look.previous);
    let mut all = Vec::new();
    let mut decision = look.decide();
    // An answer may require the next step at once: for example, a started capture is listed.
    for _ in 0..ROUNDS {
        if decision.actions.is_empty() {
            break;
        }
        let actions = std::mem::take(&mut decision.actions);
        let outcomes = act::act(&context, &look.capture, actions).await;
        if outcomes.is_empty() {
            break;
        }
        look.remember(&outcomes);
        all.extend(outcomes);
        decision = look.decide();
    }
    if is_deleted {
        if decision.release {
            if finalizer::is_set(&resource) {
                finalizer::remove(&api, &resource)
                    .await
                    .map_err(failed("removing the finalizer"))?;
            }
            context.memories.forget(&look.name);
        }
        events::publish(&context, &resource, &all, &before, &before);
        return Ok(after(&look, &decision));
    }
    let last_update = &mut decision.status.last_update_time;
    last_update.clone_from(&before.last_update_time);
    let written = look.write(&api, &resource, &decision.status, &before).await;
    let after = if written.is_ok() {
        &decision.status
    } else {
        &*before
    };
    events::publish(&context, &resource, &all, &before, after);
    let wait = written?;
    if decision.expired {
        delete(&api, &resource).await?;
    }
    context.metrics.reconciled(true);
    context
        .memories
        .with(&look.name, &look.uid, Memory::succeeded);
    Ok(match (wait, after_in(&decision)) {
        (Some(one), Some(other)) => Requeue::requeue(one.min(other)),
        (Some(one), None) | (None, Some(one)) => Requeue::requeue(one),
        (None, None) => Requeue::await_change(),
    })
}

fn after(_: &Look<'_>, decision: &Decision) -> Requeue {
    after_in(decision).map_or_else(Requeue::await_change, Requeue::requeue)
}

/// When to reconcile again: soon if work is left.
fn after_in(decision: &Decision) -> Option<Duration> {
    if decision.actions.is_empty() {
        decision.again_in
    } else {
        let soon = Duration::from_secs(1);
        Some(decision.again_in.map_or(soon, |wait| wait.min(soon)))
    }
}

async fn delete(
    api: &Api<PacketCaptureConfig>,
    resource: &PacketCaptureConfig,
) -> Result<(), Error> {
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: resource.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match api.delete(&resource.name_any(), &parameters).await {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        other => other
            .map(drop)
            .map_err(failed("deleting the resource after its ttl")),
    }
}

/// The subject of a reconcile.
struct Look<'a> {
    context: &'a Arc<Context>,
    name: String,
    uid: String,
    generation: i64,
    deleting: Option<Timestamp>,
    delete_files: bool,
    capture: String,
    plan: Result<Plan, Invalid>,
    run: String,
    previous: Arc<PacketCaptureConfigStatus>,
}

impl<'a> Look<'a> {
    fn new(resource: &PacketCaptureConfig, context: &'a Arc<Context>) -> Self {
        let (name, uid) = (resource.name_any(), resource.uid().unwrap_or_default());
        let written = context
            .memories
            .with(&name, &uid, |memory| memory.written.clone());
        let previous =
            written.unwrap_or_else(|| Arc::new(resource.status.clone().unwrap_or_default()));
        let plan = Plan::new(&resource.spec, context.settings.files).and_then(|plan| {
            // A sink that is gone since does not make a capture fail that has begun.
            let accepted: Vec<&str> = previous.export.iter().map(|one| &*one.sink).collect();
            plan.with_known_sinks(&context.settings.sinks, &accepted)
        });
        Self {
            context,
            capture: capture_name(&name),
            generation: resource.metadata.generation.unwrap_or_default(),
            deleting: resource
                .metadata
                .deletion_timestamp
                .as_ref()
                .map(|time| time.0),
            delete_files: resource
                .annotations()
                .get(DELETE_FILES)
                .is_some_and(|value| value == "true"),
            run: plan
                .as_ref()
                .map(|plan| run_digest(plan, &previous))
                .unwrap_or_default(),
            previous,
            plan,
            name,
            uid,
        }
    }

    fn remembers(&self, ask: impl FnOnce(&Memory) -> bool) -> bool {
        self.context
            .memories
            .with(&self.name, &self.uid, |memory| ask(memory))
    }

    fn remember_that(&self, change: impl FnOnce(&mut Memory)) {
        self.context.memories.with(&self.name, &self.uid, change);
    }

    /// Gathers the current state, and decides.
    fn decide(&self) -> Decision {
        let cluster = self.context.cluster.lock();
        let members = cluster.members(&self.name);
        let (missing, pending) = (cluster.missing(&self.name), cluster.pending(&self.name));
        let mut names: BTreeSet<String> = members.keys().cloned().collect();
        names.extend(self.previous.nodes.iter().map(|node| node.name.clone()));
        let choice = self.plan.as_ref().map(Plan::nodes).unwrap_or_default();
        let known: BTreeMap<_, _> = {
            names.extend(self.context.nodes.with_capture(&self.capture));
            let one = |name: String| {
                let node = cluster.node(&name);
                let daemon = cluster.daemons().get(&name);
                let address = node
                    .as_ref()
                    .map(|node| node.address.clone())
                    .filter(|address| !address.is_empty())
                    .or_else(|| daemon.map(|daemon| daemon.address.clone()))
                    .unwrap_or_default();
                let has_labels = node.as_ref().is_none_or(|node| node.has(&choice.labels));
                let selected = has_labels && choice.names(&name);
                let view = NodeView {
                    address,
                    exists: node.is_some(),
                    selected,
                    ..NodeView::default()
                };
                (name, view)
            };
            names.into_iter().map(one).collect()
        };
        drop(cluster);
        let nodes = self.ask(known);
        let view = View {
            now: Timestamp::now(),
            name: &self.name,
            uid: &self.uid,
            generation: self.generation,
            deleting: self.deleting,
            delete_files: self.delete_files,
            plan: self.plan.as_ref(),
            previous: &self.previous,
            members: &members,
            missing: &missing,
            pending: &pending,
            nodes: &nodes,
        };
        decide(&view)
    }

    /// Adds the daemons' reports, and the memory.
    fn ask(&self, mut nodes: BTreeMap<String, NodeView>) -> BTreeMap<String, NodeView> {
        for (name, node) in &mut nodes {
            if let Some((link, capture)) = self.context.nodes.view(name, &self.capture) {
                node.link = link;
                node.capture = capture;
            }
        }
        self.context.memories.with(&self.name, &self.uid, |memory| {
            for (name, node) in &mut nodes {
                node.fault = memory.fault(name);
                node.files = node
                    .capture
                    .as_ref()
                    .and_then(|capture| memory.files(name, &capture.uid));
                // A node that was lost and is back is called again at once.
                if node.link != Link::Ready {
                    memory.forget_fault(name);
                    node.fault = None;
                }
            }
        });
        nodes
    }

    fn remember(&self, outcomes: &[act::Outcome]) {
        self.context.memories.with(&self.name, &self.uid, |memory| {
            for outcome in outcomes {
                match &outcome.result {
                    Ok(act::Done::Files(uid, files)) => {
                        // Checksums are still missing: asked again a little later.
                        if files
                            .iter()
                            .all(|file| file.is_whole() && file.digest.is_some())
                        {
                            memory.forget_fault(&outcome.node);
                        } else {
                            let text = "its files are being completed: waiting for their checksums";
                            memory.note_fault(&outcome.node, &self.run, text.to_owned(), false);
                        }
                        memory.note_files(&outcome.node, uid, files.clone());
                    }
                    Ok(_) => memory.forget_fault(&outcome.node),
                    Err(error) => {
                        let permanent = act::is_permanent(error);
                        tracing::warn!(
                            "{} on node {}: {}: {error}",
                            self.name,
                            outcome.node,
                            outcome.action.name()
                        );
                        memory.note_fault(&outcome.node, &self.run, error.to_string(), permanent);
                    }
                }
            }
        });
    }

    /// Writes the status if it has changed. Returns how long changed counts wait until they are
    /// written.
    async fn write(
        &self,
        api: &Api<PacketCaptureConfig>,
        resource: &PacketCaptureConfig,
        status: &PacketCaptureConfigStatus,
        before: &PacketCaptureConfigStatus,
    ) -> Result<Option<Duration>, Error> {
        if status == before {
            return Ok(None);
        }
        if gist(status) == gist(before) {
            let since = self.context.memories.with(&self.name, &self.uid, |memory| {
                memory.written_at.map(|at| at.elapsed())
            });
            let pause = between_numbers(self.context.memories.count());
            if let Some(since) = since.filter(|since| *since < pause) {
                return Ok(Some(pause.saturating_sub(since)));
            }
        }
        let _turn = self.context.writes.acquire().await;
        let status = PacketCaptureConfigStatus {
            last_update_time: Some(Time(Timestamp::now())),
            ..status.clone()
        };
        // Before the status: if this fails, both are tried again.
        if status.phase != before.phase || status.completed_at != before.completed_at {
            results::write(self.context, resource, &status)
                .await
                .map_err(failed("writing the ConfigMap with results"))?;
        }
        let patch = json!({
            "apiVersion": "networking.packet.io/v1",
            "kind": "PacketCaptureConfig",
            // Another resource of the same name is not our concern.
            "metadata": { "name": self.name, "uid": self.uid },
            "status": status,
        });
        let parameters = PatchParams::apply(MANAGER).force();
        match api
            .patch_status(&self.name, &parameters, &Patch::Apply(&patch))
            .await
        {
            Ok(_) => {}
            // It was deleted.
            Err(kube::Error::Api(error)) if error.code == 404 => return Ok(None),
            Err(error) => return Err(failed("writing the status")(error)),
        }
        self.context.metrics.wrote_status();
        self.context.memories.with(&self.name, &self.uid, |memory| {
            memory.written = Some(Arc::new(status));
            memory.written_at = Some(Instant::now());
        });
        Ok(None)
    }
}

/// The pause between two writes of one resource's counts, among so many resources.
fn between_numbers(resources: usize) -> Duration {
    let each = NUMBERS_OF_EACH.saturating_mul(u32::try_from(resources).unwrap_or(u32::MAX));
    each.max(NUMBERS)
}

/// A status without what changes all the time: counts, and which pods come and go.
fn gist(
    status: &PacketCaptureConfigStatus,
) -> (PacketCaptureConfigStatus, Vec<(String, NodePhase)>) {
    let mut gist = status.clone();
    let phases = gist
        .nodes
        .iter()
        .map(|node| (format!("{}{}", node.name, node.message), node.phase))
        .collect();
    gist.summary = None;
    gist.nodes.clear();
    gist.export.clear();
    gist.capture_results.clear();
    gist.capture_files.clear();
    gist.last_update_time = None;
    (gist, phases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_resources_together_are_at_most_twenty_writes_a_second() {
        assert_eq!(between_numbers(1), NUMBERS);
        assert_eq!(between_numbers(100), NUMBERS);
        for resources in [101, 500, 5000] {
            let writes = resources as f64 / between_numbers(resources).as_secs_f64();
            assert!((writes - 20.0).abs() < 1e-6, "{resources}: {writes}");
        }
    }
}
