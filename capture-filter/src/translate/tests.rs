use std::fmt::Write as _;

use pcap::{Capture, Linktype};

use super::{Stages, translate, translate_with};
use crate::{
    assemble::Assembler,
    compile::{compile_for, named},
    interpret::{NoMaps, Outcome, Skb, interpret},
    ir::Fragment,
    program::{Epilogue, Program},
    samples,
};
use capture_types::Direction;

const EXPRESSIONS: &str = include_str!("../expressions.txt");

const EPILOGUE: Epilogue = Epilogue {
    index: 3,
    direction: Direction::In,
};

/// Every expression, without the mark of those that some versions of libpcap lack.
fn expressions() -> impl Iterator<Item = (&'static str, bool)> {
    EXPRESSIONS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| match line.strip_prefix('?') {
            Some(optional) => (optional, true),
            None => (line, false),
        })
}

fn program(expression: &str, link_type: Linktype) -> Option<Program> {
    let classic = compile_for(expression, link_type).ok()?;
    let plain = vec![Fragment::decode(&classic).unwrap()];
    Some(translate(
        &Stages {
            plain,
            ..Stages::default()
        },
        EPILOGUE,
    ))
}

fn verdict(program: &Program, packet: &[u8], linear: usize) -> bool {
    let skb = Skb {
        bytes: packet,
        linear: Some(linear),
        ..Skb::default()
    };
    match interpret(program, &skb, &NoMaps) {
        Ok(Outcome::Matched(index)) => {
            assert_eq!(index, EPILOGUE.index);
            true
        }
        Ok(Outcome::Filtered) => false,
        Err(fault) => panic!("{fault}\n{}", listing(program)),
    }
}

fn listing(program: &Program) -> String {
    let mut text = String::new();
    for (index, insn) in program.instructions().iter().enumerate() {
        writeln!(text, "{index:5}: {insn}").unwrap();
    }
    text
}

/// Compares the translation of every expression with libpcap's own interpreter.
fn same_verdicts(name: &str, packets: &[Vec<u8>], at_least: usize) {
    let link_type = named(name).unwrap();
    let (mut tried, mut compared, mut with_matches) = (0, 0_u64, 0);
    for (number, (expression, optional)) in expressions().enumerate() {
        let Some(program) = program(expression, link_type) else {
            assert!(
                optional || name != "EN10MB" || never(expression),
                "{expression}: libpcap rejects it"
            );
            continue;
        };
        let peer = Capture::dead(link_type)
            .unwrap()
            .compile(expression, true)
            .unwrap();
        tried += 1;
        let mut compare = |packet: &[u8], linear: usize| {
            let expected = peer.filter(packet);
            assert_eq!(
                verdict(&program, packet, linear),
                expected,
                "{expression} on {name}, {linear} of {} bytes linear: {packet:02x?}\n{}",
                packet.len(),
                listing(&program)
            );
            compared += 1;
            expected
        };
        let mut matches = 0;
        for packet in packets {
            matches += usize::from(compare(packet, packet.len()));
            compare(packet, packet.len().min(number % 70));
        }
        with_matches += usize::from(matches > 0);
        // Every length of some packets, different ones for each expression.
        for packet in packets.iter().skip(number % 37).step_by(packets.len() / 8) {
            for length in 0..packet.len().min(160) {
                compare(&packet[..length], length);
                compare(&packet[..length], length / 2);
            }
        }
    }
    eprintln!("{name}: {tried} expressions, {compared} verdicts, {with_matches} with matches");
    assert!(tried >= at_least, "only {tried} expressions on {name}");
    assert!(
        with_matches * 10 >= tried * 8,
        "only {with_matches} of {tried} expressions match any packet"
    );
}

/// Expressions that are valid and match nothing on Ethernet.
fn never(expression: &str) -> bool {
    matches!(
        compile_for(expression, Linktype::ETHERNET),
        Err(crate::FilterError::Never)
    )
}

#[test]
fn ethernet_packets_get_the_verdict_that_libpcap_gives() {
    let packets = samples::many(1, 3000, |random| samples::ethernet(random, 0));
    same_verdicts("EN10MB", &packets, 300);
}

#[test]
fn raw_packets_get_the_verdict_that_libpcap_gives() {
    same_verdicts("RAW", &samples::many(2, 1000, samples::raw), 150);
}

#[test]
fn cooked_packets_get_the_verdict_that_libpcap_gives() {
    same_verdicts("LINUX_SLL2", &samples::many(3, 1000, samples::sll2), 150);
}

#[test]
fn jumps_of_any_length_arrive() {
    let packets = samples::many(4, 200, |random| samples::ethernet(random, 0));
    let mut islands = 0;
    for (expression, _) in expressions().filter(|(expression, _)| expression.len() > 60) {
        let Ok(classic) = compile_for(expression, Linktype::ETHERNET) else {
            continue;
        };
        let stages = Stages {
            plain: vec![Fragment::decode(&classic).unwrap()],
            ..Stages::default()
        };
        let long = translate(&stages, EPILOGUE);
        let short = translate_with(Assembler::with_reach(100), &stages, EPILOGUE);
        islands += usize::from(short.instructions().len() > long.instructions().len());
        for insn in short.instructions() {
            assert!(insn.offset <= 100, "{expression}: {insn}");
        }
        for packet in &packets {
            for linear in [packet.len(), 20] {
                assert_eq!(
                    verdict(&short, packet, linear),
                    verdict(&long, packet, linear),
                    "{expression}"
                );
            }
        }
    }
    assert!(islands > 5, "only {islands} programs had islands");
}
