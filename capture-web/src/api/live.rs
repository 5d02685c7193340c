//! Captures of nodes. A capture has the same name on every node it runs on.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problem;

/// The nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Nodes {
    /// The nodes, in the order of the settings.
    pub nodes: Vec<Node>,
    /// Whether they are a Kubernetes cluster: captures may select pods, and have to have `pods` or `targets`.
    #[serde(default)]
    pub kubernetes: bool,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Node {
    /// Its name in this API: `local`, or `HOST:PORT`, or its name in the cluster.
    pub node: String,
    /// What its daemon says; absent if it cannot be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<NodeFacts>,
    /// Why it cannot be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// What a daemon says about its node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeFacts {
    /// The host's name.
    pub name: String,
    /// The daemon's version.
    pub version: String,
    /// The kernel's release.
    pub kernel: String,
    /// Captures that run.
    pub active_captures: u32,
    /// Captures that may run at once.
    pub max_active_captures: u32,
    /// Bytes of capture files.
    pub disk_bytes: u64,
    /// Bytes free on their file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_free_bytes: Option<u64>,
    /// This server's role at the daemon.
    pub role: String,
    /// The interfaces that can be captured on; empty where the coordinator does not say.
    pub interfaces: Vec<NetworkInterface>,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkInterface {
    /// Its name.
    pub name: String,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is a loopback interface.
    pub loopback: bool,
}

/// Captures of all nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Captures {
    /// The captures, by name and node.
    pub captures: Vec<Capture>,
    /// Nodes that did not answer, with the reason.
    pub problems: BTreeMap<String, Problem>,
}

/// A capture on one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Capture {
    /// The node.
    pub node: String,
    /// Its name.
    pub name: String,
    /// pending, running, stopping, completed, failed or interrupted.
    pub state: String,
    /// Whether it is in a final state.
    pub ended: bool,
    /// Why it is in that state, in one sentence; may be empty.
    pub message: String,
    /// What it records.
    pub recording: Recording,
    /// When it stops by itself.
    pub limits: Limits,
    /// When it was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// When it was attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Who requested it.
    pub created_by: String,
    /// The outcome of every packet.
    pub ledger: Ledger,
    /// The same for each interface.
    pub interfaces: Vec<InterfaceLedger>,
    /// Bytes written so far.
    pub bytes_written: u64,
    /// Finished files so far.
    pub files_finished: u64,
    /// Problems that did not end it.
    pub warnings: Vec<String>,
    /// Incremented with changes of the settings and the state.
    pub generation: u64,
}

/// What a capture records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Recording {
    /// Interfaces: names, globs such as `veth*`, or `any`. Empty: any, with `pods` the pods' own.
    pub interfaces: Vec<String>,
    /// A pcap-filter expression; empty: every packet.
    pub expression: String,
    /// Addresses and networks, from or to which packets are; empty: any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// `in`, `out` or `both` [default: both].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// Record a packet that passes several interfaces only at the first of them [default: false; of a
    /// cluster: true for `targets` without `interfaces`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub each_packet_once: Option<bool>,
    /// Maximum bytes kept of a packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snaplen: Option<u32>,
    /// `pcapng` or `pcap` [default: the node's].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// `none`, `gzip` or `zstd` [default: the node's].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// Begin the next file before one exceeds this many bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
    /// Keep at most this many files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_files: Option<u32>,
    /// Keep at most this many bytes of files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
}

/// When a capture stops by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// This many seconds after its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// After this many packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets: Option<u64>,
    /// After about this many bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// The outcome of every packet. An absent count is not known, which is never 0.
///
/// seen = filtered + matched; matched = submitted + ring_full + unreadable + duplicate;
/// submitted = written + discarded, and what is on its way while the capture runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ledger {
    /// Packets that passed the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<u64>,
    /// Packets that the expression did not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtered: Option<u64>,
    /// Packets that the expression matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched: Option<u64>,
    /// Packets copied into the ring buffer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitted: Option<u64>,
    /// Packets lost because the ring buffer had no room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring_full: Option<u64>,
    /// Packets lost because their bytes could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<u64>,
    /// Packets seen at another interface before, of a capture that records each packet once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<u64>,
    /// Packets written to a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<u64>,
    /// Packets taken from the ring buffer and not written, by reason.
    pub discarded: Discarded,
    /// Packets that were captured shorter than they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<u64>,
    /// Packets that matched and are in no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
}

