use pcap::{Capture, Linktype};

use crate::{
    Epilogue, Filter,
    interpret::{NoMaps, Outcome, Skb, interpret},
    samples,
};
use capture_types::Tunnel;
use capture_types::{Direction, FilterSpec, InnerSpec, LinkType};

/// The offset of the frame inside a tunnel, computed independently.
fn inside(packet: &[u8], link_type: LinkType, tunnels: &[Tunnel]) -> Option<usize> {
    let half = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    let mut at = 0;
    let kind = match link_type {
        LinkType::Raw => match packet.first()? >> 4 {
            4 => 0x0800,
            6 => 0x86dd,
            _ => 0,
        },
        LinkType::Ethernet => {
            at = 14;
            let mut kind = half(12)?;
            for _ in 0..2 {
                if [0x8100, 0x88a8, 0x9100].contains(&kind) {
                    kind = half(at + 2)?;
                    at += 4;
                }
            }
            kind
        }
    };
    let udp = match kind {
        0x0800 if packet.get(at + 9) == Some(&17) && half(at + 6)? & 0x1fff == 0 => {
            at + usize::from(packet[at] & 15) * 4
        }
        0x86dd if packet.get(at + 6) == Some(&17) => at + 40,
        _ => return None,
    };
    let header = packet.get(udp + 8..udp + 16)?;
    let port = half(udp + 2)?;
    tunnels
        .iter()
        .filter(|tunnel| tunnel.port.is_none_or(|wanted| wanted == port))
        .find_map(
            |tunnel| match (tunnel.to_string().as_bytes()[0], tunnel.port) {
                (b'v', None) => (header[..4] == [8, 0, 0, 0] && header[7] == 0).then_some(udp + 16),
                (b'v', Some(_)) => (header[0] & 8 != 0).then_some(udp + 16),
                (_, port) => {
                    let strict = header[1] & 0x3f == 0 && header[7] == 0;
                    (header[0] < 64 && header[2..4] == [0x65, 0x58] && (strict || port.is_some()))
                        .then_some(udp + 16 + usize::from(header[0] & 63) * 4)
                }
            },
        )
}

#[test]
fn an_inner_expression_is_decided_on_the_packet_inside_the_tunnel() {
    let expressions = [
        "tcp port 80",
        "host 10.0.0.1",
        "ip6 and udp",
        "arp",
        "vlan and ip",
        "len > 100",
        "ip[ip[8] & 15] > 5",
        "tcp[((tcp[12] & 0xf0) >> 2):4] != 0",
        "ether[0] = 2",
        "ether src 02:00:00:00:00:01",
        "1 << ip[8] > 0",
        "geneve and tcp",
    ];
    let tunnels: [&[&str]; 5] = [
        &[],
        &["vxlan"],
        &["geneve:6081"],
        &["vxlan:4789", "geneve"],
        &["vxlan:80"],
    ];
    for link_type in LinkType::ALL {
        let packets = samples::many(7, 400, |random| {
            let packet = samples::tunnelled(random, 0);
            match link_type {
                LinkType::Raw => packet,
                LinkType::Ethernet => samples::framed(random, &packet),
            }
        });
        let mut matches = 0;
        for expression in expressions {
            let peer = Capture::dead(Linktype::ETHERNET)
                .unwrap()
                .compile(expression, true)
                .unwrap();
            for tunnels in tunnels {
                let tunnels: Vec<Tunnel> =
                    tunnels.iter().map(|text| text.parse().unwrap()).collect();
                let spec = FilterSpec {
                    inner: Some(InnerSpec {
                        expression: expression.to_owned(),
                        tunnels: tunnels.clone(),
                    }),
                    ..FilterSpec::default()
                };
                let program = Filter::compile(&spec, link_type)
                    .unwrap()
                    .program(Epilogue {
                        index: 0,
                        direction: Direction::In,
                    });
                let any = if tunnels.is_empty() {
                    &Tunnel::ANY[..]
                } else {
                    &tunnels[..]
                };
                for packet in &packets {
                    for (length, linear) in [
                        (packet.len(), packet.len()),
                        (packet.len(), 30),
                        (packet.len() * 2 / 3, packet.len()),
                    ] {
                        let bytes = &packet[..length];
                        let expected = inside(bytes, link_type, any)
                            .and_then(|at| bytes.get(at..))
                            .is_some_and(|frame| peer.filter(frame));
                        let skb = Skb {
                            bytes,
                            linear: Some(linear),
                            ..Skb::default()
                        };
                        let outcome = interpret(&program, &skb, &NoMaps).unwrap();
                        assert_eq!(
                            outcome == Outcome::Matched(0),
                            expected,
                            "{expression} in {tunnels:?}: {bytes:02x?}"
                        );
                        matches += usize::from(expected);
                    }
                }
            }
        }
        assert!(matches > 1000, "only {matches} matches");
    }
}

#[test]
fn a_tunnel_is_read_as_it_is_written() {
    for text in ["vxlan", "geneve", "vxlan:4789", "geneve:1"] {
        assert_eq!(text.parse::<Tunnel>().unwrap().to_string(), text);
    }
    for text in ["", "gre", "vxlan:", "vxlan:0", "vxlan:65536", "geneve:x"] {
        let error = text.parse::<Tunnel>().unwrap_err().to_string();
        assert!(error.contains(&format!("{text:?}")), "{error}");
    }
}
