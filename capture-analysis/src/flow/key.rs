//! What the packets of one flow have in common, whichever way they go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Transport protocols with flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// One end of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
}

/// The two ends, in an order that does not depend on who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey {
    low: u128,
    high: u128,
    /// Ports of `low` and `high`, transport, IP version.
    rest: u64,
}

#[inline]
pub(super) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

pub(super) fn address(bits: u128, v6: bool) -> IpAddr {
    if v6 {
        IpAddr::V6(Ipv6Addr::from_bits(bits))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits(bits as u32))
    }
}

/// An address, in a form that is hashed and compared quickly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressKey {
    bits: u128,
    /// 0 for IPv4.
    v6: u64,
}

impl AddressKey {
    /// Of an address.
    #[inline]
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self {
            bits: bits(address),
            v6: u64::from(address.is_ipv6()),
        }
    }

    /// The address.
    #[must_use]
    pub fn address(self) -> IpAddr {
        address(self.bits, self.v6 == 1)
    }
}

impl FlowKey {
    /// The key of a packet, and whether its sender is the lower end.
    #[inline]
    #[must_use]
    pub fn new(transport: Transport, source: Endpoint, destination: Endpoint) -> (Self, bool) {
        let from = (bits(source.address), source.port);
        let to = (bits(destination.address), destination.port);
        let source_is_low = from <= to;
        let (low, high) = if source_is_low {
            (from, to)
        } else {
            (to, from)
        };
        let kind = u64::from(transport == Transport::Udp) << 1
            | u64::from(matches!(source.address, IpAddr::V6(_)));
        let key = Self {
            low: low.0,
            high: high.0,
            rest: u64::from(low.1) << 32 | u64::from(high.1) << 16 | kind,
        };
        (key, source_is_low)
    }

    /// The lower and the higher end.
    #[must_use]
    pub fn ends(&self) -> (Endpoint, Endpoint) {
        let v6 = self.rest & 1 == 1;
        let end = |bits, port| Endpoint {
            address: address(bits, v6),
            port,
        };
        (
            end(self.low, (self.rest >> 32) as u16),
            end(self.high, (self.rest >> 16) as u16),
        )
    }

    /// Its transport protocol.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        if self.rest & 2 == 0 {
            Transport::Tcp
        } else {
            Transport::Udp
        }
    }
}
