//! A node and its interfaces.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Span, Time};

/// A node.
#[derive(Debug, Clone, Serialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// The daemon's version.
    pub version: String,
    /// When the daemon started.
    pub start_time: Option<Time>,
    /// The kernel's release.
    pub kernel_release: String,
    /// The machine's architecture.
    pub architecture: String,
    /// Kernel features.
    pub features: Features,
    /// Limits of the node.
    pub limits: NodeLimits,
    /// How much of the limits is used.
    pub usage: NodeUsage,
    /// The clock of timestamps.
    pub clock: Clock,
    /// The role of the caller.
    pub caller_role: String,
    /// The identity of the caller.
    pub caller: String,
    /// The daemon's log level.
    pub log_level: String,
}

/// Kernel features for captures.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Features {
    /// "tcx" or "clsact".
    pub attach_method: String,
    /// Other features that were probed.
    pub probes: BTreeMap<String, bool>,
}

/// Limits of the node.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NodeLimits {
    /// Captures that may run at once.
    pub max_active_captures: u32,
    /// Captures in total.
    pub max_captures: u32,
    /// Bytes of ring buffers.
    pub ring_bytes: u64,
    /// Bytes of files; 0: no limit.
    pub disk_bytes: u64,
    /// Readers of packets.
    pub max_packet_readers: u32,
}

/// How much of the limits is used.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NodeUsage {
    /// Running captures.
    pub active_captures: u32,
    /// Captures in total.
    pub captures: u32,
    /// Bytes of ring buffers.
    pub ring_bytes: u64,
    /// Bytes of files.
    pub disk_bytes: u64,
    /// Bytes free on the file system.
    pub disk_free_bytes: Option<u64>,
    /// Readers of packets.
    pub packet_readers: u32,
}

/// The clock of timestamps.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Clock {
    /// The node's time when it answered.
    pub now: Option<Time>,
    /// Whether it is synchronised.
    pub synchronised: Option<bool>,
    /// The largest error known.
    pub max_error: Option<Span>,
}

/// A network interface of a node.
#[derive(Debug, Clone, Serialize)]
pub struct NetworkInterface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is a loopback interface.
    pub loopback: bool,
    /// The number of its link type; null: it cannot be captured on.
    pub link_type: Option<u32>,
    /// Its hardware address, as text.
    pub hardware_address: Option<String>,
    /// Running captures on it.
    pub captures: Vec<String>,
}
