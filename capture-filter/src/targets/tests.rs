use std::collections::BTreeSet;

use ipnet::IpNet;
use pcap::{Capture, Linktype};

use super::TargetMaps;
use crate::{Epilogue, Filter, Trial, samples};
use capture_tests::gate;
use capture_types::TargetSet;
use capture_types::{Direction, FilterSpec, LinkType};

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts
        .iter()
        .map(|text| {
            text.parse()
                .unwrap_or_else(|_| IpNet::from(text.parse::<std::net::IpAddr>().unwrap()))
        })
        .collect()
}

fn trial(set: &TargetSet, link_type: LinkType) -> Trial {
    let spec = FilterSpec {
        targets: set.kinds(),
        ..FilterSpec::default()
    };
    let program = Filter::compile(&spec, link_type)
        .unwrap()
        .program(Epilogue {
            index: 0,
            direction: Direction::In,
        });
    Trial::load(program, Some(TargetMaps::create(set).unwrap())).unwrap()
}

/// The equivalent expression.
fn expression(set: &TargetSet) -> String {
    let any = |terms: Vec<String>| {
        if terms.is_empty() {
            "1 = 0".to_owned()
        } else {
            format!("({})", terms.join(" or "))
        }
    };
    let hosts = set
        .hosts
        .as_ref()
        .map(|hosts| any(hosts.iter().map(|host| format!("net {host}")).collect()));
    let ports = set
        .ports
        .as_ref()
        .map(|ports| any(ports.iter().map(|port| format!("port {port}")).collect()));
    hosts
        .into_iter()
        .chain(ports)
        .collect::<Vec<_>>()
        .join(" and ")
}

#[test]
fn targets_match_what_host_and_port_match() {
    if !gate::may_load_bpf().unwrap() {
        return;
    }
    let hosts = [
        None,
        Some(nets(&["10.0.0.1"])),
        Some(nets(&["10.0.0.1", "10.0.0.2", "fd00::1"])),
        Some(nets(&["10.0.0.4/30", "192.168.0.0/16", "fe80::/10"])),
        Some(nets(&[
            "10.0.0.1",
            "172.16.0.0/12",
            "fd00::2",
            "fd00:0:0:1::/64",
        ])),
        Some(nets(&[])),
    ];
    let ports = [
        None,
        Some(vec![80]),
        Some(vec![0, 53, 65535, 443]),
        Some(vec![]),
    ];
    for link_type in LinkType::ALL {
        let dlt = match link_type {
            LinkType::Ethernet => Linktype::ETHERNET,
            LinkType::Raw => Linktype::from_name("RAW").unwrap(),
        };
        let packets = samples::many(8, 400, |random| match link_type {
            LinkType::Ethernet => samples::ethernet(random, 0),
            LinkType::Raw => samples::raw(random),
        });
        let mut matches = 0;
        for hosts in &hosts {
            for ports in &ports {
                let set = TargetSet {
                    hosts: hosts.clone(),
                    ports: ports.clone(),
                    ..TargetSet::default()
                };
                if set == TargetSet::default() {
                    continue;
                }
                let trial = trial(&set, link_type);
                let plain = expression(&set);
                let peers: Vec<_> = [
                    plain.clone(),
                    format!("vlan and {plain}"),
                    format!("vlan and vlan and {plain}"),
                ]
                .iter()
                .take(if link_type == LinkType::Raw { 1 } else { 3 })
                .map(|expression| {
                    Capture::dead(dlt)
                        .unwrap()
                        .compile(expression, false)
                        .unwrap()
                })
                .collect();
                for packet in &packets {
                    // In this case targets find more than `port` does.
                    let untagged = without_tags(packet, link_type);
                    let plain = untagged.as_deref().unwrap_or(packet);
                    if ports.is_some() && is_extended(plain, link_type) {
                        continue;
                    }
                    // Cut anywhere after the longest headers that are read.
                    let cut = packet.len().min(90 + packet.len() % 30);
                    for length in [packet.len(), cut] {
                        let bytes = &packet[..length];
                        let expected = peers.iter().any(|peer| peer.filter(bytes));
                        let decision = trial.decide(bytes, length).unwrap();
                        assert_eq!(decision.matched, expected, "{set:?}: {bytes:02x?}");
                        matches += usize::from(expected);
                    }
                }
            }
        }
        assert!(matches > 500, "only {matches} matches");
    }
}

