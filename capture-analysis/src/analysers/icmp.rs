//! ICMP: errors and the flows that they refer to, and packets too large for the path.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use ahash::RandomState;

use super::{
    Analyser, Segment,
    collect::{Case, Findings, Kind, end},
};
use crate::{
    decode::{Icmp, Ip, Quote},
    flow::{Endpoint, Flow, FlowId},
    packet::Packet,
    report::{Certainty, Evidence, FlowReference, IcmpCount, Report, Severity},
    tcp::Opened,
};

const ERRORS: Kind = Kind {
    name: "icmp-errors",
    certainty: Certainty::Certain,
    meaning: "A router or a host said that packets could not be delivered.",
    next: "The sender of the message is where it fails: look at its routes, its firewall and what listens there.",
};
const TOO_BIG: Kind = Kind {
    name: "icmp-too-big",
    certainty: Certainty::Certain,
    meaning: "A packet was larger than the next hop takes; its sender has to send smaller ones. That is \
              how path MTU discovery works, and costs a round trip each time it happens.",
    next: "See that the sender heeds it: the same sizes again mean that the message does not reach it.",
};
const BLACK_HOLE: Kind = Kind {
    name: "mtu-black-hole",
    certainty: Certainty::Possible,
    meaning: "The handshake and small segments get through, and the same full-sized segments are sent again \
              and again without an acknowledgement: something on the way drops large packets and says nothing.",
    next: "Ping with the size and do-not-fragment (ping -M do -s SIZE). Let ICMP type 3 code 4 through, or \
           clamp the MSS, or set net.ipv4.tcp_mtu_probing=1.",
};

/// Maximum senders and reasons that are tracked.
const MOST: usize = 16_384;
/// Consecutive retransmissions of full-sized segments without an acknowledgement.
const STUCK: u32 = 3;
/// Smaller segments do not suggest an MTU problem.
const LARGE: u32 = 1_000;

struct Seen {
    evidence: Evidence,
    quote: Option<Quote>,
    mtu: Option<u32>,
}

/// The largest unacknowledged segments of a direction.
struct Stuck {
    sequence: u32,
    length: u32,
    times: u32,
    evidence: Evidence,
}

#[derive(Default)]
pub(crate) struct Messages {
    counts: BTreeMap<(bool, u8, u8), u64>,
    seen: HashMap<(IpAddr, bool, u8, u8), Seen, RandomState>,
    stuck: HashMap<(FlowId, usize), Stuck, RandomState>,
    findings: Findings,
}

impl Analyser for Messages {
    fn icmp(&mut self, packet: &Packet<'_>, ip: &Ip, icmp: &Icmp<'_>) {
        *self
            .counts
            .entry((icmp.v6, icmp.kind, icmp.code))
            .or_default() += 1;
        let Some(quote) = icmp.quote() else {
            return;
        };
        let key = (ip.source, icmp.v6, icmp.kind, icmp.code);
        if let Some(seen) = self.seen.get_mut(&key) {
            seen.evidence.add(packet);
        } else if self.seen.len() < MOST {
            let seen = Seen {
                evidence: Evidence::of(packet),
                quote: Some(quote),
                mtu: icmp.mtu(),
            };
            self.seen.insert(key, seen);
        }
    }

    #[inline]
    fn tcp(&mut self, segment: &Segment<'_>) {
        let length = segment.tcp.length.unwrap_or(0);
        if length < LARGE || !segment.flags.sent_again() {
            return;
        }
        let key = (segment.flow.id, segment.way.index());
        let sequence = segment.tcp.sequence;
        let room = self.stuck.len() < MOST;
        match self.stuck.get_mut(&key) {
            Some(stuck) if stuck.sequence == sequence => {
                stuck.times += 1;
                stuck.evidence.add(segment.packet);
            }
            // It made progress: that was only loss.
            Some(stuck) if stuck.times < STUCK => {
                *stuck = Stuck {
                    sequence,
                    length,
                    times: 1,
                    evidence: Evidence::of(segment.packet),
                };
            }
            Some(_) => {}
            None if room => {
                let stuck = Stuck {
                    sequence,
                    length,
                    times: 1,
                    evidence: Evidence::of(segment.packet),
                };
                self.stuck.insert(key, stuck);
            }
            None => {}
        }
    }

