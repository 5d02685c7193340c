//! One line per packet, similar to tcpdump, with nanoseconds, interface and direction. The daemon uses these
//! lines for text files and for its own output, the client for live packets.

use std::{
    fmt::{self, Write},
    net::{Ipv4Addr, Ipv6Addr},
    time::{Duration, UNIX_EPOCH},
};

use etherparse::{
    ArpOperation, EtherType, Icmpv4Type, Icmpv6Type, IpNumber, LaxPacketHeaders, LinkExtHeader,
    LinkHeader, NetHeaders, TcpHeader, TransportHeader,
};

/// LINKTYPE_ETHERNET (<https://www.tcpdump.org/linktypes.html>).
const ETHERNET: u32 = 1;
/// LINKTYPE_RAW, LINKTYPE_IPV4, LINKTYPE_IPV6.
const RAW: [u32; 3] = [101, 228, 229];

/// A packet with the other fields of its line.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// UTC, nanoseconds since 1970-01-01.
    pub timestamp: u64,
    /// The packet's capture; `None` where only one is possible.
    pub capture: Option<&'a str>,
    /// Name of the interface.
    pub interface: &'a str,
    /// Direction of the packet; `None` if unknown.
    pub way: Option<Way>,
    /// Number of the link type (<https://www.tcpdump.org/linktypes.html>).
    pub link_type: u32,
    /// Length on the wire, in bytes.
    pub original_length: u32,
    /// The captured bytes.
    pub bytes: &'a [u8],
}

/// Direction of a packet through its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Received.
    In,
    /// Sent.
    Out,
}

/// The line, without a line break at its end or inside, whatever the packet contains.
impl fmt::Display for Line<'_> {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = UNIX_EPOCH + Duration::from_nanos(self.timestamp);
        write!(text, "{} ", humantime::format_rfc3339_nanos(time))?;
        if let Some(capture) = self.capture {
            write!(text, "{capture} ")?;
        }
        let way = match self.way {
            Some(Way::In) => "In ",
            Some(Way::Out) => "Out",
            None => "?  ",
        };
        write!(text, "{} {way} ", self.interface)?;
        let parsed = if self.link_type == ETHERNET {
            LaxPacketHeaders::from_ethernet(self.bytes).ok()
        } else if RAW.contains(&self.link_type) {
            LaxPacketHeaders::from_ip(self.bytes).ok()
        } else {
            None
        };
        match parsed {
            Some(headers) => describe(&headers, self.original_length, text)?,
            None => write!(
                text,
                "link type {}, length {}",
                self.link_type, self.original_length
            )?,
        }
        if self.bytes.len() < self.original_length as usize {
            write!(text, " [{} captured]", self.bytes.len())?;
        }
        Ok(())
    }
}

fn describe(
    headers: &LaxPacketHeaders<'_>,
    length: u32,
    text: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    for extension in &headers.link_exts {
        if let LinkExtHeader::Vlan(vlan) = extension {
            write!(text, "vlan {}, ", vlan.vlan_id.value())?;
        }
    }
    match &headers.net {
        Some(NetHeaders::Ipv4(ip, _)) => {
            let (from, to) = (Ipv4Addr::from(ip.source), Ipv4Addr::from(ip.destination));
            let payload = u32::from(ip.total_len).saturating_sub(ip.header_len() as u32);
            if ip.fragment_offset.value() > 0 {
                return write!(
                    text,
                    "IP {from} > {to}: {} fragment at {}, length {payload}",
                    Protocol(ip.protocol),
                    ip.fragment_offset.byte_offset()
                );
            }
            write!(text, "IP ")?;
            transport(headers, [&from, &to], payload, ip.protocol, text)
        }
        Some(NetHeaders::Ipv6(ip, extensions)) => {
            let (from, to) = (Ipv6Addr::from(ip.source), Ipv6Addr::from(ip.destination));
            let payload = u32::from(ip.payload_length)
                .saturating_sub(u32::try_from(extensions.header_len()).unwrap_or(0));
            let protocol = extensions
                .next_header(ip.next_header)
                .unwrap_or(ip.next_header);
            write!(text, "IP6 ")?;
            transport(headers, [&from, &to], payload, protocol, text)
        }
        Some(NetHeaders::Arp(arp)) => match arp.try_eth_ipv4() {
            Ok(arp) => {
                let (from, to) = (
                    Ipv4Addr::from(arp.sender_ipv4),
                    Ipv4Addr::from(arp.target_ipv4),
                );
                match arp.operation {
                    ArpOperation::REQUEST => write!(text, "ARP, who-has {to} tell {from}"),
                    ArpOperation::REPLY => {
                        write!(text, "ARP, {from} is-at {}", Mac(&arp.sender_mac))
                    }
                    other => write!(text, "ARP, operation {}", other.0),
                }
            }
            Err(_) => write!(text, "ARP, length {length}"),
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
                write!(
                    text,
                    "{} > {}, ethertype 0x{number:04x}, length {length}",
                    Mac(&ethernet.source),
                    Mac(&ethernet.destination)
                )
            }
            _ => write!(text, "not IP, length {length}"),
        },
    }
}