/// Packets taken from the ring buffer and not written, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Discarded {
    /// The writer was behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_full: Option<u64>,
    /// The file system, or the capture's share of it, was full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_full: Option<u64>,
    /// Writing failed otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_error: Option<u64>,
    /// They came after the packet limit, or after the capture was told to stop. They do not count as lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<u64>,
}

/// The ledger of one interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InterfaceLedger {
    /// The interface.
    pub interface: String,
    /// Its ledger.
    pub ledger: Ledger,
}

/// A capture to start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptureStart {
    /// Its name.
    pub name: String,
    /// The nodes to start it on; empty: all.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// Pods whose packets are recorded on whatever node they are; only in Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodSelector>,
    /// What it records.
    pub recording: Recording,
    /// When it stops by itself.
    #[serde(default)]
    pub limits: Limits,
    /// The reason, for the audit log.
    #[serde(default)]
    pub reason: String,
}

/// Pods of a cluster, by name, by labels, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PodSelector {
    /// Pods by name, as `NAMESPACE/NAME`.
    pub names: Vec<String>,
    /// Labels that pods must have; they join and leave while the capture runs.
    pub labels: BTreeMap<String, String>,
    /// Namespaces in which the labels are looked for; empty: all. Without labels: every pod of these.
    pub namespaces: Vec<String>,
}

/// Changes of a running capture; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptureChange {
    /// The new expression; empty: every packet.
    #[serde(default)]
    pub expression: Option<String>,
    /// All new limits; they count from the start of the capture.
    #[serde(default)]
    pub limits: Option<Limits>,
    /// Only if the capture still has this generation.
    #[serde(default)]
    pub generation: Option<u64>,
}

/// What each node answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeAnswers {
    /// One answer per node. The status is 200 if at least one node did what was asked.
    pub nodes: Vec<Answer>,
    /// In Kubernetes, why a capture has not begun on some nodes, or yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What a node answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// The node.
    pub node: String,
    /// The capture; absent if the node refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    /// Why the node refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// An event of the stream of captures, with the same name as event type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CaptureEvent {
    /// What happened.
    pub kind: CaptureEventKind,
    /// The node.
    pub node: String,
    /// The capture, with its ledger; absent in `problem` and `synced`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    /// Why the node cannot be watched now; the server tries again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CaptureEventKind {
    /// The capture exists, or has changed, or has new counts: the event replaces what was known of it.
    Capture,
    /// It was deleted.
    Deleted,
    /// All captures of the node were sent; what was known of the node and not sent again is gone.
    Synced,
    /// The node cannot be watched.
    Problem,
}

/// The files of a capture, by node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileListing {
    /// The nodes.
    pub nodes: Vec<NodeFiles>,
}

/// The files of a capture on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeFiles {
    /// The node.
    pub node: String,
    /// The files, the oldest first.
    pub files: Vec<CaptureFile>,
    /// Files that retention has removed.
    pub removed: u64,
    /// Why the files are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// A file of a capture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaptureFile {
    /// Its name; it is downloaded from `captures/{capture}/files/{name}?node={node}`.
    pub name: String,
    /// growing, finished or recovered.
    pub state: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// Packets in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets: Option<u64>,
    /// The earliest timestamp in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// The latest timestamp in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// Digest of its bytes: the algorithm (xxh128 or sha256), a colon and lower-case hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// An expression to check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpressionCheck {
    /// The pcap-filter expression.
    pub expression: String,
    /// The interfaces it is for: an expression is compiled per link type [default: any].
    #[serde(default)]
    pub interfaces: Vec<String>,
    /// The node that checks it [default: the first].
    #[serde(default)]
    pub node: Option<String>,
}

/// What the node says about an expression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExpressionVerdict {
    /// Whether a capture with it would start.
    pub valid: bool,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
