//! Shows a filter's classic BPF and the eBPF generated from it, side by side.

use std::fmt::Write as _;

use super::{
    Filter,
    classic::{ClassicProgram, Listed},
    program::{Origin, Part, Program, TagPlace},
};

/// Width of the left column.
const LEFT: usize = 46;

/// Explains a filter and one of its programs. Only the fast path is shown; the slow path does the same
/// with a call of `bpf_skb_load_bytes` for each load.
#[must_use]
pub fn explain(filter: &Filter, program: &Program) -> String {
    let mut text = String::new();
    for tag in [TagPlace::None, TagPlace::Metadata] {
        if tag == TagPlace::Metadata && filter.tagged().is_none() {
            continue;
        }
        let title = match (tag, filter.tagged().is_some()) {
            (TagPlace::None, true) => "packets without a VLAN tag",
            (TagPlace::None, false) => "packets whose bytes have no VLAN tag",
            _ => "packets with a VLAN tag in the metadata",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{title}");
        side_by_side(&mut text, filter, program, tag);
    }
    let in_bytes = |origin: &&Origin| origin.tag == TagPlace::Bytes;
    let skipped = program.origins.iter().filter(in_bytes).count();
    if skipped > 0 {
        let _ = writeln!(
            text,
            "and {skipped} instructions that do the same for packets with a VLAN tag in their bytes, \
             which is skipped"
        );
    }
    let slow = program.origins.iter();
    let slow = slow
        .filter(|origin| origin.slow && !in_bytes(origin))
        .count();
    let _ = writeln!(
        text,
        "and {slow} instructions that do the same with bpf_skb_load_bytes, for packets with bytes \
         outside their linear part"
    );
    text
}

fn side_by_side(text: &mut String, filter: &Filter, program: &Program, tag: TagPlace) {
    let mut at = 0;
    while at < program.insns.len() {
        let origin = program.origins[at];
        let end = at
            + program.origins[at..]
                .iter()
                .take_while(|other| **other == origin)
                .count();
        if origin.tag == tag && !origin.slow {
            let left = left(filter, origin);
            for (line, index) in (at..end).enumerate() {
                let left = if line == 0 { &left[..] } else { "" };
                // The second slot of a 64-bit constant shows nothing.
                if program.insns[index].code == 0 {
                    continue;
                }
                let _ = write!(text, "  {left:LEFT$}| {index:5}: ");
                let _ = match program.map_at(index) {
                    Some(map) => {
                        let dst = program.insns[index].dst().0;
                        writeln!(text, "r{dst} = map {}", map.name())
                    }
                    None => writeln!(text, "{}", program.insns[index]),
                };
            }
        }
        at = end;
    }
}

fn left(filter: &Filter, origin: Origin) -> String {
    match origin.part {
        Part::Start => "set-up".to_owned(),
        Part::Short => "a load outside the linear part".to_owned(),
        Part::NoMatch => "no match: count the packet, pass it on".to_owned(),
        Part::Match => "match: call the capture program".to_owned(),
        Part::NoSlot => "no slot: the counters are in a hash table".to_owned(),
        Part::Island => "(branch island of a long jump)".to_owned(),
        Part::Stage(stage, op) => {
            let classic = |program: &ClassicProgram| {
                let index = op as usize;
                program
                    .instructions()
                    .get(index)
                    .map(|insn| Listed(index, *insn).to_string())
            };
            let stage = usize::from(stage);
            let program = filter
                .tagged()
                .filter(|_| origin.tag == TagPlace::Metadata && stage == 0)
                .or_else(|| {
                    let stages = filter.classic().iter();
                    stages
                        .filter(|(number, _)| *number == stage)
                        .map(|(_, program)| program)
                        .next()
                });
            program
                .and_then(classic)
                .unwrap_or_else(|| format!("({op:03}) targets or tunnel"))
        }
    }
}
