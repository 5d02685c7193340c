//! The network interfaces of this network namespace, and their changes.

use capture_pipeline::packet::InterfaceDescription;
use capture_types::LinkType;

mod addresses;
mod select;
mod watch;

pub use addresses::{AddressLookup, Located};
pub use select::{InterfaceError, Selection};
pub use watch::{InterfaceChange, Watch};
pub(crate) use watch::{interface, list};

/// A network interface as rtnetlink(7) describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The index, which a renamed interface keeps.
    pub ifindex: u32,
    /// The current name.
    pub name: String,
    /// Alternative names (`ip link property add altname`).
    pub alternative_names: Vec<String>,
    /// `ARPHRD_...` of `linux/if_arp.h`.
    pub hardware_type: u16,
    /// `veth`, `bridge`, `vxlan`, ... for virtual devices.
    pub kind: Option<String>,
    /// The alias (`ip link set alias`), if there is one.
    pub alias: Option<String>,
    /// The hardware address.
    pub address: Vec<u8>,
    /// Whether the interface is administratively up.
    pub up: bool,
    /// The other end, if it is in another network namespace.
    pub peer: Option<Peer>,
    /// The index of the bridge or bond that it is a port of.
    pub master: Option<u32>,
}

/// The other end of a link, in another network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer {
    /// The number by which this namespace knows the other one (`IFLA_LINK_NETNSID`).
    pub namespace: i32,
    /// The index of the other end in its namespace.
    pub ifindex: u32,
}

// Numbers from include/uapi/linux/if_arp.h.
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_PPP: u16 = 512;
const ARPHRD_RAWIP: u16 = 519;
const ARPHRD_TUNNEL: u16 = 768;
const ARPHRD_TUNNEL6: u16 = 769;
const ARPHRD_LOOPBACK: u16 = 772;
const ARPHRD_SIT: u16 = 776;
const ARPHRD_IPGRE: u16 = 778;
const ARPHRD_IP6GRE: u16 = 823;
const ARPHRD_NONE: u16 = 0xfffe;

impl Interface {
    /// The link type of the packets at TC; `None` if they are neither Ethernet nor IP.
    #[must_use]
    pub const fn link_type(&self) -> Option<LinkType> {
        match self.hardware_type {
            ARPHRD_ETHER | ARPHRD_LOOPBACK => Some(LinkType::Ethernet),
            ARPHRD_NONE | ARPHRD_RAWIP | ARPHRD_PPP | ARPHRD_TUNNEL | ARPHRD_TUNNEL6
            | ARPHRD_SIT | ARPHRD_IPGRE | ARPHRD_IP6GRE => Some(LinkType::Raw),
            _ => None,
        }
    }

    /// Whether the interface has this name, which may be an alternative one.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.alternative_names.iter().any(|other| other == name)
    }

    /// Whether this is the loopback device, where each packet sent is received as well.
    #[must_use]
    pub const fn is_loopback(&self) -> bool {
        self.hardware_type == ARPHRD_LOOPBACK
    }

    /// Whether another interface of this namespace carries the same packets: a bridge or bond of which
    /// this is a port, or the device below a VLAN or macvlan.
    #[must_use]
    pub fn is_part_of_another(&self) -> bool {
        const ABOVE_ANOTHER: [&str; 5] = ["vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"];
        let kind = self.kind.as_deref().unwrap_or_default();
        self.master.is_some() || ABOVE_ANOTHER.contains(&kind)
    }

    /// The description in capture files.
    #[must_use]
    pub fn describe(&self, link_type: LinkType) -> InterfaceDescription {
        let parts: Vec<&str> = [self.kind.as_deref(), self.alias.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        InterfaceDescription {
            name: self.name.clone(),
            ifindex: self.ifindex,
            description: parts.join(", "),
            link_type,
            comment: String::new(),
            mac: self.address.as_slice().try_into().ok(),
        }
    }
}