fn transport(
    headers: &LaxPacketHeaders<'_>,
    [from, to]: [&dyn fmt::Display; 2],
    payload: u32,
    next: IpNumber,
    text: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let ports = match &headers.transport {
        Some(TransportHeader::Udp(udp)) => Some((udp.source_port, udp.destination_port)),
        Some(TransportHeader::Tcp(tcp)) => Some((tcp.source_port, tcp.destination_port)),
        _ => None,
    };
    match ports {
        Some((source, destination)) => write!(text, "{from}.{source} > {to}.{destination}: ")?,
        None => write!(text, "{from} > {to}: ")?,
    }
    match &headers.transport {
        Some(TransportHeader::Udp(_)) => {
            write!(text, "UDP, length {}", payload.saturating_sub(8))
        }
        Some(TransportHeader::Tcp(tcp)) => {
            tcp_text(tcp, text)?;
            let length = payload.saturating_sub(tcp.header_len() as u32);
            write!(text, ", length {length}")
        }
        Some(TransportHeader::Icmpv4(icmp)) => {
            write!(text, "ICMP ")?;
            icmp4_text(&icmp.icmp_type, text)?;
            write!(text, ", length {payload}")
        }
        Some(TransportHeader::Icmpv6(icmp)) => {
            write!(text, "ICMP6 ")?;
            icmp6_text(&icmp.icmp_type, text)?;
            write!(text, ", length {payload}")
        }
        Some(TransportHeader::Igmp(_)) => write!(text, "IGMP, length {payload}"),
        None => write!(text, "{}, length {payload}", Protocol(next)),
    }
}

fn tcp_text(tcp: &TcpHeader, text: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    write!(text, "Flags [")?;
    for (_, letter) in flags.iter().filter(|(is_set, _)| *is_set) {
        text.write_char(*letter)?;
    }
    if !flags.iter().any(|(is_set, _)| *is_set) {
        write!(text, "none")?;
    }
    write!(text, "], seq {}", tcp.sequence_number)?;
    if tcp.ack {
        write!(text, ", ack {}", tcp.acknowledgment_number)?;
    }
    write!(text, ", win {}", tcp.window_size)
}

fn icmp4_text(icmp: &Icmpv4Type, text: &mut fmt::Formatter<'_>) -> fmt::Result {
    match icmp {
        Icmpv4Type::EchoRequest(echo) => {
            write!(text, "echo request, id {}, seq {}", echo.id, echo.seq)
        }
        Icmpv4Type::EchoReply(echo) => write!(text, "echo reply, id {}, seq {}", echo.id, echo.seq),
        Icmpv4Type::DestinationUnreachable(_) => write!(text, "destination unreachable"),
        Icmpv4Type::Redirect(_) => write!(text, "redirect"),
        Icmpv4Type::TimeExceeded(_) => write!(text, "time exceeded"),
        Icmpv4Type::ParameterProblem(_) => write!(text, "parameter problem"),
        Icmpv4Type::TimestampRequest(_) => write!(text, "timestamp request"),
        Icmpv4Type::TimestampReply(_) => write!(text, "timestamp reply"),
        Icmpv4Type::Unknown {
            type_u8, code_u8, ..
        } => write!(text, "type {type_u8}, code {code_u8}"),
    }
}

fn icmp6_text(icmp: &Icmpv6Type, text: &mut fmt::Formatter<'_>) -> fmt::Result {
    match icmp {
        Icmpv6Type::EchoRequest(echo) => {
            write!(text, "echo request, id {}, seq {}", echo.id, echo.seq)
        }
        Icmpv6Type::EchoReply(echo) => write!(text, "echo reply, id {}, seq {}", echo.id, echo.seq),
        other => write!(text, "type {}, code {}", other.type_u8(), other.code_u8()),
    }
}

struct Protocol(IpNumber);

impl fmt::Display for Protocol {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.keyword_str() {
            Some(name) => write!(text, "{name} ({})", self.0.0),
            None => write!(text, "protocol {}", self.0.0),
        }
    }
}

struct Mac<'a>(&'a [u8; 6]);

impl fmt::Display for Mac<'_> {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(text, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    fn packet<'a>(bytes: &'a [u8], interface: &'a str, link_type: u32) -> Line<'a> {
        Line {
            timestamp: 1_700_000_000_123_456_789,
            capture: None,
            interface,
            way: Some(Way::In),
            link_type,
            original_length: bytes.len() as u32,
            bytes,
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
            packet(&udp, "eth0", 1).to_string(),
            "2023-11-14T22:13:20.123456789Z eth0 In  IP 10.0.0.1.5000 > 10.0.0.2.53: UDP, length 30"
        );
        let named = Line {
            capture: Some("web"),
            way: Some(Way::Out),
            original_length: 1000,
            ..packet(&udp, "eth0", 1)
        };
        assert_eq!(
            named.to_string(),
            "2023-11-14T22:13:20.123456789Z web eth0 Out IP 10.0.0.1.5000 > 10.0.0.2.53: UDP, \
             length 30 [72 captured]"
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
        let text = packet(&tcp, "eth0", 1).to_string();
        assert!(text.contains("vlan 5, IP6 fdfd:"), "{text}");
        assert!(
            text.ends_with(".4000: Flags [S.], seq 7, ack 9, win 1000, length 2"),
            "{text}"
        );
        let text = packet(&udp[14..], "tun0", 101).to_string();
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
                let cut = Line {
                    original_length: udp.len() as u32,
                    ..packet(&udp[..length], "eth0", link_type)
                };
                let text = cut.to_string();
                assert!(text.ends_with(&format!(" [{length} captured]")), "{text}");
            }
            for position in 0..udp.len() {
                let mut bytes = udp.clone();
                bytes[position] = !bytes[position];
                assert!(!packet(&bytes, "eth0", link_type).to_string().contains('\n'));
            }
        }
    }
}
