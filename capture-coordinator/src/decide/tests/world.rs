//! A small world for the decision: a resource, nodes that carry out actions, and a clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use capture_client::model::{Capture, Codec, File, FileState, State, StateReason, Time as At};
use capture_types::PartialLedger;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::{
    cluster::{Members, Pod, PodKey},
    decide::{Action, Decision, Fault, Link, NodeView, View, capture_name, decide},
    request::{FileDefaults, Invalid, Plan},
    resource::{PacketCaptureConfigSpec, PacketCaptureConfigStatus},
};

pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) generation: i64,
    pub(super) deleting: Option<Timestamp>,
    pub(super) delete_files: bool,
    pub(super) plan: Result<Plan, Invalid>,
    pub(super) status: PacketCaptureConfigStatus,
    pub(super) members: Members,
    pub(super) missing: Vec<PodKey>,
    pub(super) nodes: BTreeMap<String, NodeView>,
    /// How often each node started a capture.
    pub(super) starts: BTreeMap<String, u32>,
    uids: u32,
}

pub(super) fn plan(json: serde_json::Value) -> Result<Plan, Invalid> {
    let spec: PacketCaptureConfigSpec = serde_json::from_value(json).unwrap();
    Plan::new(&spec, FileDefaults::default())
}

pub(super) fn of_pods() -> serde_json::Value {
    serde_json::json!({ "podSelector": { "labelSelector": { "matchLabels": { "app": "web" } } } })
}

impl World {
    pub(super) fn new(spec: serde_json::Value) -> Self {
        Self {
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            name: "web".to_owned(),
            uid: "uid-1".to_owned(),
            generation: 1,
            deleting: None,
            delete_files: false,
            plan: plan(spec),
            status: PacketCaptureConfigStatus::default(),
            members: Members::new(),
            missing: Vec::new(),
            nodes: BTreeMap::new(),
            starts: BTreeMap::new(),
            uids: 0,
        }
    }

    /// Somebody edits the resource.
    pub(super) fn edit(&mut self, spec: serde_json::Value) {
        self.plan = plan(spec);
        self.generation += 1;
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self
            .now
            .checked_add(SignedDuration::try_from(time).unwrap())
            .unwrap();
    }

    pub(super) fn add_node(&mut self, name: &str) {
        let node = NodeView {
            address: format!("192.0.2.{}", self.nodes.len() + 1),
            exists: true,
            selected: true,
            link: Link::Ready,
            ..NodeView::default()
        };
        self.nodes.insert(name.to_owned(), node);
    }

    pub(super) fn add_pod(&mut self, name: &str, node: &str) {
        self.add_pod_of("shop", name, node);
    }

    pub(super) fn add_pod_of(&mut self, namespace: &str, name: &str, node: &str) {
        let pod = Pod {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            node: node.to_owned(),
            addresses: vec!["10.0.0.1".to_owned()],
            containers: Vec::new(),
            host_network: false,
            ended: false,
            labels: BTreeMap::new(),
            is_daemon: false,
        };
        self.members
            .entry(node.to_owned())
            .or_default()
            .insert(pod.key(), Arc::new(pod));
    }

    pub(super) fn remove_pod(&mut self, name: &str) {
        for pods in self.members.values_mut() {
            pods.retain(|(_, of), _| of != name);
        }
        self.members.retain(|_, pods| !pods.is_empty());
    }

    pub(super) fn decide(&self) -> Decision {
        let mut nodes: BTreeMap<String, NodeView> = BTreeMap::new();
        let names: BTreeSet<&String> = self
            .members
            .keys()
            .chain(self.status.nodes.iter().map(|node| &node.name))
            .chain(
                self.nodes
                    .iter()
                    .filter(|(_, node)| node.capture.is_some())
                    .map(|(name, _)| name),
            )
            .collect();
        for name in names {
            nodes.insert(
                name.clone(),
                self.nodes.get(name).cloned().unwrap_or_default(),
            );
        }
        decide(&View {
            now: self.now,
            name: &self.name,
            uid: &self.uid,
            generation: self.generation,
            deleting: self.deleting,
            delete_files: self.delete_files,
            plan: self.plan.as_ref(),
            previous: &self.status,
            members: &self.members,
            missing: &self.missing,
            pending: &[],
            nodes: &nodes,
        })
    }

