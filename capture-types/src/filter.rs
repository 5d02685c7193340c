//! Which packets a capture takes: an expression, sets of hosts and ports beside it, and what must hold
//! inside a tunnel.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::Tunnel;

/// Most addresses, and most prefixes, of each IP version.
pub const MAX_TARGETS: u32 = 65_536;

/// Which packets a capture takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterSpec {
    /// A pcap-filter(7) expression; every packet without one.
    pub expression: Option<String>,
    /// Which kinds of targets it has beside the expression; their values are in [`TargetSet`].
    pub targets: TargetKinds,
    /// What must hold of the packet inside a tunnel.
    pub inner: Option<InnerSpec>,
}

/// What must hold of the packet inside a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InnerSpec {
    /// A pcap-filter(7) expression about the Ethernet frame inside.
    pub expression: String,
    /// The tunnels to look into, the first that fits; [`Tunnel::ANY`] if empty.
    pub tunnels: Vec<Tunnel>,
}

impl FilterSpec {
    /// Whether there is nothing to decide.
    #[must_use]
    pub fn takes_everything(&self) -> bool {
        *self == Self::default()
    }

    /// An expression and nothing else.
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
    /// Addresses and prefixes. `None` leaves hosts free; an empty set matches nothing.
    pub hosts: Option<Vec<IpNet>>,
    /// Ports. `None` leaves ports free; an empty set matches nothing.
    pub ports: Option<Vec<u16>>,
    /// Addresses and prefixes whose packets are left out.
    #[serde(default)]
    pub not_hosts: Option<Vec<IpNet>>,
    /// Ports whose packets are left out.
    #[serde(default)]
    pub not_ports: Option<Vec<u16>>,
}

/// Which targets a filter has; this much is in its program and stays.
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
    /// Left out if a pod at an interface of its own sent it: it was kept there.
    NotFromPod,
    /// Kept if it is to a pod by address, and no pod at an interface of its own sent it.
    ToPod,
    /// Kept if a pod by address sent it, and it is not to a pod at an interface of its own.
    FromPod,
    /// Kept if it is from or to a pod by address.
    WithPod,
    /// Kept if it is from or to any pod.
    WithAnyPod,
}

/// The addresses of a capture's pods, by where they are captured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodAddresses {
    /// Pods at interfaces of their own.
    pub at_interfaces: BTreeSet<IpAddr>,
    /// Pods that are captured by address.
    pub by_address: BTreeSet<IpAddr>,
    /// All pods, also those that wait.
    pub all: BTreeSet<IpAddr>,
}

impl TargetSet {
    /// Which kinds it has.
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
