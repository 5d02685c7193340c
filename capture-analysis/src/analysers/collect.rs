//! Findings by kind: the worst of each are kept, and the others are counted.

use std::collections::{BTreeMap, HashMap};

use ahash::RandomState;

use crate::{
    flow::{Endpoint, Flow, Transport},
    report::{Certainty, Evidence, Exchange, Finding, FlowReference, Report, Severity},
};

/// Findings kept of each kind.
const MOST: usize = 50;

/// What all findings of one kind have in common.
pub(crate) struct Kind {
    /// Its name in reports.
    pub(crate) name: &'static str,
    pub(crate) certainty: Certainty,
    /// What it means.
    pub(crate) meaning: &'static str,
    /// What to look at next.
    pub(crate) next: &'static str,
}

/// What is particular to a finding.
pub(crate) struct Case {
    pub(crate) severity: Severity,
    pub(crate) title: String,
    pub(crate) flow: Option<FlowReference>,
    pub(crate) evidence: Evidence,
    pub(crate) filter: String,
    pub(crate) measured: Option<String>,
    /// The larger, the worse.
    pub(crate) weight: u64,
}

#[derive(Default)]
pub(crate) struct Findings {
    kinds: BTreeMap<&'static str, Vec<(Severity, u64, Finding)>>,
    left_out: BTreeMap<&'static str, u64>,
}

impl Findings {
    pub(crate) fn add(&mut self, kind: &Kind, case: Case) {
        let list = self.kinds.entry(kind.name).or_default();
        let finding = Finding {
            id: String::new(),
            kind: kind.name.to_owned(),
            severity: case.severity,
            certainty: kind.certainty,
            title: case.title,
            meaning: kind.meaning.to_owned(),
            next: kind.next.to_owned(),
            flow: case.flow,
            evidence: case.evidence,
            filter: case.filter,
            measured: case.measured,
            recorder_loss: None,
        };
        list.push((case.severity, case.weight, finding));
        if list.len() >= MOST * 2 {
            *self.left_out.entry(kind.name).or_default() += worst(list);
        }
    }

    pub(crate) fn finish(&mut self, report: &mut Report) {
        for (kind, mut list) in std::mem::take(&mut self.kinds) {
            let left_out = self.left_out.remove(kind).unwrap_or(0) + worst(&mut list);
            if left_out > 0 {
                report.notes.push(format!(
                    "{left_out} findings of kind {kind} less severe than those listed are left out"
                ));
            }
            for (number, (_, _, mut finding)) in list.into_iter().enumerate() {
                finding.id = format!("{kind}-{}", number + 1);
                report.findings.push(finding);
            }
        }
    }
}

fn worst(list: &mut Vec<(Severity, u64, Finding)>) -> u64 {
    list.sort_by_key(|(severity, weight, finding)| {
        (
            std::cmp::Reverse((*severity, *weight)),
            finding.evidence.first,
        )
    });
    let left_out = list.len().saturating_sub(MOST);
    list.truncate(MOST);
    left_out as u64
}

/// Evidence by key, up to a bound: further keys share one entry.
pub(crate) struct Evidences<K> {
    map: HashMap<K, Evidence, RandomState>,
    most: usize,
}

impl<K: std::hash::Hash + Eq> Evidences<K> {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            map: HashMap::default(),
            most,
        }
    }

    pub(crate) fn add(&mut self, key: K, packet: &crate::Packet<'_>) {
        if let Some(evidence) = self.map.get_mut(&key) {
            evidence.add(packet);
        } else if self.map.len() < self.most {
            self.map.insert(key, Evidence::of(packet));
        }
    }

    pub(crate) fn take(&mut self, key: &K) -> Option<Evidence> {
        self.map.remove(key)
    }
}

pub(crate) fn end(end: Endpoint) -> String {
    match end.address {
        std::net::IpAddr::V4(address) => format!("{address}:{}", end.port),
        std::net::IpAddr::V6(address) => format!("[{address}]:{}", end.port),
    }
}

pub(crate) fn client(flow: &Flow) -> Endpoint {
    flow.ends[flow.client.index()]
}

pub(crate) fn server(flow: &Flow) -> Endpoint {
    flow.ends[flow.client.other().index()]
}

pub(crate) fn reference(flow: &Flow) -> FlowReference {
    FlowReference {
        flow: Some(flow.id),
        name: format!("{} -> {}", end(client(flow)), end(server(flow))),
        client: Some(client(flow).into()),
        server: Some(server(flow).into()),
    }
}

fn address_field(address: std::net::IpAddr) -> &'static str {
    if address.is_ipv4() { "ip" } else { "ipv6" }
}

/// Who speaks with whom in a segment's connection, from this segment on.
pub(crate) fn exchange(segment: &super::Segment<'_>) -> Exchange {
    Exchange {
        file: segment.packet.file,
        frame: segment.packet.frame,
        flow: Some(segment.flow.id),
        client: end(client(segment.flow)),
        server: end(server(segment.flow)),
    }
}

/// Several flows with one server, by the name of the first.
pub(crate) fn with_server(server: Endpoint, first: String, count: u64) -> FlowReference {
    FlowReference {
        flow: None,
        name: if count == 1 {
            first
        } else {
            format!("{first} and {} more", count - 1)
        },
        client: None,
        server: Some(server.into()),
    }
}

/// Wireshark's display filter for packets of a flow.
pub(crate) fn flow_filter(flow: &Flow) -> String {
    let [first, second] = flow.ends;
    let field = address_field(first.address);
    let transport = match flow.transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    };
    format!(
        "{field}.addr == {} && {field}.addr == {} && {transport}.port == {} && {transport}.port == {}",
        first.address, second.address, first.port, second.port
    )
}

/// Wireshark's display filter for packets to or from an end.
pub(crate) fn end_filter(end: Endpoint, transport: &str) -> String {
    let field = address_field(end.address);
    format!(
        "{field}.addr == {} && {transport}.port == {}",
        end.address, end.port
    )
}

/// Wireshark's display filter for packets to or from an address.
pub(crate) fn host_filter(address: std::net::IpAddr) -> String {
    format!("{}.addr == {address}", address_field(address))
}

/// A time for people, from nanoseconds.
pub(crate) fn duration(nanoseconds: u64) -> String {
    let ns = nanoseconds as f64;
    if nanoseconds < 1_000 {
        format!("{nanoseconds} ns")
    } else if nanoseconds < 1_000_000 {
        format!("{:.1} us", ns / 1e3)
    } else if nanoseconds < 1_000_000_000 {
        format!("{:.1} ms", ns / 1e6)
    } else {
        format!("{:.2} s", ns / 1e9)
    }
}
