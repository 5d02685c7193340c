//! How connections begin: completed, refused, half-open, without an answer, slowly; reported for each server.

use std::collections::HashMap;

use ahash::RandomState;

use super::{
    Analyser,
    collect::{self, Case, Findings, Kind, duration, end_filter, server},
};
use crate::{
    engine::Quantiles,
    flow::{Endpoint, Flow},
    report::{Certainty, Evidence, FlowReference, Report, Severity, TcpSummary},
    settings::Thresholds,
    tcp::{Connection, Opened, Outcome},
};

const REFUSED: Kind = Kind {
    name: "tcp-refused",
    certainty: Certainty::Certain,
    meaning: "Connections were answered with a reset: nothing listens at this port, or a firewall rejects.",
    next: "See whether the service runs and listens at this address and port, and whether its clients \
           have the right one.",
};
const UNANSWERED: Kind = Kind {
    name: "tcp-unanswered",
    certainty: Certainty::Likely,
    meaning: "SYNs got no answer: the host is down, a firewall drops them, the way back is another one, or \
              the capture sees only one direction.",
    next: "Capture at the server: do the SYNs arrive, and does it answer? Look at firewalls and network \
           policies between.",
};
const HALF_OPEN: Kind = Kind {
    name: "tcp-half-open",
    certainty: Certainty::Likely,
    meaning: "The server answered, and the handshake was not completed: the answer was lost on the way \
              back, or nobody waited for it.",
    next: "Capture at the client: does the SYN-ACK arrive? From many addresses it is a SYN flood or a scan.",
};
const SLOW: Kind = Kind {
    name: "tcp-slow-handshake",
    certainty: Certainty::Certain,
    meaning: "Handshakes took long: the way is long, or SYNs were lost and sent again.",
    next: "Compare with the round trips of data on the same way: if these are short, SYNs were lost or \
           the server's backlog was full.",
};
const SYN_AGAIN: Kind = Kind {
    name: "tcp-syn-retransmissions",
    certainty: Certainty::Certain,
    meaning: "SYNs were sent again before the connection came about; each time costs a second and more.",
    next: "Look at the server's accept backlog (ListenOverflows), at connection tracking and at loss on the way.",
};
const OPTIONS: Kind = Kind {
    name: "tcp-options",
    certainty: Certainty::Certain,
    meaning: "The server, or a middlebox in its name, does not agree to options that every system offers \
              today: throughput and recovery from loss suffer on long ways.",
    next: "Look at the server's settings (net.ipv4.tcp_sack, tcp_window_scaling) and at firewalls that \
           rewrite options.",
};

/// Connections to one server without an answer that are critical.
const MANY: u64 = 3;
/// Servers that are counted separately.
const MOST: usize = 16_384;

/// What became of connections to one server.
struct Seen {
    evidence: Evidence,
    connections: u64,
    flow: u64,
    name: String,
    /// The largest value measured.
    most: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Refused,
    Unanswered,
    HalfOpen,
    Slow,
    SynAgain,
    Options,
}

pub(crate) struct Handshakes {
    thresholds: Thresholds,
    seen: HashMap<(Endpoint, What), Seen, RandomState>,
    totals: TcpSummary,
    times: Quantiles,
}

impl Handshakes {
    pub(crate) fn new(thresholds: &Thresholds) -> Self {
        Self {
            thresholds: thresholds.clone(),
            seen: HashMap::default(),
            totals: TcpSummary::default(),
            times: Quantiles::default(),
        }
    }

    fn see(&mut self, what: What, flow: &Flow, measured: u64) {
        let mut evidence = Evidence::at(flow.first_frame, flow.span.first);
        // The answer that refused it proves it too.
        let reset = flow.tcp.as_ref().and_then(|tcp| tcp.reset.as_deref());
        if let (What::Refused, Some(reset)) = (what, reset) {
            evidence.merge(Evidence::at(reset.frame, reset.time));
        }
        let key = (server(flow), what);
        if let Some(seen) = self.seen.get_mut(&key) {
            seen.evidence.merge(evidence);
            seen.connections += 1;
            seen.most = seen.most.max(measured);
        } else if self.seen.len() < MOST {
            let seen = Seen {
                evidence,
                connections: 1,
                flow: flow.id,
                name: collect::reference(flow).name,
                most: measured,
            };
            self.seen.insert(key, seen);
        }
    }

