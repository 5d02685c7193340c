//! `capturectl analyze --compare`: before and after, or both ends of a path.

use std::collections::BTreeMap;

use capture_analysis::{
    render::printable,
    report::{Conversation, End, Report},
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
    /// Flows of which one side saw more packets than the other, the largest difference first.
    flows: Vec<FlowDifference>,
    /// Flows that both saw alike.
    equal_flows: u64,
}

#[derive(Debug, Serialize)]
struct Measure {
    name: String,
    one: Option<f64>,
    other: Option<f64>,
}

#[derive(Debug, Serialize)]
struct FlowDifference {
    transport: &'static str,
    client: End,
    server: End,
    /// Packets from the client that the first files have and the others do not; negative the other way.
    from_client: i64,
    from_server: i64,
}

pub(super) fn print(format: Format, one: &Report, other: &Report, top: usize) -> Result<(), Error> {
    let comparison = compare(one, other);
    output::print(format, &comparison, || table(&comparison, top))
}

fn compare(one: &Report, other: &Report) -> Comparison {
    let measure = |name: &str, of: &dyn Fn(&Report) -> Option<f64>| Measure {
        name: name.to_owned(),
        one: of(one),
        other: of(other),
    };
    let again = |report: &Report| {
        let again = report.tcp.flags.get("retransmission").copied().unwrap_or(0);
        (report.tcp.data_segments > 0)
            .then(|| again as f64 / report.tcp.data_segments as f64 * 100.0)
    };
    let milliseconds = |times: Option<(u64, u64)>| times.map(|(median, _)| median as f64 / 1e6);
    let measures = vec![
        measure("packets", &|report| Some(report.inventory.packets as f64)),
        measure("bytes", &|report| Some(report.inventory.bytes as f64)),
        measure("flows", &|report| Some(report.conversations.flows as f64)),
        measure("health", &|report| report.health.score),
        measure("TCP sent again, %", &again),
        measure("TCP handshake, median ms", &|report| {
            milliseconds(report.tcp.handshake_ns)
        }),
        measure("DNS answer, median ms", &|report| {
            milliseconds(report.dns.as_ref().and_then(|dns| dns.response_ns))
        }),
        measure("HTTP response, median ms", &|report| {
            milliseconds(report.http.as_ref().and_then(|http| http.response_ns))
        }),
    ];
    let mut kinds: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for finding in &one.findings {
        kinds.entry(&finding.kind).or_default().0 += 1.0;
    }
    for finding in &other.findings {
        kinds.entry(&finding.kind).or_default().1 += 1.0;
    }
    let findings = kinds
        .into_iter()
        .map(|(kind, (one, other))| Measure {
            name: kind.to_owned(),
            one: Some(one),
            other: Some(other),
        })
        .collect();
    let (flows, equal_flows) = flows(one, other);
    Comparison {
        measures,
        findings,
        flows,
        equal_flows,
    }
}

type Sides = BTreeMap<(&'static str, End, End), (i64, i64)>;

/// Packets each way of every pair of ends; connections one after the other between the same are one.
fn sides(report: &Report) -> Sides {
    let mut sides = Sides::new();
    let all = &report.conversations;
    for (transport, list) in [("tcp", &all.tcp), ("udp", &all.udp)] {
        for row in list {
            let Conversation { client, server, .. } = row;
            let (from_client, from_server) = (
                row.client_packets.cast_signed(),
                row.server_packets.cast_signed(),
            );
            // Whoever spoke first is another one where the first packet was lost.
            let (key, there, back) = if client <= server {
                (
                    (transport, client.clone(), server.clone()),
                    from_client,
                    from_server,
                )
            } else {
                (
                    (transport, server.clone(), client.clone()),
                    from_server,
                    from_client,
                )
            };
            let sum = sides.entry(key).or_default();
            sum.0 += there;
            sum.1 += back;
        }
    }
    sides
}

fn flows(one: &Report, other: &Report) -> (Vec<FlowDifference>, u64) {
    let mut differences = sides(one);
    for (key, (there, back)) in sides(other) {
        let sum = differences.entry(key).or_default();
        sum.0 -= there;
        sum.1 -= back;
    }
    let all = differences.len();
    let mut flows: Vec<FlowDifference> = differences
        .into_iter()
        .filter(|(_, difference)| *difference != (0, 0))
        .map(
            |((transport, client, server), (from_client, from_server))| FlowDifference {
                transport,
                client,
                server,
                from_client,
                from_server,
            },
        )
        .collect();
    flows.sort_by_key(|flow| std::cmp::Reverse(flow.from_client.abs() + flow.from_server.abs()));
    let equal = (all - flows.len()) as u64;
    (flows, equal)
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
    line(
        &mut out,
        format_args!(
            "\n{} flows have the same packets in both; {} differ",
            comparison.equal_flows,
            comparison.flows.len()
        ),
    );
    let name = |end: &End| match end.port {
        Some(port) => format!("{} port {port}", end.address),
        None => end.address.clone(),
    };
    for flow in comparison.flows.iter().take(top) {
        for (from, to, more) in [
            (&flow.client, &flow.server, flow.from_client),
            (&flow.server, &flow.client, flow.from_server),
        ] {
            if more != 0 {
                let side = if more > 0 { "first" } else { "other" };
                line(
                    &mut out,
                    format_args!(
                        "  {} {} to {}: {} packets only in the {side} files",
                        flow.transport,
                        name(from),
                        name(to),
                        more.abs()
                    ),
                );
            }
        }
    }
    out
}
