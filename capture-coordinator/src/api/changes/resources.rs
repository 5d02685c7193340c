//! Changes of captures in Kubernetes: resources are written for users who may write them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use capture_client::{cluster::ClusterSpec, model::Capture, resource::DELETE_FILES};
use capture_proto::v1;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::{
    compile::{Question, compile},
    convert, outcome,
    wait::until,
};
use crate::{
    api::{
        access::{Access, Caller, Captures},
        nodes,
    },
    controller::Context,
    decide::{LABEL_UID, capture_name},
    request::Plan,
    resource::{NodePhase, PacketCaptureConfig, PacketCaptureConfigSpec, Phase},
};

/// Annotations that say who asked last, why, and with which request it was created.
const ASKED_BY: &str = "networking.packet.io/asked-by";
const REASON: &str = "networking.packet.io/reason";
const REQUEST_ID: &str = "networking.packet.io/request-id";

/// How long the nodes are waited for.
const BEGIN: Duration = Duration::from_secs(5);
const CHANGE: Duration = Duration::from_secs(5);
const END: Duration = Duration::from_secs(20);
/// The controller writes resources as well: how often a conflict is tried again.
const ATTEMPTS: usize = 8;
/// Maximum bytes of a request id.
const LONGEST_ID: usize = 128;

/// Writes resources for a caller.
pub(in crate::api) struct Resources<'a> {
    pub(super) context: &'a Arc<Context>,
    pub(super) access: &'a Access,
    pub(super) caller: &'a Caller,
}

