//! The programs in the kernel. Without the capabilities for it these tests are skipped, except where
//! CI is set.

use pcap::{Capture, Linktype};

use super::{LOOPBACK, Trial, TrialError};
use crate::{
    Epilogue, Filter, FilterError, Program, TargetMaps,
    classic::{ClassicInsn, ClassicProgram, MAX_CLASSIC_INSTRUCTIONS},
    ir::Fragment,
    kernel::prog_test_run::TestPacket,
    samples,
    translate::{Stages, translate},
};
use capture_common::SLOTS_LENGTH;
use capture_tests::gate;
use capture_types::{Direction, FilterSpec, InnerSpec, LinkType, TargetSet};

const EPILOGUE: Epilogue = Epilogue {
    index: 0,
    direction: Direction::In,
};

fn expressions() -> impl Iterator<Item = &'static str> {
    include_str!("../expressions.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '?']))
}

fn load(program: Program, what: &str) -> Trial {
    match Trial::load(program, None) {
        Ok(trial) => trial,
        Err(error) => panic!("{what}: {error}"),
    }
}

#[test]
fn the_kernel_decides_as_libpcap_does_and_counts_what_it_filters() {
    if !gate::may_load_bpf().unwrap() {
        return;
    }
    for (link_type, dlt, packets) in [
        (
            LinkType::Ethernet,
            Linktype::ETHERNET,
            samples::many(5, 120, |random| samples::ethernet(random, 0)),
        ),
        (
            LinkType::Raw,
            Linktype::from_name("RAW").unwrap(),
            samples::many(6, 40, samples::raw),
        ),
    ] {
        let (mut asked, mut by_kernel, mut split_by_kernel) = (0, 0, 0);
        for expression in expressions() {
            let filter = match Filter::compile(&FilterSpec::expression(expression), link_type) {
                Err(FilterError::Never) => continue,
                filter => filter.unwrap(),
            };
            let trial = load(filter.program(EPILOGUE), expression);
            let peer = Capture::dead(dlt).unwrap().compile(expression, true).ok();
            let mut filtered = 0;
            for packet in packets.iter().filter(|packet| packet.len() >= 14) {
                for length in [packet.len(), packet.len().min(14 + packet.len() % 50)] {
                    let bytes = &packet[..length];
                    let untagged = match link_type {
                        LinkType::Ethernet => samples::without_tag(bytes),
                        LinkType::Raw => None,
                    };
                    // With `vlan`, or across the cut, libpcap's verdict for files differs;
                    // `vlan_in_bytes` has separate tests.
                    if untagged.is_some() && (expression.contains("vlan") || length < 100) {
                        continue;
                    }
                    let peer_bytes = untagged.as_deref().unwrap_or(bytes);
                    let expected = peer.as_ref().is_some_and(|peer| peer.filter(peer_bytes));
                    let decision = trial.decide(bytes, length).unwrap();
                    assert_eq!(decision.matched, expected, "{expression}: {bytes:02x?}");
                    filtered += u64::from(!expected && decision.by_kernel);
                    asked += 1;
                    by_kernel += u64::from(decision.by_kernel);
                    if length > 60 {
                        let split = TestPacket {
                            bytes,
                            linear: Some(14 + (length as u32 % 40)),
                            ..TestPacket::default()
                        };
                        match trial.run(split) {
                            Ok(matched) => {
                                assert_eq!(matched, expected, "{expression}: {bytes:02x?}");
                                filtered += u64::from(!expected);
                                split_by_kernel += 1;
                            }
                            // Not every kernel supports non-linear packets in test runs.
                            Err(TrialError::Run { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            }
            assert_eq!(trial.filtered().unwrap(), filtered, "{expression}");
        }
        eprintln!(
            "{link_type:?}: {by_kernel} of {asked} verdicts by the kernel, and {split_by_kernel} on \
             packets that are not linear"
        );
        assert!(by_kernel * 10 > asked * 7);
    }
}

#[test]
fn an_interface_whose_slot_another_one_has_is_counted_all_the_same() {
    if !gate::may_load_bpf().unwrap() {
        return;
    }
    let packets = samples::many(8, 50, |random| samples::ethernet(random, 0));
    let packets = packets.iter().filter(|packet| packet.len() >= 64);
    for (owner, in_slot) in [
        (LOOPBACK, true),
        (0, false),
        (SLOTS_LENGTH + LOOPBACK, false),
    ] {
        let filter = Filter::compile(&FilterSpec::expression("tcp"), LinkType::Ethernet).unwrap();
        let trial = Trial::load_for(filter.program(EPILOGUE), None, owner).unwrap();
        let mut filtered = 0;
        for packet in packets.clone() {
            let decision = trial.decide(packet, packet.len()).unwrap();
            filtered += u64::from(!decision.matched && decision.by_kernel);
        }
        assert!(filtered > 0);
        let expected = if in_slot {
            (filtered, 0)
        } else {
            (0, filtered)
        };
        let counted = (
            trial.filtered_in_slot().unwrap(),
            trial.filtered_without_slot().unwrap(),
        );
        assert_eq!(counted, expected, "the slot is that of interface {owner}");
    }
}

#[test]
fn the_verifier_takes_programs_as_long_as_classic_bpf_can_be() {
    if !gate::may_load_bpf().unwrap() {
        return;
    }
    let insn = |code, jt, jf, k| ClassicInsn { code, jt, jf, k };
    let (load_half, load_indirect, tax, equal, ja) = (0x28, 0x48, 0x07, 0x15, 0x05);
    let blocks: [(&str, Vec<ClassicInsn>); 4] = [
        // Each compares what it loads from another place.
        (
            "loads",
            vec![insn(load_half, 0, 0, 0), insn(equal, 0, 1, 7)],
        ),
        (
            "indirect loads",
            vec![
                insn(load_half, 0, 0, 12),
                insn(tax, 0, 0, 0),
                insn(load_indirect, 0, 0, 0),
                insn(equal, 0, 1, 7),
            ],
        ),
        (
            "header lengths",
            vec![
                insn(0xb1, 0, 0, 14),
                insn(load_indirect, 0, 0, 14),
                insn(equal, 0, 1, 7),
            ],
        ),
        (
            "scratch memory",
            vec![
                insn(load_half, 0, 0, 0),
                insn(0x02, 0, 0, 3),
                insn(0x61, 0, 0, 3),
                insn(0x0c, 0, 0, 0),
                insn(0x02, 0, 0, 4),
                insn(load_indirect, 0, 0, 0),
                insn(equal, 0, 1, 7),
            ],
        ),
    ];
    for (name, block) in blocks {
        let mut insns = Vec::new();
        let mut offset = 0;
        while insns.len() + block.len() + 3 <= MAX_CLASSIC_INSTRUCTIONS {
            for mut next in block.iter().copied() {
                if next.k == 0 && (next.code == load_half || next.code == load_indirect) {
                    next.k = offset % 1400;
                }
                insns.push(next);
            }
            let rest = MAX_CLASSIC_INSTRUCTIONS - 3 - insns.len();
            insns.push(insn(ja, 0, 0, rest as u32));
            offset += 3;
        }
        insns.resize(MAX_CLASSIC_INSTRUCTIONS - 2, insn(load_half, 0, 0, 0));
        insns.push(insn(0x06, 0, 0, 1));
        insns.push(insn(0x06, 0, 0, 0));
        let classic = ClassicProgram::new(insns);
        let stages = Stages {
            plain: vec![Fragment::decode(&classic).unwrap()],
            ..Stages::default()
        };
        let program = translate(&stages, EPILOGUE);
        eprintln!("{name}: {} instructions", program.instructions().len());
        load(program, name);
    }
}

#[test]
fn expression_targets_and_tunnel_work_together() {
    if !gate::may_load_bpf().unwrap() {
        return;
    }
    let set = TargetSet {
        hosts: Some(vec!["10.0.0.0/8".parse().unwrap()]),
        ports: Some(vec![4789, 6081]),
        ..TargetSet::default()
    };
    let spec = FilterSpec {
        expression: Some("udp and not vlan 7".to_owned()),
        targets: set.kinds(),
        inner: Some(InnerSpec {
            expression: "tcp port 80 or udp".to_owned(),
            tunnels: Vec::new(),
        }),
    };
    let inner = |text: &str| InnerSpec {
        expression: text.to_owned(),
        tunnels: Vec::new(),
    };
    for link_type in LinkType::ALL {
        let together = Filter::compile(&spec, link_type);
        if link_type == LinkType::Raw {
            // Without a link layer there is no `vlan`, and the whole matches nothing.
            assert!(together.unwrap().classic()[0].1.matches_nothing());
            continue;
        }
        let targets = TargetMaps::create(&set).unwrap();
        let together = Trial::load(together.unwrap().program(EPILOGUE), Some(targets)).unwrap();
        let alone = |spec: &FilterSpec, set: Option<&TargetSet>| {
            let program = Filter::compile(spec, link_type).unwrap().program(EPILOGUE);
            Trial::load(program, set.map(|set| TargetMaps::create(set).unwrap())).unwrap()
        };
        let parts = [
            alone(&FilterSpec::expression("udp and not vlan 7"), None),
            alone(
                &FilterSpec {
                    targets: set.kinds(),
                    ..FilterSpec::default()
                },
                Some(&set),
            ),
            alone(
                &FilterSpec {
                    inner: Some(inner("tcp port 80 or udp")),
                    ..FilterSpec::default()
                },
                None,
            ),
        ];
        let mut matches = 0;
        for packet in samples::many(9, 4000, |random| {
            let packet = samples::tunnelled(random, 0);
            samples::framed(random, &packet)
        }) {
            let matched = |trial: &Trial| trial.decide(&packet, packet.len()).unwrap().matched;
            let expected = parts.iter().all(matched);
            assert_eq!(matched(&together), expected, "{packet:02x?}");
            matches += usize::from(expected);
        }
        assert!(matches > 50, "only {matches} matches");
    }
}

#[test]
fn a_long_expression_is_taken() {
    if !gate::may_load_bpf().unwrap() {
        return;
    }
    let terms: Vec<String> = (0..150)
        .map(|term| format!("tcp port {} and host 10.0.{}.1", term + 1, term))
        .collect();
    let filter = Filter::compile(
        &FilterSpec::expression(&terms.join(" or ")),
        LinkType::Ethernet,
    )
    .unwrap();
    eprintln!("{} classic", filter.classic()[0].1.instructions().len());
    load(filter.program(EPILOGUE), "150 terms");
}

#[test]
fn a_program_that_the_verifier_refuses_is_reported_with_its_last_lines() {
    if !gate::may_load_bpf().unwrap() {
        return;
    }
    let mut program = Filter::compile(&FilterSpec::expression("tcp"), LinkType::Ethernet)
        .unwrap()
        .program(EPILOGUE);
    // Without its first instruction the program reads a register that nothing has written.
    program.insns[0] = program.insns[1];
    let error = Trial::load(program, None).unwrap_err().to_string();
    assert!(error.contains("captured_filter"), "{error}");
    assert!(error.contains("R6 !read_ok"), "{error}");
}
