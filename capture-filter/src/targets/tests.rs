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

/// The expression that means the same.
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
                    // Cut anywhere behind the longest headers that are looked at.
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
            ports: None,
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
        ports: None,
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