    /// Decides and lets the nodes act until nothing is left to do, like the controller.
    pub(super) fn settle(&mut self) -> Vec<(String, &'static str)> {
        let mut done = Vec::new();
        for _ in 0..5 {
            let decision = self.decide();
            self.status = decision.status;
            if decision.actions.is_empty() {
                return done;
            }
            for (node, action) in decision.actions {
                done.push((node.clone(), action.name()));
                self.act(&node, action);
            }
        }
        panic!("five rounds do not settle it: {done:?}");
    }

    fn act(&mut self, name: &str, action: Action) {
        let now = self.at();
        let node = self.nodes.get_mut(name).expect("a node that is there");
        assert_eq!(node.link, Link::Ready, "{name} cannot be asked");
        match action {
            Action::Start { spec, labels } | Action::Replace { spec, labels } => {
                assert!(
                    node.capture
                        .as_ref()
                        .is_none_or(|old| { old.has_ended() || old.labels != labels }),
                    "started twice"
                );
                self.uids += 1;
                *self.starts.entry(name.to_owned()).or_default() += 1;
                node.files = None;
                node.capture = Some(Arc::new(Capture {
                    name: capture_name(&self.name),
                    uid: format!("capture-{}", self.uids),
                    state: State::Running,
                    state_reason: None,
                    message: String::new(),
                    spec,
                    labels,
                    create_time: now,
                    start_time: now,
                    end_time: None,
                    created_by: String::new(),
                    reason: String::new(),
                    request_id: String::new(),
                    ledger: PartialLedger::default(),
                    interfaces: Vec::new(),
                    bytes_written: 0,
                    files_finished: 0,
                    current_file: Some("web-1.pcap".to_owned()),
                    warnings: Vec::new(),
                    resumed: 0,
                    generation: 1,
                    pods: Vec::new(),
                    export: Vec::new(),
                }));
            }
            Action::Update {
                spec,
                labels,
                paths,
            } => {
                let capture = Arc::make_mut(node.capture.as_mut().expect("a capture"));
                assert!(!capture.has_ended(), "an ended capture is not changed");
                if paths.iter().any(|path| path == "pods") {
                    capture.spec.pods = spec.pods;
                }
                if paths.iter().any(|path| path == "filter") {
                    capture.spec.filter = spec.filter;
                    capture.spec.limits = spec.limits;
                }
                if paths.iter().any(|path| path == "export") {
                    capture.spec.export = spec.export;
                }
                capture.labels = labels;
                capture.generation += 1;
            }
            Action::Stop => self.end(name, StateReason::Requested),
            Action::Delete { .. } => {
                node.capture = None;
                node.files = None;
            }
            Action::ListFiles => {
                let name = node.capture.as_ref().expect("a capture").name.clone();
                node.files = Some(Arc::new(vec![file(&name, Some(DIGEST))]));
            }
        }
    }

    fn at(&self) -> Option<At> {
        At::since_epoch(Duration::from_secs(self.now.as_second().unsigned_abs()))
    }

    /// A node's capture ends by itself.
    pub(super) fn end(&mut self, name: &str, reason: StateReason) {
        let now = self.at();
        let node = self.nodes.get_mut(name).expect("a node");
        let capture = Arc::make_mut(node.capture.as_mut().expect("a capture"));
        capture.state = match reason {
            StateReason::StartFailed | StateReason::WriteError => State::Failed,
            StateReason::Crash => State::Interrupted,
            _ => State::Completed,
        };
        capture.state_reason = Some(reason);
        capture.message = reason.to_string();
        capture.end_time = now;
        capture.files_finished = 1;
        capture.current_file = None;
    }

    pub(super) fn fault(&mut self, name: &str, message: &str, permanent: bool) {
        let run = self.plan.as_ref().unwrap().run_digest();
        let retry_at = self.now.checked_add(SignedDuration::from_secs(5)).unwrap();
        self.nodes.get_mut(name).unwrap().fault = Some(Fault {
            message: message.to_owned(),
            permanent,
            run,
            retry_at,
        });
    }
}

/// The digest of a file.
const DIGEST: &str = "xxh128:99aa06d3014798d86001c324468d497f";

pub(super) fn file(capture: &str, digest: Option<&str>) -> File {
    File {
        capture: capture.to_owned(),
        name: "web-20270115-080000-000001.pcap".to_owned(),
        sequence: 1,
        state: FileState::Finished,
        format: None,
        codec: Codec::None,
        bytes: 24,
        bytes_uncompressed: None,
        packets: Some(0),
        first_time: None,
        last_time: None,
        digest: digest.map(|text| text.parse().unwrap()),
        link_types: Vec::new(),
        end_reason: None,
        ledger: None,
    }
}