    fn count(&mut self, flow: &Flow, connection: &Connection) {
        let totals = &mut self.totals;
        totals.connections += 1;
        for half in &connection.halves {
            totals.segments += half.segments;
            totals.data_segments += half.data_segments;
            totals.data_bytes += half.data_bytes;
        }
        match connection.opened() {
            Opened::Before => totals.before += 1,
            Opened::Completed => totals.completed += 1,
            Opened::Refused => totals.refused += 1,
            Opened::HalfOpen => totals.half_open += 1,
            Opened::Unanswered => totals.unanswered += 1,
        }
        if connection.outcome() == Outcome::Reset
            && connection
                .reset
                .as_ref()
                .is_some_and(|reset| !reset.expected)
        {
            totals.reset += 1;
        }
        if let Some(time) = connection.handshake {
            self.times.add(time);
        }
        match connection.opened() {
            Opened::Refused => self.see(What::Refused, flow, 0),
            Opened::Unanswered => self.see(What::Unanswered, flow, 0),
            Opened::HalfOpen => self.see(What::HalfOpen, flow, 0),
            _ => {}
        }
    }
}

impl Analyser for Handshakes {
    fn closed(&mut self, flow: &Flow) {
        let Some(connection) = flow.tcp.as_deref() else {
            return;
        };
        self.count(flow, connection);
        if let Some(time) = connection.handshake
            && time >= self.thresholds.slow_handshake
        {
            self.see(What::Slow, flow, time);
        }
        let client = &connection.halves[flow.client.index()];
        let server = &connection.halves[flow.client.other().index()];
        if client.syns > 1 && connection.opened() != Opened::Unanswered {
            self.see(What::SynAgain, flow, u64::from(client.syns - 1));
        }
        if let (Some(asked), Some(answered)) = (client.offered, server.offered) {
            let refused = (asked.sack_permitted && !answered.sack_permitted)
                || (asked.window_scale.is_some() && answered.window_scale.is_none());
            if refused {
                self.see(What::Options, flow, 0);
            }
        }
    }

    fn finish(&mut self, report: &mut Report) {
        let mut findings = Findings::default();
        for ((server, what), seen) in std::mem::take(&mut self.seen) {
            let name = collect::end(server);
            let count = seen.connections;
            let (kind, severity, title, filter) = match what {
                What::Refused => (
                    &REFUSED,
                    Severity::Warning,
                    format!("{name} refused {}", connections(count)),
                    "tcp.flags.reset == 1",
                ),
                What::Unanswered => (
                    &UNANSWERED,
                    // One may be a port that nobody offers.
                    if count >= MANY {
                        Severity::Critical
                    } else {
                        Severity::Warning
                    },
                    format!("{} to {name} got no answer", connections(count)),
                    "tcp.flags.syn == 1 && tcp.flags.ack == 0",
                ),
                What::HalfOpen => (
                    &HALF_OPEN,
                    Severity::Warning,
                    format!(
                        "{name} answered {} that came to nothing",
                        connections(count)
                    ),
                    "tcp.flags.syn == 1",
                ),
                What::Slow => (
                    &SLOW,
                    Severity::Warning,
                    format!(
                        "handshakes of {} with {name} took up to {}",
                        connections(count),
                        duration(seen.most)
                    ),
                    "tcp.flags.syn == 1",
                ),
                What::SynAgain => (
                    &SYN_AGAIN,
                    Severity::Warning,
                    format!("SYNs of {} to {name} were sent again", connections(count)),
                    "tcp.flags.syn == 1 && tcp.analysis.retransmission",
                ),
                What::Options => (
                    &OPTIONS,
                    Severity::Notice,
                    format!(
                        "{name} did not agree to SACK or window scaling in {}",
                        connections(count)
                    ),
                    "tcp.flags.syn == 1 && tcp.flags.ack == 1",
                ),
            };
            let measured = match what {
                What::Slow => Some(format!(
                    "{}; reported from {} on",
                    duration(seen.most),
                    duration(self.thresholds.slow_handshake)
                )),
                _ => Some(format!("{}; reported from 1 on", connections(count))),
            };
            findings.add(
                kind,
                Case {
                    severity,
                    title,
                    flow: Some(FlowReference {
                        flow: (count == 1).then_some(seen.flow),
                        ..collect::with_server(server, seen.name, count)
                    }),
                    evidence: seen.evidence,
                    filter: format!("{} && {filter}", end_filter(server, "tcp")),
                    measured,
                    weight: count,
                },
            );
        }
        findings.finish(report);
        let flags = std::mem::take(&mut report.tcp.flags);
        report.tcp = TcpSummary {
            flags,
            handshake_ns: self.times.median_and_95th(),
            ..std::mem::take(&mut self.totals)
        };
    }
}

fn connections(count: u64) -> String {
    match count {
        1 => "1 connection".to_owned(),
        count => format!("{count} connections"),
    }
}
