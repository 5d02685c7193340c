//! From bytes to headers, without allocation. A packet truncated by its snap length is decoded as far
//! as possible; lengths are those on the wire, so that a truncated payload counts as truncated and not
//! as lost. The contents of tunnels are reported in the order of the packet.
//!
//! Our own code, because it runs for each packet: `etherparse` rejects a header with truncated options,
//! which are common at small snap lengths.

mod bytes;
mod fragments;
mod icmp;
mod internet;
mod link;
mod protocol;
mod transport;
mod tunnel;

use std::net::IpAddr;

pub use fragments::{FragmentLimits, FragmentTotals};
pub use icmp::{Icmp, Quote};
pub use protocol::Protocol;

use crate::packet::Packet;
use fragments::Reassembly;

/// Maximum nesting of headers; deeper ones are not decoded.
const DEEPEST: u8 = 16;

/// An Ethernet header, outermost or inside a tunnel.
#[derive(Debug, Clone, Copy)]
pub struct Ethernet {
    /// The sender.
    pub source: [u8; 6],
    /// The receiver.
    pub destination: [u8; 6],
}

/// An IPv4 or IPv6 header with its extension headers.
#[derive(Debug, Clone, Copy)]
pub struct Ip {
    /// The sender.
    pub source: IpAddr,
    /// The receiver.
    pub destination: IpAddr,
    /// The protocol of the payload, after the extension headers.
    pub protocol: u8,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// The packet's length according to its header, or the frame's if the header has none.
    pub length: u32,
    /// The identification that its fragments share.
    pub identification: u32,
    /// Whether it must not be fragmented.
    pub dont_fragment: bool,
    /// Whether it is a fragment.
    pub fragment: bool,
    /// Whether congestion was marked on the path (RFC 3168).
    pub congestion: bool,
    /// 0 for the outermost.
    pub depth: u8,
}

/// A TCP header.
#[derive(Debug, Clone, Copy)]
pub struct Tcp<'a> {
    /// The sender's port.
    pub source: u16,
    /// The receiver's port.
    pub destination: u16,
    /// The sequence number of the first byte.
    pub sequence: u32,
    /// The next byte expected from the other side.
    pub acknowledgement: u32,
    /// FIN 1, SYN 2, RST 4, PSH 8, ACK 16.
    pub flags: u16,
    /// The value in the header, not scaled.
    pub window: u16,
    /// Options, as far as they were captured.
    pub options: &'a [u8],
    /// Data, as far as it was captured.
    pub payload: &'a [u8],
    /// Bytes of data on the wire; absent if a fragment does not have the length.
    pub length: Option<u32>,
}

impl Tcp<'_> {
    /// FIN.
    pub const FIN: u16 = 1;
    /// SYN.
    pub const SYN: u16 = 2;
    /// RST.
    pub const RST: u16 = 4;
    /// ACK.
    pub const ACK: u16 = 16;

    /// Whether any of these flags is set.
    #[must_use]
    pub const fn has(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }
}

/// A UDP header.
#[derive(Debug, Clone, Copy)]
pub struct Udp<'a> {
    /// The sender's port.
    pub source: u16,
    /// The receiver's port.
    pub destination: u16,
    /// Data, as far as it was captured.
    pub payload: &'a [u8],
    /// Bytes of data on the wire.
    pub length: u32,
}

/// Receives the decoder's results.
pub trait Visitor {
    /// A header was entered.
    fn protocol(&mut self, packet: &Packet<'_>, protocol: Protocol);
    /// An Ethernet header.
    fn ethernet(&mut self, packet: &Packet<'_>, ethernet: &Ethernet);
    /// An ARP message, as far as it was captured.
    fn arp(&mut self, packet: &Packet<'_>, message: &[u8]);
    /// An IP header.
    fn ip(&mut self, packet: &Packet<'_>, ip: &Ip);
    /// A TCP segment.
    fn tcp(&mut self, packet: &Packet<'_>, ip: &Ip, tcp: &Tcp<'_>);
    /// A UDP datagram.
    fn udp(&mut self, packet: &Packet<'_>, ip: &Ip, udp: &Udp<'_>);
    /// An ICMP or `ICMPv6` message.
    fn icmp(&mut self, packet: &Packet<'_>, ip: &Ip, icmp: &Icmp<'_>);
}

/// Decodes packets; keeps fragments that wait for the rest.
pub struct Decoder {
    fragments: Reassembly,
    undecoded: u64,
}

impl Decoder {
    /// A decoder with these limits of fragments.
    #[must_use]
    pub fn new(limits: FragmentLimits) -> Self {
        Self {
            fragments: Reassembly::new(limits),
            undecoded: 0,
        }
    }

    /// Whether frames of this link type are decoded.
    #[must_use]
    pub const fn decodes(link_type: u16) -> bool {
        link::decodes(link_type)
    }

    /// Counts of fragments.
    #[must_use]
    pub const fn fragment_totals(&self) -> FragmentTotals {
        self.fragments.totals()
    }

    /// Packets whose link type is not decoded.
    #[must_use]
    pub const fn undecoded(&self) -> u64 {
        self.undecoded
    }

    /// Called when all packets were seen: fragments that still wait are incomplete.
    pub fn finish(&mut self) {
        self.fragments.finish();
    }

    /// Decodes a packet and reports its contents to `visitor`.
    #[inline]
    pub fn decode<V: Visitor>(&mut self, packet: &Packet<'_>, visitor: &mut V) {
        let reported = packet.original_length as usize;
        let data = &packet.data[..packet.data.len().min(reported)];
        let mut walk = Walk {
            fragments: &mut self.fragments,
            packet,
            visitor,
            depth: 0,
            network_depth: 0,
        };
        if !walk.link(packet.link_type, View { data, reported }) {
            self.undecoded += 1;
        }
    }
}

/// A part of a packet: its captured bytes, and its length on the wire.
#[derive(Debug, Clone, Copy)]
struct View<'b> {
    data: &'b [u8],
    reported: usize,
}

impl<'b> View<'b> {
    /// The data after the first bytes.
    #[inline]
    fn skip(self, bytes: usize) -> Option<Self> {
        let reported = self.reported.checked_sub(bytes)?;
        let data = self.data.get(bytes..).unwrap_or_default();
        Some(Self { data, reported })
    }

    /// Limited to this length on the wire.
    #[inline]
    fn limit(self, reported: usize) -> Self {
        let reported = self.reported.min(reported);
        let data = &self.data[..self.data.len().min(reported)];
        Self { data, reported }
    }
}

/// The state of decoding one packet.
struct Walk<'w, 'p, V> {
    fragments: &'w mut Reassembly,
    packet: &'w Packet<'p>,
    visitor: &'w mut V,
    depth: u8,
    network_depth: u8,
}

impl<V: Visitor> Walk<'_, '_, V> {
    #[inline]
    fn enter(&mut self, protocol: Protocol) -> bool {
        self.depth += 1;
        if self.depth > DEEPEST {
            return false;
        }
        self.visitor.protocol(self.packet, protocol);
        true
    }
}