#[test]
fn excluded_targets_leave_out_what_not_host_and_not_port_leave_out() {
    if !gate::may_load_bpf().unwrap() {
        return;
    }
    let Some(_permit) = gate::beside_others().unwrap() else {
        return;
    };
    let hosts = [
        None,
        Some(nets(&["10.0.0.1", "172.16.0.0/12", "fd00::/64"])),
    ];
    let ports = [None, Some(vec![80, 443])];
    for link_type in LinkType::ALL {
        let dlt = match link_type {
            LinkType::Ethernet => Linktype::ETHERNET,
            LinkType::Raw => Linktype::from_name("RAW").unwrap(),
        };
        let packets = samples::many(21, 400, |random| match link_type {
            LinkType::Ethernet => samples::ethernet(random, 0),
            LinkType::Raw => samples::raw(random),
        });
        let (mut kept, mut left_out) = (0, 0);
        for hosts in &hosts {
            for ports in &ports {
                let set = TargetSet {
                    not_hosts: hosts.clone(),
                    not_ports: ports.clone(),
                    ..TargetSet::default()
                };
                if set == TargetSet::default() {
                    continue;
                }
                let trial = trial(&set, link_type);
                // Either of them excludes a packet.
                let peers: Vec<_> = [(hosts.clone(), None), (None, ports.clone())]
                    .into_iter()
                    .filter(|sides| *sides != (None, None))
                    .map(|(hosts, ports)| {
                        let side = TargetSet {
                            hosts,
                            ports,
                            ..TargetSet::default()
                        };
                        let dead = Capture::dead(dlt).unwrap();
                        dead.compile(&expression(&side), false).unwrap()
                    })
                    .collect();
                for packet in &packets {
                    let untagged = without_tags(packet, link_type);
                    let plain = untagged.as_deref().unwrap_or(packet);
                    // Only port targets look after extension headers.
                    let extended = ports.is_some() && is_extended(plain, link_type);
                    if plain.len() < 90 || extended {
                        continue;
                    }
                    let expected = !peers.iter().any(|peer| peer.filter(plain));
                    let matched = trial.decide(packet, packet.len()).unwrap().matched;
                    assert_eq!(matched, expected, "{set:?}: {packet:02x?}");
                    kept += usize::from(expected);
                    left_out += usize::from(!expected);
                }
            }
        }
        assert!(
            kept > 100 && left_out > 100,
            "{kept} kept, {left_out} left out"
        );
    }
}

/// The packet without up to two VLAN tags in its bytes, if it has any.
fn without_tags(packet: &[u8], link_type: LinkType) -> Option<Vec<u8>> {
    match link_type {
        LinkType::Ethernet => {
            let once = samples::without_tag(packet);
            let twice = once.as_deref().and_then(samples::without_tag);
            twice.or(once)
        }
        LinkType::Raw => None,
    }
}

/// Whether it is IPv6 with something other than a transport header after the fixed header.
fn is_extended(packet: &[u8], link_type: LinkType) -> bool {
    let (is_ip6, at) = match link_type {
        LinkType::Ethernet => (packet.get(12..14) == Some(&[0x86, 0xdd]), 14),
        LinkType::Raw => (packet.first().is_some_and(|first| first >> 4 == 6), 0),
    };
    is_ip6
        && packet
            .get(at + 6)
            .is_some_and(|next| ![6, 17, 132].contains(next))
}

/// An IPv6 packet with these extension headers, each a number and its bytes from the third on, before a
/// TCP header with port 8000.
fn with_extensions(headers: &[(u8, &[u8])]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, 0, 64];
    packet.resize(40, 0);
    let next = |index: usize| headers.get(index).map_or(6, |(number, _)| *number);
    packet[6] = next(0);
    for (index, (_, rest)) in headers.iter().enumerate() {
        packet.push(next(index + 1));
        packet.extend_from_slice(rest);
    }
    packet.extend([
        0xc0,
        0,
        8000_u16.to_be_bytes()[0],
        8000_u16.to_be_bytes()[1],
    ]);
    packet.resize(packet.len() + 60, 0);
    packet
}

