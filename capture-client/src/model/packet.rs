//! Live packets.

use std::net::IpAddr;

use bytes::Bytes;
use capture_types::Direction;

use super::Capture;

/// An event of a packet stream.
#[derive(Debug, Clone)]
pub enum StreamEvent {
    /// An interface, before its first packet.
    Interface(StreamInterface),
    /// Packets.
    Packets(Vec<Packet>),
    /// Names of addresses, in addition to earlier ones.
    Names(Vec<(IpAddr, String)>),
    /// Packets that this reader was too slow for.
    Missed {
        /// Since the previous event of this kind.
        packets: u64,
        /// Since the stream began.
        total: u64,
    },
    /// The capture has ended.
    Ended(Box<Capture>),
}

/// An interface of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInterface {
    /// Its number in the stream.
    pub id: u32,
    /// Its name when it joined.
    pub name: String,
    /// The number of its link type.
    pub link_type: u32,
    /// Maximum bytes of each packet.
    pub snaplen: u32,
    /// Its hardware address.
    pub hardware_address: Option<[u8; 6]>,
    /// A description; may be empty.
    pub description: String,
    /// A comment for capture files; may be empty.
    pub comment: String,
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Nanoseconds since 1970-01-01 UTC.
    pub timestamp: u64,
    /// The number of its interface.
    pub interface: u32,
    /// Received or sent; `None` if the node does not say.
    pub direction: Option<Direction>,
    /// Its length on the wire.
    pub original_length: u32,
    /// Its first bytes.
    pub data: Bytes,
}
