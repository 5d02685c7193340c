//! A packet on its way from the ring buffer to a file.

/// Numbers the capture's interfaces from 0 in the order in which they joined. A number is never used
/// again within a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceId(pub u32);

/// One packet, borrowed from the ring buffer.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// UTC, nanoseconds since 1970-01-01.
    pub timestamp: u64,
    /// The interface it was seen on.
    pub interface: InterfaceId,
    /// Which way it went.
    pub way: Way,
    /// `PACKET_HOST` (0), `PACKET_BROADCAST` (1), `PACKET_MULTICAST` (2), `PACKET_OTHERHOST` (3), ...
    /// of `linux/if_packet.h`.
    pub packet_type: u8,
    /// Its length on the wire in bytes; at least `bytes.len()`.
    pub original_length: u32,
    /// What was kept of it.
    pub bytes: &'a [u8],
}

/// Which way a packet went through its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// Received.
    In,
    /// Sent.
    Out,
}

/// The link type of an interface (<https://www.tcpdump.org/linktypes.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum LinkType {
    /// `LINKTYPE_ETHERNET`, 1.
    #[serde(rename = "EN10MB")]
    Ethernet,
    /// `LINKTYPE_RAW`, 101: the packet begins with its IPv4 or IPv6 header.
    #[serde(rename = "RAW")]
    Raw,
}

impl LinkType {
    /// Every link type that is captured from.
    pub const ALL: [Self; 2] = [Self::Ethernet, Self::Raw];

    /// The number that stands in capture files.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Ethernet => 1,
            Self::Raw => 101,
        }
    }
}

/// What a capture file says of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceDescription {
    /// Its name when it joined the capture.
    pub name: String,
    /// Its index in its network namespace.
    pub ifindex: u32,
    /// Driver, peer, address or alias, where known; may be empty.
    pub description: String,
    /// Its link type.
    pub link_type: LinkType,
    /// Its hardware address, where it has one of 6 bytes.
    pub mac: Option<[u8; 6]>,
}
