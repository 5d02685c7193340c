//! `capturectl analyze -f` filters packets of files without libpcap. These tests compare its verdicts
//! with libpcap's, for the same expressions and packets as the kernel's programs.

use capture_analysis::{Filter, Packet};
use pcap::{Capture, Linktype};

use crate::samples;

/// Expressions that are rejected for files, by a word in them.
const NOT_HERE: [&str; 13] = [
    "geneve",
    "vxlan",
    "llc",
    "isis",
    "clnp",
    "esis",
    "decnet src",
    "decnet dst",
    "decnet host",
    "ip broadcast",
    "iso proto",
    "l1",
    "csnp",
];
const NOT_HERE_ALONE: [&str; 7] = ["l2", "iih", "lsp", "snp", "psnp", "geneve", "vxlan"];

fn refused(expression: &str) -> bool {
    NOT_HERE.iter().any(|word| expression.contains(word)) || NOT_HERE_ALONE.contains(&expression)
}

#[test]
fn expressions_on_files_decide_as_libpcap_does() {
    let expressions: Vec<&str> = include_str!("expressions.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.trim_start_matches('?'))
        .collect();
    let mut wrong = Vec::new();
    for (number, dlt, packets) in [
        (
            1,
            Linktype::ETHERNET,
            samples::many(31, 2_000, |random| samples::ethernet(random, 0)),
        ),
        (
            101,
            Linktype::from_name("RAW").unwrap(),
            samples::many(32, 1_000, samples::raw),
        ),
        (
            276,
            Linktype::from_name("LINUX_SLL2").unwrap(),
            samples::many(33, 1_000, samples::sll2),
        ),
    ] {
        let handle = Capture::dead(dlt).unwrap();
        let mut compared = 0;
        for expression in &expressions {
            let mut ours = match Filter::parse(expression) {
                Ok(ours) => ours,
                Err(error) => {
                    if !refused(expression) {
                        wrong.push(format!("{expression}: {error}"));
                    }
                    continue;
                }
            };
            // Expressions that libpcap rejects for a link type, such as `vlan` on raw IP, match
            // nothing.
            let theirs = match handle.compile(expression, true) {
                Ok(theirs) => Some(theirs),
                Err(pcap::Error::PcapError(message)) if message.contains("rejects all") => None,
                Err(_) => continue,
            };
            compared += 1;
            for (at, data) in packets.iter().enumerate() {
                let packet = Packet {
                    timestamp: 0,
                    interface: 0,
                    link_type: number,
                    original_length: data.len() as u32,
                    data,
                    file: 0,
                    frame: 1,
                };
                let expected = theirs.as_ref().is_some_and(|theirs| theirs.filter(data));
                if ours.matches(&packet) != expected {
                    wrong.push(format!(
                        "link type {number}: {expression}: libpcap says {expected} of packet {at}: {data:02x?}"
                    ));
                    break;
                }
            }
        }
        assert!(
            compared > 200,
            "{compared} expressions on link type {number}"
        );
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
