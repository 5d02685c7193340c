//! What became of a resource: its status.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The status of a resource.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PacketCaptureConfigStatus {
    /// The phase of the capture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// A summary in one sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The newest file on each node, by the node's address.
    #[serde(default)]
    pub capture_files: BTreeMap<String, CaptureFile>,
    /// The report of each node, by the node's address.
    #[serde(default)]
    #[schemars(schema_with = "free_form")]
    pub capture_results: BTreeMap<String, serde_json::Value>,
    /// All nodes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// Each node.
    #[serde(default)]
    pub nodes: Vec<NodeStatus>,
    /// What each sink that the resource names has of the files, all nodes together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub export: Vec<ExportStatus>,
    /// Conditions: Accepted, Running, Complete, Degraded, Suspended.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// The generation of the resource that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Digest of what is captured; a change of it after the end begins a new run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When the first node of this run captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the last node had ended and its files were complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// When the status last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<Time>,
}

/// The phase of a capture.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing is captured yet; the message says what is missing.
    Starting,
    /// Captured on every node that it should be.
    Running,
    /// Ended on every node, and everything is on disk with its checksum.
    Completed,
    /// Failed on every node.
    Failed,
    /// Some nodes failed.
    Degraded,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// The newest file on a node.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureFile {
    /// The state of the node's capture.
    pub status: String,
    /// The file's path on the node, or where else packets are; not set while there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output_file: String,
    /// Its bytes; 0 where there is no file.
    pub file_size: u64,
}

/// All nodes together.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Nodes that capture or have captured, of all that should: "2/3".
    pub nodes: String,
    /// Packets written.
    pub packets: u64,
    /// Packets lost; not set: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// Bytes written.
    pub bytes: u64,
    /// Pods that are captured now.
    pub pods: u64,
}

/// A node.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// The phase of its capture.
    pub phase: NodePhase,
    /// The error, or why it ended.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The name of the capture on the node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub capture: String,
    /// Pods of it that are captured now, as NAMESPACE/NAME; at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<String>,
    /// The ledger; unknown counters are not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerStatus>,
    /// Bytes written.
    #[serde(default)]
    pub bytes: u64,
    /// Its files; at most 32, the newest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileStatus>,
    /// What each sink that the resource names has of its files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub export: Vec<ExportStatus>,
    /// Warnings; the newest, at most 4.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// When it was attached, by the node's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it had ended, by the node's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

/// What a sink of the exporter has of the files.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportStatus {
    /// The name of the sink.
    pub sink: String,
    /// Files that it has acknowledged, including those removed since.
    #[serde(default)]
    pub delivered: u64,
    /// Files that wait for it.
    #[serde(default)]
    pub waiting: u64,
    /// Files that it rejected for good, or that a person skipped.
    #[serde(default)]
    pub set_aside: u64,
    /// Files that were removed before they were delivered.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missed: u64,
    /// Why nothing is delivered at present.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The phase of a node's capture.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodePhase {
    /// It cannot be started yet; the message says why.
    Waiting,
    /// It is being started.
    Starting,
    /// It is capturing.
    Running,
    /// It has ended, and its files are being completed.
    Finishing,
    /// It has ended as asked, and its files are complete.
    Completed,
    /// It could not start or go on.
    Failed,
    /// The node cannot be reached; the numbers are the last known.
    Unreachable,
    /// The node did not come back before the end: its ledger is unknown.
    Lost,
}

impl std::fmt::Display for NodePhase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// The ledger of a capture.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerStatus {
    /// Packets that passed the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<u64>,
    /// Packets that the filter did not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtered: Option<u64>,
    /// Packets that the filter matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched: Option<u64>,
    /// Packets lost between kernel and daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring_full: Option<u64>,
    /// Packets lost because the kernel could not read their bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<u64>,
    /// Packets seen at another interface of the node before: each is recorded once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<u64>,
    /// Packets copied into the ring buffer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitted: Option<u64>,
    /// Packets written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<u64>,
    /// Packets lost on their way to the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discarded: Option<u64>,
    /// Packets that came after the capture's own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<u64>,
}

/// A file on a node.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileStatus {
    /// Its name.
    pub name: String,
    /// Its bytes on disk.
    pub bytes: u64,
    /// Packets in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets: Option<u64>,
    /// Digest of its bytes: xxh128 or sha256, a colon and hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

fn free_form(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": true,
        },
    })
}