#[test]
fn a_port_is_found_behind_ipv6_extension_headers() {
    if !gate::may_load_bpf().unwrap() {
        return;
    }
    let Some(_permit) = gate::beside_others().unwrap() else {
        return;
    };
    let set = TargetSet {
        ports: Some(vec![8000]),
        ..TargetSet::default()
    };
    let trial = trial(&set, LinkType::Raw);
    let options: &[u8] = &[0, 0, 0, 0, 0, 0, 0];
    let long: &[u8] = &[2; 23];
    let first: &[u8] = &[0, 0, 1, 0, 0, 0, 7];
    let later: &[u8] = &[0, 0, 9, 0, 0, 0, 7];
    let authentication: &[u8] = &[4; 23];
    for (headers, expected) in [
        (&[][..], true),
        (&[(0, options)], true),
        (&[(43, long), (60, options)], true),
        (
            &[
                (0, options),
                (43, options),
                (60, long),
                (44, first),
                (60, options),
            ],
            true,
        ),
        (&[(44, first)], true),
        (&[(44, later)], false),
        (&[(51, authentication), (60, options)], true),
        (&[(0, options); 6], true),
        // One more than are skipped.
        (&[(60, options); 7], false),
        // No next header, and a protocol without ports.
        (&[(59, options)], false),
        (&[(0, options), (58, options)], false),
    ] {
        let packet = with_extensions(headers);
        let decision = trial.decide(&packet, packet.len()).unwrap();
        assert_eq!(decision.matched, expected, "{headers:?}");
        // Cut anywhere, it does not match and causes no fault.
        for length in 0..packet.len() - 60 {
            let matched = trial.decide(&packet[..length], length).unwrap().matched;
            assert!(
                !matched || length >= packet.len() - 60 - 4,
                "{headers:?} cut at {length}"
            );
        }
    }
}

#[test]
fn a_target_that_stays_is_never_missed_while_ten_thousand_others_change() {
    if !gate::may_load_bpf().unwrap() {
        return;
    }
    let stays: IpNet = "10.0.0.1/32".parse().unwrap();
    let many = |block: u8| -> TargetSet {
        let mut hosts: BTreeSet<IpNet> = (0..10_000_u32)
            .map(|host| {
                let [_, _, high, low] = host.to_be_bytes();
                IpNet::from(std::net::IpAddr::from([11, block, high, low]))
            })
            .collect();
        hosts.insert(stays);
        TargetSet {
            hosts: Some(hosts.into_iter().collect()),
            ..TargetSet::default()
        }
    };
    let mut trial = trial(&many(0), LinkType::Raw);
    let mut packet = vec![0; 40];
    packet[0] = 0x45;
    let with_source = |packet: &mut Vec<u8>, source: [u8; 4]| {
        packet[12..16].copy_from_slice(&source);
    };
    for block in 1..4 {
        let stop = std::sync::atomic::AtomicBool::new(false);
        let runner = trial.runner().unwrap();
        with_source(&mut packet, [10, 0, 0, 1]);
        let tried = std::thread::scope(|scope| {
            let tried = scope.spawn(|| {
                let mut tried = 0_u64;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) || tried == 0 {
                    assert!(runner.matches(&packet).unwrap(), "missed after {tried}");
                    tried += 1;
                }
                tried
            });
            trial.targets_mut().unwrap().update(&many(block)).unwrap();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            tried.join().unwrap()
        });
        assert!(tried > 0);
        for (source, expected) in [
            ([11, block, 39, 15], true),
            ([11, block, 39, 16], false),
            ([11, block - 1, 0, 1], false),
        ] {
            with_source(&mut packet, source);
            assert_eq!(trial.decide(&packet, 40).unwrap().matched, expected);
        }
    }
}

#[test]
fn the_kinds_of_targets_of_a_running_filter_stay() {
    if !gate::may_load_bpf().unwrap() {
        return;
    }
    let hosts = TargetSet {
        hosts: Some(nets(&["10.0.0.1"])),
        ..TargetSet::default()
    };
    let mut maps = TargetMaps::create(&hosts).unwrap();
    let error = maps.update(&TargetSet::default()).unwrap_err().to_string();
    assert!(error.contains("hosts"), "{error}");
    let both = TargetSet {
        ports: Some(vec![80]),
        ..hosts
    };
    let error = maps.update(&both).unwrap_err().to_string();
    assert!(error.contains("has no targets for ports"), "{error}");
}
