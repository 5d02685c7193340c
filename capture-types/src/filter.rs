//! The packets that a capture selects: an expression, sets of hosts and ports besides it, and
//! conditions on the packet inside a tunnel.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::Tunnel;

/// Maximum addresses, and maximum prefixes, of each IP version.
pub const MAX_TARGETS: u32 = 65_536;

/// The packets that a capture selects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterSpec {
    /// A pcap-filter(7) expression; `None` for every packet.
    pub expression: Option<String>,
    /// The kinds of targets besides the expression; their values are in [`TargetSet`].
    pub targets: TargetKinds,
    /// Conditions on the packet inside a tunnel.
    pub inner: Option<InnerSpec>,
}

/// Conditions on the packet inside a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InnerSpec {
    /// A pcap-filter(7) expression about the Ethernet frame inside.
    pub expression: String,
    /// The tunnels to decode, in order of preference; [`Tunnel::ANY`] if empty.
    pub tunnels: Vec<Tunnel>,
}

impl FilterSpec {
    /// Whether every packet passes.
    #[must_use]
    pub fn takes_everything(&self) -> bool {
        *self == Self::default()
    }

    /// A filter with only an expression.
    #[must_use]
    pub fn expression(expression: &str) -> Self {
        Self {
            expression: Some(expression.to_owned()),
            ..Self::default()
        }
    }
}

/// Hosts and ports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetSet {
    /// Addresses and prefixes. `None` for any host; an empty set matches nothing.
    pub hosts: Option<Vec<IpNet>>,
    /// Ports. `None` for any port; an empty set matches nothing.
    pub ports: Option<Vec<u16>>,
    /// Addresses and prefixes whose packets are excluded.
    #[serde(default)]
    pub not_hosts: Option<Vec<IpNet>>,
    /// Ports whose packets are excluded.
    #[serde(default)]
    pub not_ports: Option<Vec<u16>>,
}

/// The kinds of targets of a filter; these are part of its program and do not change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetKinds {
    /// Hosts.
    pub hosts: bool,
    /// Ports.
    pub ports: bool,
    /// Excluded hosts.
    #[serde(default)]
    pub not_hosts: bool,
    /// Excluded ports.
    #[serde(default)]
    pub not_ports: bool,
    /// What the addresses of the capture's pods decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodStage>,
}

/// What the addresses of the capture's pods decide about a packet. It depends on the interface and on the
/// direction of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PodStage {
    /// Excluded if a pod with an interface sent it: it was kept there.
    NotFromPod,
    /// Kept if it is to a pod by address, and was not sent by a pod with an interface.
    ToPod,
    /// Kept if a pod by address sent it, and it is not to a pod with an interface.
    FromPod,
    /// Kept if it is from or to a pod by address.
    WithPod,
    /// Kept if it is from or to any pod.
    WithAnyPod,
}

/// The addresses of a capture's pods, by how the pods are captured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodAddresses {
    /// Pods captured at their interfaces.
    pub at_interfaces: BTreeSet<IpAddr>,
    /// Pods that are captured by address.
    pub by_address: BTreeSet<IpAddr>,
    /// All pods, including waiting ones.
    pub all: BTreeSet<IpAddr>,
}

impl TargetSet {
    /// The kinds of targets in the set.
    #[must_use]
    pub const fn kinds(&self) -> TargetKinds {
        TargetKinds {
            hosts: self.hosts.is_some(),
            ports: self.ports.is_some(),
            not_hosts: self.not_hosts.is_some(),
            not_ports: self.not_ports.is_some(),
            pods: None,
        }
    }
}
