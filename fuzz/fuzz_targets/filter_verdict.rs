//! Expressions made of pcap-filter keywords, on any bytes as a packet: the translation decides as
//! libpcap does.
#![no_main]

use std::fmt::Write as _;

use arbitrary::Arbitrary;
use capture_filter::{
    ClassicProgram, Epilogue, Filter,
    interpret::{NoMaps, Outcome, Skb, interpret},
};
use capture_types::{Direction, FilterSpec, LinkType};
use libfuzzer_sys::fuzz_target;
use pcap::{Capture, Linktype};

#[derive(Arbitrary, Debug)]
struct Case<'a> {
    raw: bool,
    expression: Expression,
    linear: u8,
    packet: &'a [u8],
}

#[derive(Arbitrary, Debug)]
enum Expression {
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    Primitive(u8),
    Compare(Number, u8, Number),
}

#[derive(Arbitrary, Debug)]
enum Number {
    Length,
    Constant(u32),
    Load(u8, Box<Number>, u8),
    Calculate(Box<Number>, u8, Box<Number>),
}

const PRIMITIVES: [&str; 40] = [
    "ip",
    "ip6",
    "arp",
    "rarp",
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "icmp6",
    "host 10.0.0.1",
    "src host 10.0.0.1",
    "net 10.0.0.0/8",
    "net fd00::/64",
    "host fd00::1",
    "port 80",
    "tcp port 443",
    "udp src port 53",
    "portrange 20-90",
    "tcp dst portrange 1-1023",
    "greater 60",
    "less 100",
    "vlan",
    "vlan 5",
    "mpls",
    "mpls 1000",
    "pppoes",
    "pppoes 7",
    "geneve",
    "ether broadcast",
    "ether multicast",
    "ip multicast",
    "ip6 multicast",
    "ip broadcast",
    "ether host 02:00:00:00:00:01",
    "ether proto 0x88cc",
    "ip proto 47",
    "ip6 proto 44",
    "stp",
    "iso",
    "llc ui",
];
const LAYERS: [&str; 10] = [
    "ether", "ip", "ip6", "tcp", "udp", "icmp", "arp", "icmp6", "sctp", "igmp",
];
const SIZES: [&str; 3] = ["1", "2", "4"];
const OPERATIONS: [&str; 10] = ["+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"];
const RELATIONS: [&str; 6] = ["=", "!=", "<", "<=", ">", ">="];

/// More terms than this only make libpcap slow.
const MOST_BYTES: usize = 600;

impl Expression {
    fn write(&self, text: &mut String) {
        if text.len() > MOST_BYTES {
            text.push_str("ip");
            return;
        }
        match self {
            Self::And(one, two) | Self::Or(one, two) => {
                text.push('(');
                one.write(text);
                text.push_str(if matches!(self, Self::And(..)) {
                    " and "
                } else {
                    " or "
                });
                two.write(text);
                text.push(')');
            }
            Self::Not(one) => {
                text.push_str("not (");
                one.write(text);
                text.push(')');
            }
            Self::Primitive(number) => {
                text.push_str(PRIMITIVES[usize::from(*number) % PRIMITIVES.len()]);
            }
            Self::Compare(one, relation, two) => {
                one.write(text);
                let relation = RELATIONS[usize::from(*relation) % RELATIONS.len()];
                let _ = write!(text, " {relation} ");
                two.write(text);
            }
        }
    }
}

impl Number {
    fn write(&self, text: &mut String) {
        if text.len() > MOST_BYTES {
            text.push('1');
            return;
        }
        match self {
            Self::Length => text.push_str("len"),
            Self::Constant(number) => {
                let _ = write!(text, "{number}");
            }
            Self::Load(layer, offset, size) => {
                let _ = write!(text, "{}[", LAYERS[usize::from(*layer) % LAYERS.len()]);
                offset.write(text);
                let _ = write!(text, ":{}]", SIZES[usize::from(*size) % SIZES.len()]);
            }
            Self::Calculate(one, operation, two) => {
                text.push('(');
                one.write(text);
                let operation = OPERATIONS[usize::from(*operation) % OPERATIONS.len()];
                let _ = write!(text, " {operation} ");
                two.write(text);
                text.push(')');
            }
        }
    }
}

