//! A packet on its way from the ring buffer to a file.

use capture_types::{Direction, LinkType};

/// Number of an interface of the capture, from 0 in the order in which they joined. A number is
/// never reused within a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceId(pub u32);

/// One packet, borrowed from the ring buffer.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// UTC, nanoseconds since 1970-01-01.
    pub timestamp: u64,
    /// The interface it was seen on.
    pub interface: InterfaceId,
    /// Its direction.
    pub direction: Direction,
    /// `PACKET_HOST` (0), `PACKET_BROADCAST` (1), `PACKET_MULTICAST` (2), `PACKET_OTHERHOST` (3), ...
    /// of `linux/if_packet.h`.
    pub packet_type: u8,
    /// Its length on the wire in bytes; at least `bytes.len()`.
    pub original_length: u32,
    /// The captured bytes.
    pub bytes: &'a [u8],
}

/// The description of an interface in a capture file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceDescription {
    /// Its name when it joined the capture.
    pub name: String,
    /// Its index in its network namespace.
    pub ifindex: u32,
    /// Driver, peer, address or alias, where known; may be empty.
    pub description: String,
    /// Details for programs, one `key=value` per line; may be empty.
    pub comment: String,
    /// Its link type.
    pub link_type: LinkType,
    /// Its hardware address, where it has one of 6 bytes.
    pub mac: Option<[u8; 6]>,
}
