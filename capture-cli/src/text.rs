//! One line for one packet, in the manner of tcpdump, with nanoseconds, interface and direction.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

use etherparse::{
    ArpOperation, EtherType, Icmpv4Type, Icmpv6Type, IpNumber, LaxPacketHeaders, LinkExtHeader,
    LinkHeader, NetHeaders, TcpHeader, TransportHeader,
};

use crate::model::{Direction, Packet, Time};

/// LINKTYPE_ETHERNET (<https://www.tcpdump.org/linktypes.html>).
const ETHERNET: u32 = 1;
/// LINKTYPE_RAW, LINKTYPE_IPV4, LINKTYPE_IPV6.
const RAW: [u32; 3] = [101, 228, 229];

/// The line, without an end. `interface` is what the packet's interface is called.
#[must_use]
pub fn line(packet: &Packet, interface: &str, link_type: u32) -> String {
    let direction = match packet.direction {
        Direction::In => "In ",
        Direction::Out => "Out",
        Direction::Inout | Direction::Unknown => "?  ",
    };
    let mut text = format!(
        "{} {interface} {direction} ",
        Time::from_nanoseconds(packet.timestamp)
    );
    let parsed = if link_type == ETHERNET {
        LaxPacketHeaders::from_ethernet(&packet.data).ok()
    } else if RAW.contains(&link_type) {
        LaxPacketHeaders::from_ip(&packet.data).ok()
    } else {
        None
    };
    match parsed {
        Some(headers) => describe(&headers, packet.original_length, &mut text),
        None => text.push_str(&format!(
            "link type {link_type}, length {}",
            packet.original_length
        )),
    }
    if packet.data.len() < packet.original_length as usize {
        text.push_str(&format!(" [{} captured]", packet.data.len()));
    }
    text
}

fn describe(headers: &LaxPacketHeaders<'_>, length: u32, text: &mut String) {
    for extension in &headers.link_exts {
        if let LinkExtHeader::Vlan(vlan) = extension {
            text.push_str(&format!("vlan {}, ", vlan.vlan_id.value()));
        }
    }
    match &headers.net {
        Some(NetHeaders::Ipv4(ip, _)) => {
            let (from, to) = (Ipv4Addr::from(ip.source), Ipv4Addr::from(ip.destination));
            let payload = u32::from(ip.total_len).saturating_sub(ip.header_len() as u32);
            text.push_str("IP ");
            if ip.fragment_offset.value() > 0 {
                text.push_str(&format!(
                    "{from} > {to}: {} fragment at {}, length {payload}",
                    protocol(ip.protocol),
                    ip.fragment_offset.byte_offset()
                ));
                return;
            }
            let ends = |port: Option<u16>, address: Ipv4Addr| match port {
                Some(port) => format!("{address}.{port}"),
                None => address.to_string(),
            };
            transport(
                headers,
                payload,
                ip.protocol,
                text,
                |source, destination| format!("{} > {}", ends(source, from), ends(destination, to)),
            );
        }
        Some(NetHeaders::Ipv6(ip, extensions)) => {
            let (from, to) = (Ipv6Addr::from(ip.source), Ipv6Addr::from(ip.destination));
            let payload = u32::from(ip.payload_length)
                .saturating_sub(u32::try_from(extensions.header_len()).unwrap_or(0));
            let protocol = extensions
                .next_header(ip.next_header)
                .unwrap_or(ip.next_header);
            let ends = |port: Option<u16>, address: Ipv6Addr| match port {
                Some(port) => format!("{address}.{port}"),
                None => address.to_string(),
            };
            text.push_str("IP6 ");
            transport(headers, payload, protocol, text, |source, destination| {
                format!("{} > {}", ends(source, from), ends(destination, to))
            });
        }
        Some(NetHeaders::Arp(arp)) => match arp.try_eth_ipv4() {
            Ok(arp) => {
                let (from, to) = (
                    Ipv4Addr::from(arp.sender_ipv4),
                    Ipv4Addr::from(arp.target_ipv4),
                );
                text.push_str(&match arp.operation {
                    ArpOperation::REQUEST => format!("ARP, who-has {to} tell {from}"),
                    ArpOperation::REPLY => {
                        format!("ARP, {from} is-at {}", address(&arp.sender_mac))
                    }
                    other => format!("ARP, operation {}", other.0),
                });
            }
            Err(_) => text.push_str(&format!("ARP, length {length}")),
        },
        None => match &headers.link {
            Some(LinkHeader::Ethernet2(ethernet)) => {
                let EtherType(number) = headers
                    .link_exts
                    .iter()
                    .rev()
                    .find_map(|extension| match extension {
                        LinkExtHeader::Vlan(vlan) => Some(vlan.ether_type),
                        LinkExtHeader::Macsec(_) => None,
                    })
                    .unwrap_or(ethernet.ether_type);
                text.push_str(&format!(
                    "{} > {}, ethertype 0x{number:04x}, length {length}",
                    address(&ethernet.source),
                    address(&ethernet.destination)
                ));
            }
            _ => text.push_str(&format!("not IP, length {length}")),
        },
    }
}

