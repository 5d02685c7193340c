//! The resource `PacketCaptureConfig` as people write it, and its definition for the API server.
//!
//! Values are checked twice: by the schema and its CEL rules where the server knows them, and in
//! [`crate::request`], which also serves older servers.

mod amount;
mod definition;
#[cfg(test)]
mod objects;
mod status;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use amount::Amount;
pub use definition::{Cel, definition};
pub use status::{
    CaptureFile, ExportStatus, FileStatus, LedgerStatus, NodePhase, NodeStatus,
    PacketCaptureConfigStatus, Phase, Summary,
};

/// The API group.
pub const GROUP: &str = "networking.packet.io";
/// The plural, as in RBAC rules.
pub const PLURAL: &str = "packetcaptureconfigs";

/// Which packets are captured, for how long, and where they go.
#[derive(CustomResource, JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "networking.packet.io",
    version = "v1",
    kind = "PacketCaptureConfig",
    plural = "packetcaptureconfigs",
    shortname = "pcc",
    status = "PacketCaptureConfigStatus",
    derive = "PartialEq",
    doc = "A capture of packets on nodes of the cluster.",
    printcolumn = r#"{"name": "Status", "type": "string", "jsonPath": ".status.phase"}"#,
    printcolumn = r#"{"name": "Nodes", "type": "string", "jsonPath": ".status.summary.nodes"}"#,
    printcolumn = r#"{"name": "Packets", "type": "integer", "jsonPath": ".status.summary.packets"}"#,
    printcolumn = r#"{"name": "Lost", "type": "integer", "jsonPath": ".status.summary.lost"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Message", "type": "string", "jsonPath": ".status.message", "priority": 1}"#
)]
#[serde(rename_all = "camelCase")]
pub struct PacketCaptureConfigSpec {
    /// Addresses (IPv4, IPv6 or CIDR) whose traffic is captured, in either direction.
    #[serde(rename = "targetIPs", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4096), inner(length(min = 2, max = 49)))]
    pub target_ips: Vec<String>,
    /// Pods whose traffic is captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<PodSelector>,
    /// TCP or UDP ports; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4096), inner(range(min = 1, max = 65535)))]
    pub target_ports: Vec<i32>,
    /// Seconds after which the capture stops by itself.
    #[serde(default = "default_duration")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub duration: i64,
    /// Packets on each node after which the capture stops there.
    #[serde(default = "default_max_packets")]
    #[schemars(range(min = 1))]
    pub max_packets: i64,
    /// Where packets go: capture files, readable text files, or lines in the daemon's log.
    #[serde(default)]
    pub output_format: OutputFormat,
    /// A tcpdump expression; combined by AND with the addresses, pods and ports.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 65536))]
    pub filter: String,
    /// Only nodes with all of these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Only nodes with one of these names. Empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(min = 1, max = 253)))]
    pub node_names: Vec<String>,
    /// Interfaces of the nodes, by name or glob. Empty: the pods' own, or any for addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 64)))]
    pub interfaces: Vec<String>,
    /// Whether a packet that passes several interfaces of a node is recorded only at the first of them. Not
    /// set: yes for addresses without interfaces, otherwise no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each_packet_once: Option<bool>,
    /// Received packets, sent packets, or both, as the interface sees them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Bytes kept of each packet. Not set: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 262_144))]
    pub snaplen: Option<i32>,
    /// When a file is finished and the next one begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// How files are compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// Which files are kept, and for how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Sinks of the exporter that get the files. Empty: those that get the files of every capture.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 40), regex(pattern = r"^[a-z0-9-]+$"))
    )]
    pub export: Vec<String>,
    /// Ends the captures and keeps their files; unset, a new run begins.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
}

const fn default_duration() -> i64 {
    60
}

const fn default_max_packets() -> i64 {
    1000
}

/// Pods by name, by labels, or both.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSelector {
    /// Pods by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    pub pods: Vec<PodName>,
    /// Pods by labels; they join and leave while the capture runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<LabelSelector>,
    /// Namespaces that the labels are looked for in. Empty: all. Without labels: every pod of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 63)))]
    pub namespaces: Vec<String>,
}

/// A pod by name.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodName {
    /// The pod's name.
    #[schemars(length(min = 1, max = 253))]
    pub pod_name: String,
    /// Its namespace.
    #[serde(default = "default_namespace")]
    #[schemars(length(max = 63))]
    pub namespace: String,
}

fn default_namespace() -> String {
    "default".to_owned()
}

/// Where packets go.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// Classic capture files.
    #[default]
    Pcap,
    /// Capture files with interfaces, pods and counts in them.
    Pcapng,
    /// Files of readable lines.
    Text,
    /// Lines in the daemon's log.
    Stdout,
}

/// Which packets of an interface.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Those received.
    In,
    /// Those sent.
    Out,
    /// Both.
    Inout,
}

/// When a file is finished and the next one begun: at the first of these.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// Bytes, or a size such as 100MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_file_size: Option<Amount>,
    /// Seconds, or a time such as 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Amount>,
    /// Packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_packets: Option<i64>,
}

/// How files are compressed.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compression {
    /// The codec.
    pub codec: Codec,
    /// Its level: 0 to 9 for gzip, 1 to 19 for zstd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 19))]
    pub level: Option<i32>,
}

/// A codec.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Plain files.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// Which files are kept, and for how long.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// Files on each node; the oldest go first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_files: Option<i32>,
    /// Bytes on each node, or a size such as 1GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<Amount>,
    /// Seconds, or a time such as 24h: so long after its end the resource is deleted, and its files too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Amount>,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            codec: Codec::Gzip,
            level: None,
        }
    }
}