/// Loads from metadata exist only in the kernel: libpcap treats them as loads outside the packet.
fn looks_at_metadata(program: &ClassicProgram) -> bool {
    const LOAD_ABSOLUTE: u16 = 0x20;
    program
        .instructions()
        .iter()
        .any(|insn| insn.code & 0xe7 == LOAD_ABSOLUTE && insn.k >= 0xffff_f000)
}

/// Whether the program may read scratch memory that it has not written, as that of `geneve or geneve` does. libpcap then
/// reads whatever was on its stack, and the kernel rejects the program (`check_load_and_stores` in net/core/filter.c);
/// the translation reads 0.
fn reads_unset_memory(program: &ClassicProgram) -> bool {
    let program = program.instructions();
    // What is written on every way to an instruction; jumps go forward only.
    let mut written = vec![u16::MAX; program.len() + 1];
    written[0] = 0;
    for (at, insn) in program.iter().enumerate() {
        let (class, bit) = (insn.code & 7, 1_u16 << (insn.k & 15));
        let mut now = written[at];
        let is_load_of_memory = class <= 1 && insn.code & 0xe0 == 0x60;
        if is_load_of_memory && now & bit == 0 {
            return true;
        }
        let next = match class {
            // Stores.
            2 | 3 => {
                now |= bit;
                [0, 0]
            }
            // Jumps, of which one has no condition.
            5 if insn.code & 0xf0 == 0 => [insn.k as usize; 2],
            5 => [usize::from(insn.jt), usize::from(insn.jf)],
            6 => continue,
            _ => [0, 0],
        };
        for offset in next {
            if let Some(there) = written.get_mut(at + 1 + offset) {
                *there &= now;
            }
        }
    }
    false
}

/// The packet without the outer VLAN tag in its bytes, if it has one.
fn without_tag(packet: &[u8]) -> Option<Vec<u8>> {
    let kind = u16::from_be_bytes([*packet.get(12)?, *packet.get(13)?]);
    if ![0x8100, 0x88a8, 0x9100].contains(&kind) {
        return None;
    }
    let behind = packet.get(16..).unwrap_or_default();
    Some([&packet[..12], behind].concat())
}

fuzz_target!(|case: Case<'_>| {
    let mut expression = String::new();
    case.expression.write(&mut expression);
    let (link_type, dlt) = if case.raw {
        (LinkType::Raw, Linktype::from_name("RAW"))
    } else {
        (LinkType::Ethernet, Ok(Linktype::ETHERNET))
    };
    let Ok(dlt) = dlt else { return };
    let Ok(filter) = Filter::compile(&FilterSpec::expression(&expression), link_type) else {
        return;
    };
    let program = &filter.classic()[0].1;
    if looks_at_metadata(program) || reads_unset_memory(program) {
        return;
    }
    let peer = Capture::dead(dlt)
        .and_then(|handle| handle.compile(&expression, true))
        .ok();
    let program = filter.program(Epilogue {
        index: 1,
        direction: Direction::In,
    });
    let untagged = if case.raw {
        None
    } else {
        without_tag(case.packet)
    };
    if untagged.is_some() && expression.contains("vlan") {
        // For files libpcap has a different verdict.
        return;
    }
    // An outer VLAN tag in the bytes is skipped.
    let seen = untagged.as_deref().unwrap_or(case.packet);
    let expected = peer.is_some_and(|peer| peer.filter(seen));
    for linear in [case.packet.len(), usize::from(case.linear)] {
        let skb = Skb {
            bytes: case.packet,
            linear: Some(linear),
            ..Skb::default()
        };
        let outcome = interpret(&program, &skb, &NoMaps);
        let matched = outcome == Ok(Outcome::Matched(1));
        assert!(
            matched == expected && (matched || outcome == Ok(Outcome::Filtered)),
            "{expression}: {outcome:?}, libpcap: {expected}"
        );
    }
});
