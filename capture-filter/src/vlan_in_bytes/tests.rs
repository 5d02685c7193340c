use pcap::{Capture, Linktype};

use crate::{
    Epilogue, Filter, FilterError, Program,
    interpret::{NoMaps, Outcome, Skb, interpret},
    samples,
};
use capture_types::{Direction, FilterSpec, LinkType};

/// Loads that end at, begin at or span the tag, at fixed and computed offsets.
const LOADS: [&str; 14] = [
    "ether[8:4] > 0x40000000",
    "ether[9:4] & 0xff != 8",
    "ether[10:4] & 0xffff = 0x0800",
    "ether[11:4] & 0xffffff = 0x080045",
    "ether[11:2] & 0xff = 8",
    "ether[12:4] > 0x08004500",
    "ether[ether[0] & 15] > 1",
    "ether[(ether[0] & 3) + 8:4] > 0x1000000",
    "ether[(ether[0] & 3) + 9:4] > 0x1000000",
    "ether[(ether[0] & 15) + 3:2] > 0x100",
    "ether[ether[14] & 15:4] > 0x2000000",
    "ether[len - 20:4] > 0x40000000",
    "ether[11:4] + len > ether[9:4] & 0xffff",
    "1 << (ether[10:4] & 31) & len > 0",
];

fn verdict(program: &Program, skb: &Skb<'_>) -> bool {
    match interpret(program, skb, &NoMaps) {
        Ok(outcome) => outcome != Outcome::Filtered,
        Err(fault) => panic!("{fault}"),
    }
}

#[test]
fn a_tag_in_the_bytes_is_as_one_in_the_metadata() {
    let expressions = include_str!("../expressions.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '?']))
        .chain(LOADS);
    let mut random = samples::Random::new(12);
    let packets = samples::many(12, 1500, |random| samples::ethernet(random, 0));
    // Half of them begin with a number that the computed offsets above depend on.
    let packets: Vec<Vec<u8>> = packets
        .into_iter()
        .filter(|packet| packet.len() >= 12)
        .enumerate()
        .map(|(number, mut packet)| {
            if number % 2 == 0 {
                packet[0] = number as u8 / 2;
            }
            packet
        })
        .collect();
    let (mut matches, mut compared) = (0, 0);
    for expression in expressions {
        let filter = match Filter::compile(&FilterSpec::expression(expression), LinkType::Ethernet)
        {
            Err(FilterError::Never) => continue,
            filter => filter.unwrap(),
        };
        let program = filter.program(Epilogue {
            index: 0,
            direction: Direction::In,
        });
        // libpcap is the reference where the expression does not test the tag.
        let peer = (!expression.contains("vlan")).then(|| {
            let dead = Capture::dead(Linktype::ETHERNET).unwrap();
            dead.compile(expression, true).unwrap()
        });
        for packet in &packets {
            let tag = [5, 0x0123, 0xefff, 7][random.below(4)];
            let kind = [0x8100, 0x88a8, 0x9100][random.below(3)];
            let mut tagged = packet[..12].to_vec();
            tagged.extend(u16::to_be_bytes(kind));
            tagged.extend(u16::to_be_bytes(tag));
            tagged.extend(&packet[12..]);
            let in_metadata = Skb {
                bytes: packet,
                vlan: Some((kind, tag)),
                ..Skb::default()
            };
            let expected = verdict(&program, &in_metadata);
            if let Some(peer) = &peer {
                assert_eq!(expected, peer.filter(packet), "{expression}: {packet:02x?}");
            }
            for linear in [tagged.len(), 13, 15] {
                let in_bytes = Skb {
                    bytes: &tagged,
                    linear: Some(linear),
                    ..Skb::default()
                };
                let got = verdict(&program, &in_bytes);
                assert_eq!(
                    got, expected,
                    "{expression}, {linear} linear: {tagged:02x?}"
                );
                compared += 1;
            }
            matches += usize::from(expected);
        }
    }
    assert!(
        matches * 10 > compared / 3,
        "only {matches} of {compared} match"
    );
}