impl Resources<'_> {
    fn api(&self) -> Api<PacketCaptureConfig> {
        Api::all(self.context.client.clone())
    }

    pub(super) async fn start(
        self,
        request: v1::StartClusterCaptureRequest,
    ) -> Result<v1::StartClusterCaptureResponse, Status> {
        self.access.may(self.caller, "create", "").await?;
        if request.request_id.len() > LONGEST_ID {
            let message = format!("request_id: give at most {LONGEST_ID} bytes");
            return Err(Status::invalid_argument(message));
        }
        let wanted = ClusterSpec::from(request.spec.unwrap_or_default());
        super::chosen(&self.context.nodes, &wanted.nodes)?;
        let question = Question {
            nodes: wanted.nodes.clone(),
            filter: wanted.capture.filter.clone(),
        };
        let spec = convert::spec(&wanted)?;
        let selects_nothing = spec.pod_selector.is_none() && spec.target_ips.is_empty();
        if request.validate_only && selects_nothing {
            if !compile(&self.context.nodes, question).await? {
                return Err(Status::unavailable("no node can compile the filter now"));
            }
            return Ok(v1::StartClusterCaptureResponse::default());
        }
        self.check(&spec)?;
        self.access.may_capture(self.caller, &[&spec]).await?;
        if !spec.filter.is_empty() {
            compile(&self.context.nodes, question).await?;
        }
        let mut resource = PacketCaptureConfig::new(&request.name, spec);
        let mut annotations = self.annotations(&request.reason);
        if !request.request_id.is_empty() {
            annotations.insert(REQUEST_ID.to_owned(), request.request_id.clone());
        }
        resource.metadata.annotations = Some(annotations);
        let parameters = PostParams {
            dry_run: request.validate_only,
            ..PostParams::default()
        };
        let created = match self.api().create(&parameters, &resource).await {
            Ok(created) => created,
            Err(kube::Error::Api(status)) if status.code == 409 => {
                self.same(&resource, &request.request_id).await?
            }
            Err(error) => return Err(refused(&error)),
        };
        if request.validate_only {
            return Ok(v1::StartClusterCaptureResponse::default());
        }
        self.tell(&created, "started", &request.reason).await;
        self.begun(&created).await
    }

    /// The resource that an earlier request with the same id has created.
    async fn same(
        &self,
        resource: &PacketCaptureConfig,
        request_id: &str,
    ) -> Result<PacketCaptureConfig, Status> {
        let name = resource.name_any();
        let known = self.get(&name).await?;
        let id = known.annotations().get(REQUEST_ID);
        let is_same = id.is_some_and(|id| !request_id.is_empty() && id == request_id);
        if is_same && known.spec == resource.spec {
            return Ok(known);
        }
        Err(Status::already_exists(format!(
            "there is a PacketCaptureConfig {name:?} already; choose another name"
        )))
    }

    pub(super) async fn update(
        self,
        request: v1::UpdateClusterCaptureRequest,
    ) -> Result<v1::UpdateClusterCaptureResponse, Status> {
        self.access.may(self.caller, "patch", &request.name).await?;
        let found = self.access.find(&request.name)?;
        let name = found.name_any();
        let wanted = ClusterSpec::from(request.spec.unwrap_or_default());
        let mask = request.update_mask.unwrap_or_default();
        let changes = convert::patch(&wanted, &mask.paths)?;
        if changes.get("filter").is_some_and(Value::is_string) {
            let filter = wanted.capture.filter.clone();
            let nodes = Vec::new();
            compile(&self.context.nodes, Question { nodes, filter }).await?;
        }
        let mut attempts = 0;
        let (before, patched) = loop {
            let current = self.get(&name).await?;
            if has_ended(&current) {
                return Err(Status::failed_precondition(format!(
                    "{name} has ended; start another capture"
                )));
            }
            let known = self.captures(&current);
            if let Some(expected) = request.expected_generation {
                expect(expected, &known)?;
            }
            let new = convert::patched(&current.spec, &changes)?;
            self.check(&new)?;
            let specs = [&current.spec, &new];
            self.access.may_capture(self.caller, &specs).await?;
            let patch = json!({
                // Nobody has changed what the rights were checked for.
                "metadata": {
                    "resourceVersion": current.resource_version(),
                    "annotations": self.annotations(&request.reason),
                },
                "spec": changes,
            });
            match self.patch(&name, &patch).await {
                Ok(patched) => break ((current, known), patched),
                Err(kube::Error::Api(status)) if status.code == 409 && attempts < ATTEMPTS => {
                    attempts += 1;
                }
                Err(error) => return Err(refused(&error)),
            }
        };
        self.tell(&patched, "changed", &request.reason).await;
        let (current, known) = before;
        if current.metadata.generation != patched.metadata.generation {
            let is_old = |(node, old): &(String, Arc<Capture>)| {
                let new = self.context.nodes.view(node, &old.name);
                let new = new.and_then(|(_, capture)| capture);
                new.is_some_and(|new| {
                    !new.has_ended() && new.uid == old.uid && new.generation <= old.generation
                })
            };
            until(CHANGE, || (!known.iter().any(is_old)).then_some(())).await;
        }
        Ok(v1::UpdateClusterCaptureResponse {
            nodes: self.answers(&patched).await,
        })
    }

    pub(super) async fn stop(
        self,
        request: v1::StopClusterCaptureRequest,
    ) -> Result<v1::StopClusterCaptureResponse, Status> {
        self.access.may(self.caller, "patch", &request.name).await?;
        let found = self.access.find(&request.name)?;
        let mut resource = self.get(&found.name_any()).await?;
        if !has_ended(&resource) {
            let patch = json!({
                "metadata": {
                    "uid": resource.uid(),
                    "annotations": self.annotations(&request.reason),
                },
                "spec": { "suspend": true },
            });
            let patched = self.patch(&resource.name_any(), &patch).await;
            resource = patched.map_err(|error| refused(&error))?;
            self.tell(&resource, "stopped", &request.reason).await;
        }
        if !request.no_wait {
            let all_ended = || {
                let captures = self.captures(&resource);
                let all = captures.iter().all(|(_, capture)| capture.has_ended());
                all.then_some(())
            };
            until(END, all_ended).await;
        }
        Ok(v1::StopClusterCaptureResponse {
            nodes: self.answers(&resource).await,
        })
    }

    pub(super) async fn delete(
        self,
        request: v1::DeleteClusterCaptureRequest,
    ) -> Result<v1::DeleteClusterCaptureResponse, Status> {
        self.access
            .may(self.caller, "delete", &request.name)
            .await?;
        if !request.keep_files {
            self.access.may(self.caller, "patch", &request.name).await?;
        }
        let found = self.access.find(&request.name)?;
        let resource = self.get(&found.name_any()).await?;
        let name = resource.name_any();
        let captures = self.captures(&resource);
        if !request.stop && captures.iter().any(|(_, capture)| !capture.has_ended()) {
            return Err(Status::failed_precondition(format!(
                "{name} is running: stop it first, or set `stop`"
            )));
        }
        let last = self.answers(&resource).await;
        let mut annotations = self.annotations(&request.reason);
        if !request.keep_files {
            annotations.insert(DELETE_FILES.to_owned(), "true".to_owned());
        }
        let patch = json!({ "metadata": { "uid": resource.uid(), "annotations": annotations } });
        let patched = self.patch(&name, &patch).await;
        patched.map_err(|error| refused(&error))?;
        self.tell(&resource, "deleted", &request.reason).await;
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: resource.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let deleted = self.api().delete(&name, &parameters).await;
        deleted.map_err(|error| refused(&error))?;
        let uid = resource.uid();
        let gone = || {
            let known = self.context.resources.find(|known| known.uid() == uid);
            known.is_none().then_some(())
        };
        until(END, gone).await;
        Ok(v1::DeleteClusterCaptureResponse { nodes: last })
    }

    /// Fails for a value that the controller would not accept.
    fn check(&self, spec: &PacketCaptureConfigSpec) -> Result<(), Status> {
        let settings = &self.context.settings;
        let plan = Plan::new(spec, settings.files);
        let plan = plan.and_then(|plan| plan.with_known_sinks(&settings.sinks, &[]));
        match plan {
            Ok(_) => Ok(()),
            Err(invalid) => Err(Status::invalid_argument(invalid.to_string())),
        }
    }

    fn annotations(&self, reason: &str) -> BTreeMap<String, String> {
        let pairs = [(ASKED_BY, &*self.caller.name), (REASON, reason)];
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        pairs.map(own).into()
    }

    /// An event says who asked.
    async fn tell(&self, resource: &PacketCaptureConfig, what: &str, reason: &str) {
        let mut note = format!("{what} through the cluster API by {}", self.caller.name);
        if !reason.is_empty() {
            note.push_str(&format!(": {reason}"));
        }
        self.context.asked(resource, note).await;
    }

    async fn get(&self, name: &str) -> Result<PacketCaptureConfig, Status> {
        let found = self.api().get(name).await;
        found.map_err(|error| refused(&error))
    }

    async fn patch(&self, name: &str, patch: &Value) -> Result<PacketCaptureConfig, kube::Error> {
        let parameters = PatchParams::default();
        self.api()
            .patch(name, &parameters, &Patch::Merge(patch))
            .await
    }

    /// The captures of a resource by node, as last reported.
    fn captures(&self, resource: &PacketCaptureConfig) -> Vec<(String, Arc<Capture>)> {
        let (name, uid) = (capture_name(&resource.name_any()), resource.uid());
        let nodes = &self.context.nodes;
        let names = nodes.with_capture(&name);
        let of_resource = names.into_iter().filter_map(|node| {
            let (_, capture) = nodes.view(&node, &name)?;
            let capture = capture?;
            (capture.labels.get(LABEL_UID) == uid.as_ref()).then_some((node, capture))
        });
        of_resource.collect()
    }

    /// What became of a resource that was created, once its captures run or something keeps them from it.
    async fn begun(
        &self,
        created: &PacketCaptureConfig,
    ) -> Result<v1::StartClusterCaptureResponse, Status> {
        let (uid, generation) = (created.uid(), created.metadata.generation);
        let known = || {
            let resources = &self.context.resources;
            let known = resources.find(|known| known.uid() == uid)?;
            let status = known.status.as_ref()?;
            let is_seen = status.observed_generation == generation;
            let is_begun = status.phase.is_some_and(|phase| phase != Phase::Starting);
            (is_seen && is_begun).then_some(())
        };
        until(BEGIN, known).await;
        let resources = &self.context.resources;
        let last = resources.find(|known| known.uid() == uid);
        let status = last.and_then(|known| known.status.clone());
        let status = status.unwrap_or_default();
        let mut nodes = self.answers(created).await;
        for node in &status.nodes {
            let code = match node.phase {
                NodePhase::Failed => Code::FailedPrecondition,
                NodePhase::Waiting | NodePhase::Unreachable | NodePhase::Lost => Code::Unavailable,
                _ => continue,
            };
            if !nodes.iter().any(|answer| answer.node == node.name) {
                nodes.push(outcome::problem(node.name.clone(), code, &node.message));
            }
        }
        nodes.sort_by(|one, other| one.node.cmp(&other.node));
        let message = match status.phase {
            Some(Phase::Running | Phase::Completed) => String::new(),
            Some(_) => status.message,
            None => "no coordinator has looked at it yet".to_owned(),
        };
        Ok(v1::StartClusterCaptureResponse { nodes, message })
    }

    /// The resource's captures as their nodes report them.
    async fn answers(&self, resource: &PacketCaptureConfig) -> Vec<v1::ClusterNodeAnswer> {
        let captures = Captures::Of(resource.uid().unwrap_or_default());
        let name = capture_name(&resource.name_any());
        let listed = nodes::captures(&self.context.nodes, &captures, &name).await;
        let answer = |one: v1::ClusterCapture| {
            if !one.problem.is_empty() {
                return outcome::problem(one.node, Code::Unavailable, &one.problem);
            }
            v1::ClusterNodeAnswer {
                node: one.node,
                capture: one.capture,
                problem: None,
                files_removed: 0,
            }
        };
        listed.captures.into_iter().map(answer).collect()
    }
}

fn has_ended(resource: &PacketCaptureConfig) -> bool {
    let status = resource.status.as_ref();
    resource.spec.suspend || status.is_some_and(|status| status.completed_at.is_some())
}

fn expect(generation: u64, captures: &[(String, Arc<Capture>)]) -> Result<(), Status> {
    let other = captures
        .iter()
        .find(|(_, capture)| capture.generation != generation);
    match other {
        Some((node, capture)) => Err(Status::aborted(format!(
            "it has generation {} on {node}, not {generation}: somebody has changed it",
            capture.generation
        ))),
        None => Ok(()),
    }
}

/// An error of the API server.
fn refused(error: &kube::Error) -> Status {
    let kube::Error::Api(status) = error else {
        tracing::warn!("writing a resource for a client: {error}");
        return Status::unavailable("the API server does not answer; try again");
    };
    let message = status.message.clone();
    match status.code {
        400 | 422 => Status::invalid_argument(message),
        403 => Status::permission_denied(format!(
            "the coordinator itself may not do this: {message}; an administrator upgrades its ClusterRole"
        )),
        404 => Status::not_found(message),
        409 => Status::aborted(format!("{message}; try again")),
        _ => Status::unavailable(message),
    }
}