    fn closed(&mut self, flow: &Flow) {
        for way in 0..2 {
            let Some(stuck) = self.stuck.remove(&(flow.id, way)) else {
                continue;
            };
            let opened = flow.tcp.as_ref().map(|connection| connection.opened());
            if stuck.times < STUCK || opened != Some(Opened::Completed) {
                continue;
            }
            let title = format!(
                "{} sent the same segment of {} bytes {} times more",
                end(flow.ends[way]),
                stuck.length,
                stuck.times
            );
            self.findings.add(
                &BLACK_HOLE,
                Case {
                    severity: Severity::Warning,
                    title,
                    flow: Some(super::collect::reference(flow)),
                    evidence: stuck.evidence,
                    filter: format!(
                        "{} && tcp.seq_raw == {}",
                        super::collect::flow_filter(flow),
                        stuck.sequence
                    ),
                    measured: Some(format!("{} times; reported from {STUCK} on", stuck.times)),
                    weight: u64::from(stuck.times),
                },
            );
        }
    }

    fn finish(&mut self, report: &mut Report) {
        for ((v6, kind, code), packets) in std::mem::take(&mut self.counts) {
            report.icmp.push(IcmpCount {
                protocol: if v6 { "ICMPv6" } else { "ICMP" }.to_owned(),
                kind,
                code,
                name: name(v6, kind, code).to_owned(),
                packets,
            });
        }
        for ((source, v6, kind, code), seen) in std::mem::take(&mut self.seen) {
            let count = seen.evidence.count;
            let mut title = format!("{source} said {count} times: {}", name(v6, kind, code));
            let mut flow = FlowReference::host(source);
            if let Some(quote) = seen.quote {
                let (from, to) = quote.ports.unwrap_or((0, 0));
                let ends = [(quote.source, from), (quote.destination, to)]
                    .map(|(address, port)| Endpoint { address, port });
                title += &format!(", such as of {} -> {}", end(ends[0]), end(ends[1]));
                if quote.ports.is_some() {
                    flow = FlowReference {
                        flow: None,
                        name: format!("{} -> {}", end(ends[0]), end(ends[1])),
                        client: Some(ends[0].into()),
                        server: Some(ends[1].into()),
                    };
                }
            }
            if let Some(mtu) = seen.mtu {
                title += &format!("; the next hop takes {mtu} bytes");
            }
            let too_big = seen.mtu.is_some();
            let (field, address) = if v6 {
                ("icmpv6", "ipv6")
            } else {
                ("icmp", "ip")
            };
            self.findings.add(
                if too_big { &TOO_BIG } else { &ERRORS },
                Case {
                    severity: if too_big { Severity::Notice } else { Severity::Warning },
                    title,
                    flow: Some(flow),
                    evidence: seen.evidence,
                    filter: format!(
                        "{field}.type == {kind} && {field}.code == {code} && {address}.src == {source}"
                    ),
                    measured: Some(format!("{count}; reported from 1 on")),
                    weight: count,
                },
            );
        }
        self.findings.finish(report);
    }
}

/// RFC 792, RFC 4443, the common ones.
const fn name(v6: bool, kind: u8, code: u8) -> &'static str {
    match (v6, kind, code) {
        (false, 0, _) | (true, 129, _) => "echo reply",
        (false, 8, _) | (true, 128, _) => "echo request",
        (false, 3, 0) | (true, 1, 0) => "network unreachable",
        (false, 3, 1) | (true, 1, 3) => "host unreachable",
        (false, 3, 2) => "protocol unreachable",
        (false, 3, 3) | (true, 1, 4) => "port unreachable",
        (false, 3, 4) => "fragmentation needed",
        (false, 3, 9 | 10 | 13) | (true, 1, 1) => "administratively prohibited",
        (false, 3, _) | (true, 1, _) => "destination unreachable",
        (false, 5, _) | (true, 137, _) => "redirect",
        (false, 11, 1) | (true, 3, 1) => "fragment reassembly time exceeded",
        (false, 11, _) | (true, 3, _) => "time to live exceeded",
        (false, 12, _) | (true, 4, _) => "parameter problem",
        (true, 2, _) => "packet too big",
        (true, 133, _) => "router solicitation",
        (true, 134, _) => "router advertisement",
        (true, 135, _) => "neighbour solicitation",
        (true, 136, _) => "neighbour advertisement",
        (true, 143, _) => "multicast listener report",
        _ => "other",
    }
}
