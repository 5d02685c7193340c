//! Headers as they are on the wire.

/// The variable fields of an IPv4 header.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    pub(crate) from: [u8; 4],
    pub(crate) to: [u8; 4],
    pub(crate) id: u16,
    pub(crate) ttl: u8,
    /// Flags and offset.
    pub(crate) fragment: u16,
}

impl Header {
    pub(crate) const fn new(from: [u8; 4], to: [u8; 4]) -> Self {
        Self {
            from,
            to,
            id: 0,
            ttl: 64,
            fragment: 0x4000,
        }
    }
}

pub(crate) const BROADCAST: [u8; 6] = [0xff; 6];

pub(crate) fn ethernet(from: [u8; 6], to: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes(), payload].concat()
}

/// An IPv4 packet without a link layer.
pub(crate) fn packet(header: Header, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((payload.len() as u16 + 20).to_be_bytes());
    packet.extend(header.id.to_be_bytes());
    packet.extend(header.fragment.to_be_bytes());
    packet.extend([header.ttl, protocol, 0, 0]);
    packet.extend(header.from);
    packet.extend(header.to);
    packet.extend(payload);
    packet
}

/// An IPv4 packet over Ethernet, between hardware addresses made of the IP addresses.
pub(crate) fn ipv4(header: Header, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let device = |[a, b, c, d]: [u8; 4]| [2, 0, a, b, c, d];
    let packet = packet(header, protocol, payload);
    ethernet(device(header.from), device(header.to), 0x0800, &packet)
}

pub(crate) fn udp(ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let mut datagram = ports.map(u16::to_be_bytes).concat();
    datagram.extend((payload.len() as u16 + 8).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

pub(crate) fn tcp(ports: [u16; 2], numbers: [u32; 2], flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = ports.map(u16::to_be_bytes).concat();
    segment.extend(numbers.map(u32::to_be_bytes).concat());
    segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(payload);
    segment
}

/// An ICMP message; `rest` follows the checksum.
pub(crate) fn icmp(kind: u8, code: u8, rest: [u8; 4], quote: &[u8]) -> Vec<u8> {
    [&[kind, code, 0, 0][..], &rest, quote].concat()
}

pub(crate) fn arp(request: bool, device: [u8; 6], address: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mut message = vec![0, 1, 8, 0, 6, 4, 0, if request { 1 } else { 2 }];
    message.extend(device);
    message.extend(address);
    message.extend([0; 6]);
    message.extend(target);
    ethernet(device, BROADCAST, 0x0806, &message)
}

/// A DHCP message of a type (option 53), from or to the server.
pub(crate) fn dhcp(kind: u8, client: [u8; 6], server: Option<[u8; 4]>) -> Vec<u8> {
    let mut message = vec![if server.is_some() { 2 } else { 1 }, 1, 6, 0];
    message.resize(28, 0);
    message.extend(client);
    message.resize(236, 0);
    message.extend([0x63, 0x82, 0x53, 0x63, 0, 53, 1, kind, 255]);
    let (header, ports) = match server {
        Some(server) => (Header::new(server, [255; 4]), [67, 68]),
        None => (Header::new([0; 4], [255; 4]), [68, 67]),
    };
    ipv4(header, 17, &udp(ports, &message))
}
