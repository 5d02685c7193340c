use std::{collections::BTreeSet, net::IpAddr};

use capture_tests::gate;
use capture_types::{
    Direction, FilterSpec, LinkType, PodAddresses, PodStage, TargetKinds, TargetSet,
};
use pcap::{BpfProgram, Capture, Linktype};

use super::super::TargetMaps;
use crate::{Epilogue, Filter, Trial, samples};

const AT_INTERFACES: [&str; 3] = ["10.0.0.1", "fd00::1", "192.168.1.1"];
const BY_ADDRESS: [&str; 2] = ["10.0.0.2", "fd00::2"];

fn addresses(texts: &[&str]) -> BTreeSet<IpAddr> {
    let parsed = texts.iter().map(|text| text.parse().expect("an address"));
    parsed.collect()
}

fn pods() -> PodAddresses {
    let all = [&AT_INTERFACES[..], &BY_ADDRESS, &["10.0.0.3"]].concat();
    PodAddresses {
        at_interfaces: addresses(&AT_INTERFACES),
        by_address: addresses(&BY_ADDRESS),
        all: addresses(&all),
    }
}

fn trial(stage: PodStage, link_type: LinkType) -> Trial {
    let spec = FilterSpec {
        targets: TargetKinds {
            pods: Some(stage),
            ..TargetKinds::default()
        },
        ..FilterSpec::default()
    };
    let program = Filter::compile(&spec, link_type)
        .unwrap()
        .program(Epilogue {
            index: 0,
            direction: Direction::In,
        });
    let mut maps = TargetMaps::create(&TargetSet::default())
        .and_then(TargetMaps::with_pods)
        .unwrap();
    maps.set_pods(&pods()).unwrap();
    Trial::load(program, Some(maps)).unwrap()
}

/// Whether a packet is from (`src`) or to (`dst`) one of the hosts, by libpcap; also after tags.
struct Ends(Vec<BpfProgram>);

impl Ends {
    fn new(end: &str, hosts: &[&str], link_type: LinkType) -> Self {
        let (dlt, tags) = match link_type {
            LinkType::Ethernet => (
                Linktype::ETHERNET,
                &["", "vlan and ", "vlan and vlan and "][..],
            ),
            LinkType::Raw => (Linktype::from_name("RAW").unwrap(), &[""][..]),
        };
        let hosts: Vec<_> = hosts
            .iter()
            .map(|host| format!("{end} host {host}"))
            .collect();
        let compile = |tag: &&str| {
            let expression = format!("{tag}({})", hosts.join(" or "));
            Capture::dead(dlt)
                .unwrap()
                .compile(&expression, true)
                .unwrap()
        };
        Self(tags.iter().map(compile).collect())
    }

    fn has(&self, packet: &[u8]) -> bool {
        self.0.iter().any(|program| program.filter(packet))
    }
}

#[test]
fn what_pods_decide_is_what_source_and_destination_mean_in_an_expression() {
    if !gate::may_load_bpf().unwrap() {
        return;
    }
    let all = [&AT_INTERFACES[..], &BY_ADDRESS, &["10.0.0.3"]].concat();
    for link_type in LinkType::ALL {
        let ends = |end: &str, hosts: &[&str]| Ends::new(end, hosts, link_type);
        let (from_own, to_own) = (ends("src", &AT_INTERFACES), ends("dst", &AT_INTERFACES));
        let (from, to) = (ends("src", &BY_ADDRESS), ends("dst", &BY_ADDRESS));
        let (from_any, to_any) = (ends("src", &all), ends("dst", &all));
        let packets = samples::many(21, 4000, |random| match link_type {
            LinkType::Ethernet => samples::ethernet(random, 0),
            LinkType::Raw => samples::raw(random),
        });
        for stage in [
            PodStage::NotFromPod,
            PodStage::ToPod,
            PodStage::FromPod,
            PodStage::WithPod,
            PodStage::WithAnyPod,
        ] {
            let trial = trial(stage, link_type);
            let mut outcomes = [0, 0];
            // A packet that is cut off within its addresses decides nothing.
            for packet in packets.iter().filter(|packet| packet.len() >= 70) {
                let expected = match stage {
                    PodStage::NotFromPod => !from_own.has(packet),
                    PodStage::ToPod => to.has(packet) && !from_own.has(packet),
                    PodStage::FromPod => from.has(packet) && !to_own.has(packet),
                    PodStage::WithPod => from.has(packet) || to.has(packet),
                    PodStage::WithAnyPod => from_any.has(packet) || to_any.has(packet),
                };
                let matched = trial.decide(packet, packet.len()).unwrap().matched;
                assert_eq!(matched, expected, "{stage:?} {link_type:?} {packet:02x?}");
                outcomes[usize::from(matched)] += 1;
            }
            assert!(
                outcomes.iter().all(|count| *count > 20),
                "{stage:?}: {outcomes:?}"
            );
        }
    }
}

#[test]
fn pods_come_and_go_while_a_program_runs() {
    if !gate::may_load_bpf().unwrap() {
        return;
    }
    let mut trial = trial(PodStage::WithAnyPod, LinkType::Raw);
    let mut packet = vec![0; 40];
    packet[0] = 0x45;
    packet[12..16].copy_from_slice(&[10, 0, 0, 3]);
    assert!(trial.decide(&packet, 40).unwrap().matched);
    let maps = trial.targets_mut().unwrap();
    maps.set_pods(&PodAddresses::default()).unwrap();
    assert!(!trial.decide(&packet, 40).unwrap().matched);
    trial.targets_mut().unwrap().set_pods(&pods()).unwrap();
    assert!(trial.decide(&packet, 40).unwrap().matched);
}