fn transport(
    headers: &LaxPacketHeaders<'_>,
    payload: u32,
    next: IpNumber,
    text: &mut String,
    ends: impl Fn(Option<u16>, Option<u16>) -> String,
) {
    let (source, destination) = match &headers.transport {
        Some(TransportHeader::Udp(udp)) => (Some(udp.source_port), Some(udp.destination_port)),
        Some(TransportHeader::Tcp(tcp)) => (Some(tcp.source_port), Some(tcp.destination_port)),
        _ => (None, None),
    };
    text.push_str(&ends(source, destination));
    let described = match &headers.transport {
        Some(TransportHeader::Udp(_)) => format!(": UDP, length {}", payload.saturating_sub(8)),
        Some(TransportHeader::Tcp(tcp)) => {
            let length = payload.saturating_sub(tcp.header_len() as u32);
            format!(": {}, length {length}", tcp_text(tcp))
        }
        Some(TransportHeader::Icmpv4(icmp)) => {
            format!(": ICMP {}, length {payload}", icmp4_text(&icmp.icmp_type))
        }
        Some(TransportHeader::Icmpv6(icmp)) => {
            format!(": ICMP6 {}, length {payload}", icmp6_text(&icmp.icmp_type))
        }
        Some(TransportHeader::Igmp(_)) => format!(": IGMP, length {payload}"),
        None => format!(": {}, length {payload}", protocol(next)),
    };
    text.push_str(&described);
}

fn tcp_text(tcp: &TcpHeader) -> String {
    let flags = [
        (tcp.syn, 'S'),
        (tcp.fin, 'F'),
        (tcp.rst, 'R'),
        (tcp.psh, 'P'),
        (tcp.urg, 'U'),
        (tcp.ece, 'E'),
        (tcp.cwr, 'W'),
        (tcp.ack, '.'),
    ];
    let mut text: String = flags
        .into_iter()
        .filter_map(|(is_set, letter)| is_set.then_some(letter))
        .collect();
    if text.is_empty() {
        text.push_str("none");
    }
    text = format!("Flags [{text}], seq {}", tcp.sequence_number);
    if tcp.ack {
        // Writing to a String does not fail.
        let _ = write!(text, ", ack {}", tcp.acknowledgment_number);
    }
    let _ = write!(text, ", win {}", tcp.window_size);
    text
}

fn icmp4_text(icmp: &Icmpv4Type) -> String {
    match icmp {
        Icmpv4Type::EchoRequest(echo) => format!("echo request, id {}, seq {}", echo.id, echo.seq),
        Icmpv4Type::EchoReply(echo) => format!("echo reply, id {}, seq {}", echo.id, echo.seq),
        Icmpv4Type::DestinationUnreachable(_) => "destination unreachable".to_owned(),
        Icmpv4Type::Redirect(_) => "redirect".to_owned(),
        Icmpv4Type::TimeExceeded(_) => "time exceeded".to_owned(),
        Icmpv4Type::ParameterProblem(_) => "parameter problem".to_owned(),
        Icmpv4Type::TimestampRequest(_) => "timestamp request".to_owned(),
        Icmpv4Type::TimestampReply(_) => "timestamp reply".to_owned(),
        Icmpv4Type::Unknown {
            type_u8, code_u8, ..
        } => format!("type {type_u8}, code {code_u8}"),
    }
}

fn icmp6_text(icmp: &Icmpv6Type) -> String {
    match icmp {
        Icmpv6Type::EchoRequest(echo) => format!("echo request, id {}, seq {}", echo.id, echo.seq),
        Icmpv6Type::EchoReply(echo) => format!("echo reply, id {}, seq {}", echo.id, echo.seq),
        other => format!("type {}, code {}", other.type_u8(), other.code_u8()),
    }
}

fn protocol(number: IpNumber) -> String {
    number.keyword_str().map_or_else(
        || format!("protocol {}", number.0),
        |name| format!("{name} ({})", number.0),
    )
}

fn address(bytes: &[u8; 6]) -> String {
    let [a, b, c, d, e, f] = bytes;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    fn packet(data: Vec<u8>) -> Packet {
        Packet {
            timestamp: 1_700_000_000_123_456_789,
            interface: 0,
            direction: Direction::In,
            original_length: data.len() as u32,
            data: data.into(),
        }
    }

    #[test]
    fn a_line_says_when_where_who_and_what() {
        let ethernet = || PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let mut udp = Vec::new();
        ethernet()
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .udp(5000, 53)
            .write(&mut udp, &[0; 30])
            .unwrap();
        assert_eq!(
            line(&packet(udp.clone()), "eth0", 1),
            "2023-11-14T22:13:20.123456789Z eth0 In  IP 10.0.0.1.5000 > 10.0.0.2.53: UDP, length 30"
        );
        let mut tcp = Vec::new();
        ethernet()
            .single_vlan(5.try_into().unwrap())
            .ipv6([0xfd; 16], [0xfe; 16], 64)
            .tcp(80, 4000, 7, 1000)
            .syn()
            .ack(9)
            .write(&mut tcp, b"xy")
            .unwrap();
        let text = line(&packet(tcp), "eth0", 1);
        assert!(text.contains("vlan 5, IP6 fdfd:"), "{text}");
        assert!(
            text.ends_with(".4000: Flags [S.], seq 7, ack 9, win 1000, length 2"),
            "{text}"
        );
        let text = line(&packet(udp[14..].to_vec()), "tun0", 101);
        assert!(text.contains("10.0.0.2.53: UDP"), "{text}");
    }

    #[test]
    fn nothing_that_comes_from_the_wire_breaks_it() {
        let mut udp = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .udp(5000, 53)
            .write(&mut udp, &[0; 30])
            .unwrap();
        for link_type in [1, 101, 276] {
            for length in 0..udp.len() {
                let mut cut = packet(udp[..length].to_vec());
                cut.original_length = udp.len() as u32;
                let text = line(&cut, "eth0", link_type);
                assert!(text.ends_with(&format!(" [{length} captured]")), "{text}");
            }
            for position in 0..udp.len() {
                let mut bytes = udp.clone();
                bytes[position] = !bytes[position];
                assert!(!line(&packet(bytes), "eth0", link_type).contains('\n'));
            }
        }
    }
}
