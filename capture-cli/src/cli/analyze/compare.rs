//! `capturectl analyze --compare`: before and after, or both ends of a path.

use capture_analysis::{
    crossing::{Capture, Crossing},
    render::printable,
    report::{
        End, Report,
        compare::{self, Measure},
    },
};
use serde::Serialize;

use super::outputs::line;
use crate::cli::{
    exit::Error,
    output::{self, Format},
};

/// What differs.
#[derive(Debug, Serialize)]
struct Comparison {
    measures: Vec<Measure>,
    /// Kinds of findings, and how many of each.
    findings: Vec<Measure>,
    /// Packet by packet: what is in both and what is in one only.
    packets: Crossing,
}

pub(super) fn print(
    format: Format,
    one: &Report,
    other: &Report,
    packets: Crossing,
    top: usize,
) -> Result<(), Error> {
    let comparison = Comparison {
        measures: compare::measures(one, other),
        findings: compare::findings(one, other),
        packets,
    };
    output::print(format, &comparison, || table(&comparison, top))
}

fn table(comparison: &Comparison, top: usize) -> String {
    let mut out = String::new();
    let shown = |value: Option<f64>| match value {
        None => "-".to_owned(),
        Some(value) if value.fract() == 0.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.3}"),
    };
    let measures = comparison.measures.iter().chain(&comparison.findings);
    for measure in measures.filter(|measure| measure.one.is_some() || measure.other.is_some()) {
        let (one, other) = (shown(measure.one), shown(measure.other));
        line(
            &mut out,
            format_args!(
                "{:<32} {one:>16} {other:>16}",
                printable(&measure.name).to_string()
            ),
        );
    }
    crossing(&mut out, &comparison.packets, top);
    out
}

fn crossing(out: &mut String, packets: &Crossing, top: usize) {
    line(
        out,
        format_args!(
            "\n{} packets are in both; {} are only in the first files, {} only in the others",
            packets.both, packets.only_first, packets.only_other
        ),
    );
    if let Some(later) = packets.later_ns {
        let milliseconds = later as f64 / 1e6;
        line(
            out,
            format_args!("the others have them {milliseconds:.3} ms later, clocks included"),
        );
    }
    for (count, what) in [
        (
            packets.outside,
            "are of a time in which only one side captured",
        ),
        (
            packets.not_compared,
            "are not IP, or more than can be compared",
        ),
    ] {
        if count > 0 {
            line(out, format_args!("{count} packets {what}"));
        }
    }
    line(
        out,
        format_args!(
            "{} directions of flows are the same in both, {} differ",
            packets.equal_ways,
            packets.ways.len()
        ),
    );
    for way in packets.ways.iter().take(top) {
        for (only, side) in [(way.only_first, "first"), (way.only_other, "other")] {
            if only > 0 {
                line(
                    out,
                    format_args!(
                        "  {} {} to {}: {only} packets only in the {side} files, {} in both",
                        way.transport,
                        name(&way.source),
                        name(&way.destination),
                        way.both
                    ),
                );
            }
        }
    }
    if !packets.missing.is_empty() {
        line(out, format_args!("\nin one of them only, the earliest:"));
    }
    for one in packets.missing.iter().take(top) {
        let side = match one.only_in {
            Capture::First => "first",
            Capture::Other => "other",
        };
        let data = one
            .data_bytes
            .map(|bytes| format!(", {bytes} bytes of data"))
            .unwrap_or_default();
        line(
            out,
            format_args!(
                "  {side} frame {}: {} {} to {}{data}",
                one.frame.frame,
                one.transport,
                name(&one.source),
                name(&one.destination)
            ),
        );
    }
}

fn name(end: &End) -> String {
    match end.port {
        Some(port) => format!("{} port {port}", end.address),
        None => end.address.clone(),
    }
}
