//! Two reports side by side: before and after, or both ends of a path.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Report;

/// A number of two reports.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measure {
    /// What it is, with the unit.
    pub name: String,
    /// In the first report; `None` where it could not be measured.
    pub one: Option<f64>,
    /// In the other report; `None` where it could not be measured.
    pub other: Option<f64>,
}

/// What was measured in both.
#[must_use]
pub fn measures(one: &Report, other: &Report) -> Vec<Measure> {
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
    vec![
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
    ]
}

/// Kinds of findings, and how many of each.
#[must_use]
pub fn findings(one: &Report, other: &Report) -> Vec<Measure> {
    let mut kinds: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for finding in &one.findings {
        kinds.entry(&finding.kind).or_default().0 += 1.0;
    }
    for finding in &other.findings {
        kinds.entry(&finding.kind).or_default().1 += 1.0;
    }
    let measure = |(kind, (one, other)): (&str, (f64, f64))| Measure {
        name: kind.to_owned(),
        one: Some(one),
        other: Some(other),
    };
    kinds.into_iter().map(measure).collect()
}
