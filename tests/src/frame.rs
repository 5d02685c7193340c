//! Frames built byte by byte.

use crate::netns::{MAC_A, MAC_B};

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of an 802.1Q tag.
pub const VLAN: u16 = 0x8100;
/// EtherType of an 802.1ad (QinQ) tag.
pub const QINQ: u16 = 0x88a8;

/// 10.0.0.1.
pub const ADDRESS_A: [u8; 4] = [10, 0, 0, 1];
/// 10.0.0.2.
pub const ADDRESS_B: [u8; 4] = [10, 0, 0, 2];
/// 10.0.0.99, an unused address: packets to it are received and dropped without an answer.
pub const ADDRESS_NOBODY: [u8; 4] = [10, 0, 0, 99];
/// fd00::a.
pub const ADDRESS6_A: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xa];
/// fd00::b.
pub const ADDRESS6_B: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xb];

/// A frame from `a` to `b`.
#[must_use]
pub fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    ethernet_to(MAC_B, ethertype, payload)
}

/// A frame from `a` to any destination.
#[must_use]
pub fn ethernet_to(destination: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&destination[..], &MAC_A, &ethertype.to_be_bytes(), payload].concat()
}

/// Adds a tag to a frame, outside of existing ones.
#[must_use]
pub fn tagged(tag: u16, identifier: u16, frame: &[u8]) -> Vec<u8> {
    [
        &frame[..12],
        &tag.to_be_bytes(),
        &identifier.to_be_bytes(),
        &frame[12..],
    ]
    .concat()
}

/// Fields of an IPv4 header besides the addresses.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ipv4 {
    /// The protocol of the payload.
    pub protocol: u8,
    /// Identifies the fragments of a datagram.
    pub identification: u16,
    /// Offset of a fragment, in bytes.
    pub fragment_offset: u16,
    /// Whether more fragments follow.
    pub more_fragments: bool,
}

/// An IPv4 packet from `a` to `b`, with a correct header checksum.
#[must_use]
pub fn ipv4(header: Ipv4, payload: &[u8]) -> Vec<u8> {
    ipv4_to(ADDRESS_B, header, payload)
}

/// An IPv4 packet from `a` to any destination.
#[must_use]
pub fn ipv4_to(destination: [u8; 4], header: Ipv4, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap_or(0);
    let fragment = (header.fragment_offset / 8) | (u16::from(header.more_fragments) << 13);
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend(header.identification.to_be_bytes());
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, header.protocol, 0, 0]);
    packet.extend(ADDRESS_A);
    packet.extend(destination);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

/// An IPv6 packet from `a` to `b`.
#[must_use]
pub fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(0);
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([next_header, 64]);
    packet.extend(ADDRESS6_A);
    packet.extend(ADDRESS6_B);
    packet.extend_from_slice(payload);
    packet
}

/// A UDP datagram without a checksum, which IPv4 allows.
#[must_use]
pub fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap_or(0);
    let mut datagram = Vec::new();
    for field in [source, destination, length, 0] {
        datagram.extend(field.to_be_bytes());
    }
    datagram.extend_from_slice(payload);
    datagram
}

/// A TCP segment with the ACK flag; the checksum is left at 0.
#[must_use]
pub fn tcp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(source.to_be_bytes());
    segment.extend(destination.to_be_bytes());
    segment.extend(1_u32.to_be_bytes());
    segment.extend(1_u32.to_be_bytes());
    segment.extend([0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend_from_slice(payload);
    segment
}

/// A complete frame of exactly `length` bytes, at least 50: Ethernet, IPv4 and UDP from `a` to
/// [`MAC_B`] and [`ADDRESS_NOBODY`], so that nothing answers. Its first eight payload bytes are the
/// number.
#[must_use]
pub fn numbered(number: u64, length: usize) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(length.saturating_sub(42), 0x5a);
    let header = Ipv4 {
        protocol: 17,
        ..Ipv4::default()
    };
    ethernet(
        IPV4,
        &ipv4_to(ADDRESS_NOBODY, header, &udp(4000, PORT, &payload)),
    )
}

/// Like [`numbered`], to a hardware address that is not the receiver's: the stack drops it right after
/// the taps and TC, so that little else is on its path.
#[must_use]
pub fn numbered_for_another(number: u64, length: usize) -> Vec<u8> {
    let mut frame = numbered(number, length);
    frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 0x77]);
    frame
}

/// The destination port of [`numbered`].
pub const PORT: u16 = 4001;

/// The number in a frame made by [`numbered`] or by the generator.
#[must_use]
pub fn number(frame: &[u8]) -> Option<u64> {
    let bytes = frame
        .get(generator_ebpf::SEQUENCE_OFFSET..)?
        .first_chunk()?;
    Some(u64::from_be_bytes(*bytes))
}

/// An ARP request of `a` for `b`.
#[must_use]
pub fn arp_request() -> Vec<u8> {
    let mut body = vec![0, 1, 8, 0, 6, 4, 0, 1];
    body.extend(MAC_A);
    body.extend(ADDRESS_A);
    body.extend([0; 6]);
    body.extend(ADDRESS_B);
    ethernet_to([0xff; 6], ARP, &body)
}

/// RFC 1071.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap_or(0)
}
