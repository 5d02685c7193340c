//! The properties of a packet that do not change on its path.

use crate::{
    decode::{Ethernet, Icmp, Ip, Protocol, Tcp, Udp, Visitor},
    flow::Endpoint,
    packet::Packet,
};

/// Bytes from the beginning of a datagram: fewer than any sensible snap length keeps.
const BEGINNING: usize = 8;

/// The identity of a packet at both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    source: Endpoint,
    destination: Endpoint,
    protocol: u8,
    /// Distinguishes several transmissions of the same bytes, if the sender numbers them.
    identification: u32,
    length: u32,
    inside: Inside,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Inside {
    /// Nothing to compare.
    Other,
    Tcp {
        sequence: u32,
        acknowledgement: u32,
        flags: u16,
        length: u32,
    },
    Datagram([u8; BEGINNING]),
}

impl Identity {
    /// One direction of a flow.
    pub(super) const fn way(&self) -> (u8, Endpoint, Endpoint) {
        (self.protocol, self.source, self.destination)
    }

    /// For TCP with data: its first sequence number and its bytes.
    pub(super) const fn tcp_data(&self) -> Option<(u32, u32)> {
        match self.inside {
            Inside::Tcp {
                sequence, length, ..
            } if length > 0 => Some((sequence, length)),
            _ => None,
        }
    }
}

/// The identity of a packet, from its innermost IP packet.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) identity: Option<Identity>,
}

fn of(ip: &Ip, ports: (u16, u16), length: u32, inside: Inside) -> Identity {
    let end = |address, port| Endpoint { address, port };
    Identity {
        source: end(ip.source, ports.0),
        destination: end(ip.destination, ports.1),
        protocol: ip.protocol,
        identification: ip.identification,
        length,
        inside,
    }
}

fn beginning(bytes: &[u8]) -> [u8; BEGINNING] {
    let mut beginning = [0; BEGINNING];
    let length = bytes.len().min(BEGINNING);
    beginning[..length].copy_from_slice(&bytes[..length]);
    beginning
}

impl Visitor for Seen {
    fn protocol(&mut self, _packet: &Packet<'_>, _protocol: Protocol) {}
    fn ethernet(&mut self, _packet: &Packet<'_>, _ethernet: &Ethernet) {}
    fn arp(&mut self, _packet: &Packet<'_>, _message: &[u8]) {}

    fn ip(&mut self, _packet: &Packet<'_>, ip: &Ip) {
        self.identity = Some(of(ip, (0, 0), ip.length, Inside::Other));
    }

    fn tcp(&mut self, _packet: &Packet<'_>, ip: &Ip, tcp: &Tcp<'_>) {
        let inside = Inside::Tcp {
            sequence: tcp.sequence,
            acknowledgement: tcp.acknowledgement,
            flags: tcp.flags,
            length: tcp.length.unwrap_or(0),
        };
        self.identity = Some(of(ip, (tcp.source, tcp.destination), 0, inside));
    }

    fn udp(&mut self, _packet: &Packet<'_>, ip: &Ip, udp: &Udp<'_>) {
        let inside = Inside::Datagram(beginning(udp.payload));
        self.identity = Some(of(ip, (udp.source, udp.destination), udp.length, inside));
    }

    fn icmp(&mut self, _packet: &Packet<'_>, ip: &Ip, icmp: &Icmp<'_>) {
        let mut bytes = beginning(icmp.rest);
        bytes.rotate_right(2);
        (bytes[0], bytes[1]) = (icmp.kind, icmp.code);
        self.identity = Some(of(ip, (0, 0), ip.length, Inside::Datagram(bytes)));
    }
}
