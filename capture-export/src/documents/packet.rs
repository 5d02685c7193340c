//! The document of a packet: its innermost addresses and ports.

use std::{collections::HashMap, net::IpAddr};

use capture_analysis::{
    Packet,
    decode::{Decoder, Ethernet, FragmentLimits, Icmp, Ip, Protocol, Tcp, Udp, Visitor},
    flow::Transport,
};

use super::{FileContext, Kind, flow, json::Object};

/// Fragments that may wait: few, as ports of later fragments are all that they give.
const FRAGMENTS: FragmentLimits = FragmentLimits {
    datagrams: 256,
    bytes: 1 << 20,
};

/// Reads the headers of packets.
pub(super) struct PacketReader(Decoder);

impl Default for PacketReader {
    fn default() -> Self {
        Self(Decoder::new(FRAGMENTS))
    }
}

impl PacketReader {
    /// The headers of a packet.
    pub(super) fn read(&mut self, packet: &Packet<'_>) -> Heads {
        let mut heads = Heads::default();
        self.0.decode(packet, &mut heads);
        heads
    }
}

/// The innermost headers of a packet.
#[derive(Default)]
pub(super) struct Heads {
    ethernet: Option<Ethernet>,
    ip: Option<Ip>,
    ports: Option<(u16, u16)>,
    protocol: Option<Protocol>,
}

impl Heads {
    /// The transport protocol, if it is one with flows.
    pub(super) fn flow(&self) -> Option<Transport> {
        match self.ip?.protocol {
            6 => Some(Transport::Tcp),
            17 => Some(Transport::Udp),
            _ => None,
        }
    }
}

impl Visitor for Heads {
    fn protocol(&mut self, _packet: &Packet<'_>, protocol: Protocol) {
        self.protocol = Some(protocol);
    }

    fn ethernet(&mut self, _packet: &Packet<'_>, ethernet: &Ethernet) {
        self.ethernet = Some(*ethernet);
    }

    fn arp(&mut self, _packet: &Packet<'_>, _message: &[u8]) {}

    fn ip(&mut self, _packet: &Packet<'_>, ip: &Ip) {
        self.ip = Some(*ip);
        self.ports = None;
    }

    fn tcp(&mut self, _packet: &Packet<'_>, ip: &Ip, tcp: &Tcp<'_>) {
        self.ip = Some(*ip);
        self.ports = Some((tcp.source, tcp.destination));
    }

    fn udp(&mut self, _packet: &Packet<'_>, ip: &Ip, udp: &Udp<'_>) {
        self.ip = Some(*ip);
        self.ports = Some((udp.source, udp.destination));
    }

    fn icmp(&mut self, _packet: &Packet<'_>, _ip: &Ip, _icmp: &Icmp<'_>) {}
}

pub(super) fn write(
    object: &mut Object<'_>,
    packet: &Packet<'_>,
    heads: &Heads,
    file: &FileContext,
    hosts: &HashMap<IpAddr, String>,
) {
    let length = u64::from(packet.original_length);
    object.time("@timestamp", packet.timestamp);
    object.object("event", |event| {
        event.word("kind", "event");
        event.words("category", &["network"]);
        event.words("type", &["info"]);
        event.word("module", "capture");
        event.word("dataset", Kind::Packet.dataset());
    });
    object.object("network", |network| {
        if let Some(ip) = &heads.ip {
            network.word("type", flow::version(ip.source));
            match transport(ip.protocol) {
                Some((name, _)) => network.word("transport", name),
                None => network.number_as_text("transport", ip.protocol.into()),
            }
            network.number_as_text("iana_number", ip.protocol.into());
        }
        if let Some(protocol) = heads.protocol {
            network.lower_case("protocol", protocol.name());
        }
        network.number("bytes", length);
        network.number("packets", 1);
    });
    let (from_port, to_port) = heads.ports.unzip();
    let (from_mac, to_mac) = heads
        .ethernet
        .map(|ethernet| (ethernet.source, ethernet.destination))
        .unzip();
    let (from, to) = heads.ip.map(|ip| (ip.source, ip.destination)).unzip();
    for (key, ip, port, mac) in [
        ("source", from, from_port, from_mac),
        ("destination", to, to_port, to_mac),
    ] {
        if ip.is_none() && mac.is_none() {
            continue;
        }
        object.object(key, |side| {
            if let Some(ip) = ip {
                side.address("ip", ip);
                flow::name(side, ip, hosts);
            }
            side.some_number("port", port.map(u64::from));
            if let Some(mac) = mac {
                side.mac("mac", mac);
            }
        });
    }
    object.object("capture", |capture| {
        file.capture(capture);
        capture.object("frame", |frame| frame.number("first", packet.frame));
        capture.object("packet", |inner| {
            inner.number("captured", packet.data.len() as u64);
        });
    });
    object.time("timestamp", packet.timestamp);
    object.number("packet_length", length);
    for (key, ip) in [("src_ip", from), ("dst_ip", to)] {
        if let Some(ip) = ip {
            object.address(key, ip);
        }
    }
    object.some_number("src_port", from_port.map(u64::from));
    object.some_number("dst_port", to_port.map(u64::from));
    if let Some(ip) = &heads.ip {
        match transport(ip.protocol) {
            Some((_, name)) => object.word("l4_protocol", name),
            None => object.number_as_text("l4_protocol", ip.protocol.into()),
        }
    }
}

/// A protocol over IP by its number, as in the Elastic Common Schema and in capitals.
/// <https://www.iana.org/assignments/protocol-numbers>
const fn transport(number: u8) -> Option<(&'static str, &'static str)> {
    Some(match number {
        1 => ("icmp", "ICMP"),
        2 => ("igmp", "IGMP"),
        6 => ("tcp", "TCP"),
        17 => ("udp", "UDP"),
        47 => ("gre", "GRE"),
        50 => ("esp", "ESP"),
        51 => ("ah", "AH"),
        58 => ("ipv6-icmp", "ICMPV6"),
        89 => ("ospf", "OSPF"),
        103 => ("pim", "PIM"),
        112 => ("vrrp", "VRRP"),
        132 => ("sctp", "SCTP"),
        _ => return None,
    })
}
