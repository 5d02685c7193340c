//! IP: congestion marks, fragments that are missing, hop counts that change.

use std::collections::HashMap;

use ahash::RandomState;

use super::{
    Analyser,
    collect::{Case, Findings, Kind},
};
use crate::{
    decode::Ip,
    flow::AddressKey,
    packet::Packet,
    report::{Certainty, Evidence, FlowReference, Report, Severity},
};

const TTL: Kind = Kind {
    name: "ip-ttl-changes",
    certainty: Certainty::Possible,
    meaning: "Packets of one host come with different hop counts again and again: its packets take several \
              ways, or something on the way speaks in its name.",
    next: "Compare the packets of both values: resets with another TTL come from a firewall or proxy.",
};
const FRAGMENTS: Kind = Kind {
    name: "ip-incomplete-fragments",
    certainty: Certainty::Likely,
    meaning: "Datagrams could not be put together, because fragments are missing: each of them is lost as a whole.",
    next: "Make the sender send smaller datagrams (EDNS buffer size, MTU of tunnels), or let fragments \
           through firewalls.",
};

/// Hosts that are counted separately.
const MOST: usize = 16_384;
/// Changes from which they are reported.
const CHANGES: u64 = 20;

struct Host {
    ttl: u8,
    other: u8,
    evidence: Option<Evidence>,
}

#[derive(Default)]
pub(crate) struct Network {
    marked: u64,
    hosts: HashMap<(AddressKey, u8), Host, RandomState>,
    latest: Option<((AddressKey, u8), u8)>,
    fragments: Option<Evidence>,
}

impl Analyser for Network {
    #[inline]
    fn ip(&mut self, packet: &Packet<'_>, ip: &Ip) {
        self.marked += u64::from(ip.congestion);
        if ip.fragment {
            match &mut self.fragments {
                Some(evidence) => evidence.add(packet),
                None => self.fragments = Some(Evidence::of(packet)),
            }
        }
        // Link-local protocols choose their hop counts by purpose.
        if ip.source.is_ipv6() && !matches!(ip.protocol, 6 | 17) {
            return;
        }
        let key = (AddressKey::of(ip.source), ip.protocol);
        if self.latest == Some((key, ip.ttl)) {
            return;
        }
        self.latest = Some((key, ip.ttl));
        if let Some(host) = self.hosts.get_mut(&key) {
            if host.ttl != ip.ttl {
                (host.other, host.ttl) = (host.ttl, ip.ttl);
                match &mut host.evidence {
                    Some(evidence) => evidence.add(packet),
                    None => host.evidence = Some(Evidence::of(packet)),
                }
            }
        } else if self.hosts.len() < MOST {
            let host = Host {
                ttl: ip.ttl,
                other: ip.ttl,
                evidence: None,
            };
            self.hosts.insert(key, host);
        }
    }

    fn finish(&mut self, report: &mut Report) {
        let mut findings = Findings::default();
        report.ip.congestion_marked = self.marked;
        for ((key, protocol), host) in std::mem::take(&mut self.hosts) {
            let address = key.address();
            let Some(evidence) = host.evidence.filter(|evidence| evidence.count >= CHANGES) else {
                continue;
            };
            let count = evidence.count;
            let (field, ttl) = if address.is_ipv4() {
                ("ip", "ip.ttl")
            } else {
                ("ipv6", "ipv6.hlim")
            };
            findings.add(
                &TTL,
                Case {
                    severity: Severity::Notice,
                    title: format!(
                        "the hop count of {address} (protocol {protocol}) changed {count} times, last from {} to {}",
                        host.other, host.ttl
                    ),
                    flow: Some(FlowReference::host(address)),
                    evidence,
                    filter: format!("{field}.src == {address} && {ttl} in {{{}, {}}}", host.other, host.ttl),
                    measured: Some(format!("{count}; reported from {CHANGES} on")),
                    weight: count,
                },
            );
        }
        if let (1.., Some(evidence)) = (report.ip.incomplete, self.fragments.take()) {
            let incomplete = report.ip.incomplete;
            findings.add(
                &FRAGMENTS,
                Case {
                    severity: Severity::Warning,
                    title: format!(
                        "{incomplete} datagrams miss fragments; {} were put together",
                        report.ip.reassembled
                    ),
                    flow: None,
                    evidence,
                    filter: "ip.flags.mf == 1 || ip.frag_offset > 0 || ipv6.fraghdr".to_owned(),
                    measured: Some(format!("{incomplete}; reported from 1 on")),
                    weight: incomplete,
                },
            );
        }
        findings.finish(report);
    }
}
