//! TCP connections with problems after their handshake.

use super::{
    Analyser, Segment,
    collect::{Case, Evidences, Findings, Kind, client, duration, flow_filter, reference, server},
};
use crate::{
    flow::Flow,
    report::{Certainty, Evidence, Report, Severity},
    settings::Thresholds,
    tcp::{Connection, Flag, Flags},
};

const RETRANSMISSIONS: Kind = Kind {
    name: "tcp-retransmissions",
    certainty: Certainty::Certain,
    meaning: "Segments were sent again, because they or their acknowledgements were lost, or came later \
              than the sender waits. Throughput falls and answers come late.",
    next: "Compare a capture from the other end: what left there and is missing here was lost between. \
           Look at drops on the interfaces and queues on the way, and at duplex and MTU.",
};
const OUT_OF_ORDER: Kind = Kind {
    name: "tcp-out-of-order",
    certainty: Certainty::Likely,
    meaning: "Segments overtook each other. A few cost nothing; many make the sender repeat what was not lost.",
    next: "Look for parallel links or queues that spread one flow: bonding by packet, ECMP by packet, \
           receive queues without flow steering.",
};
const MISSING: Kind = Kind {
    name: "tcp-missing-segments",
    certainty: Certainty::Possible,
    meaning: "Segments are not in the capture, although what follows them is. Either the network lost \
              them, which a retransmission then shows, or the recorder did, or they took another way.",
    next: "See what the recorder lost, whether acknowledgements cover the gap (then it arrived and was \
           only not captured), and whether the capture sees all interfaces of the flow.",
};
const ZERO_WINDOW: Kind = Kind {
    name: "tcp-zero-window",
    certainty: Certainty::Certain,
    meaning: "The receiver's buffer was full: its application did not read. The sender had to stop. The \
              network is not the cause.",
    next: "Look at the receiving process: CPU, garbage collection, disk, locks; and at its receive buffer.",
};
const WINDOW_FULL: Kind = Kind {
    name: "tcp-window-full",
    certainty: Certainty::Certain,
    meaning: "The sender filled the receiver's window and had to wait for an acknowledgement: the window \
              limits the throughput, not the network.",
    next: "Look at the receive buffers (net.ipv4.tcp_rmem) and at window scaling in the handshake.",
};
const RESET: Kind = Kind {
    name: "tcp-reset",
    certainty: Certainty::Certain,
    meaning: "A side broke the connection off. Data on its way was thrown away.",
    next: "Look at the log of the side that sent the reset, at what came just before it, and at proxies \
           and firewalls that speak in its name: their TTL differs.",
};
const IDLE_RESET: Kind = Kind {
    name: "tcp-reset-after-idle",
    certainty: Certainty::Likely,
    meaning: "The connection was reset after a long silence: a firewall, NAT or load balancer had \
              forgotten it, or the server had timed it out.",
    next: "Compare the idle time with timeouts on the way, and turn on TCP keep-alive below the shortest.",
};
const SLOW_SERVER: Kind = Kind {
    name: "tcp-slow-server",
    certainty: Certainty::Likely,
    meaning: "The client waited for the server's answer far longer than the network takes: the server \
              was thinking, or waited for something itself.",
    next: "Look at the server's log at that time, and at what it asks of others meanwhile.",
};

/// Maximum flows with evidence that are tracked at once.
const MOST: usize = 65_536;

/// The subject of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum About {
    Again,
    OutOfOrder,
    Missing,
    ZeroWindow,
    WindowFull,
}

pub(crate) struct Tcp {
    thresholds: Thresholds,
    evidences: Evidences<(u64, About)>,
    findings: Findings,
}

impl Tcp {
    pub(crate) fn new(thresholds: &Thresholds) -> Self {
        Self {
            thresholds: thresholds.clone(),
            evidences: Evidences::new(MOST),
            findings: Findings::default(),
        }
    }

    /// A finding from flagged frames.
    fn flagged(
        &mut self,
        kind: &Kind,
        flow: &Flow,
        evidence: Evidence,
        (severity, title, measured): (Severity, String, String),
        filter: &str,
    ) {
        let weight = evidence.count;
        self.findings.add(
            kind,
            Case {
                severity,
                title,
                flow: Some(reference(flow)),
                evidence,
                filter: format!("{} && {filter}", flow_filter(flow)),
                measured: Some(measured),
                weight,
            },
        );
    }

    fn again(&mut self, flow: &Flow, connection: &Connection) {
        let Some(evidence) = self.evidences.take(&(flow.id, About::Again)) else {
            return;
        };
        let segments: u64 = connection
            .halves
            .iter()
            .map(|half| half.data_segments)
            .sum();
        let share = evidence.count as f64 / segments.max(1) as f64;
        let limits = &self.thresholds.retransmissions;
        if evidence.count < limits.least || share < limits.warning {
            return;
        }
        let severity = if share >= limits.critical {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let title = format!(
            "{} of {segments} data segments were sent again",
            evidence.count
        );
        let measured = format!(
            "{:.1} % sent again; warning from {} %, critical from {} %, at least {} segments",
            share * 100.0,
            limits.warning * 100.0,
            limits.critical * 100.0,
            limits.least
        );
        let filter = "tcp.analysis.retransmission";
        self.flagged(
            &RETRANSMISSIONS,
            flow,
            evidence,
            (severity, title, measured),
            filter,
        );
    }

    fn counted(
        &mut self,
        flow: &Flow,
        about: About,
        kind: &Kind,
        least: u64,
        what: &str,
        filter: &str,
    ) {
        let Some(evidence) = self.evidences.take(&(flow.id, about)) else {
            return;
        };
        if evidence.count >= least {
            let title = format!("{} {what}", evidence.count);
            let measured = format!("{}; reported from {least} on", evidence.count);
            self.flagged(
                kind,
                flow,
                evidence,
                (Severity::Notice, title, measured),
                filter,
            );
        }
    }

    fn zero_window(&mut self, flow: &Flow, connection: &Connection) {
        let Some(evidence) = self.evidences.take(&(flow.id, About::ZeroWindow)) else {
            return;
        };
        let ends = [client(flow), server(flow)];
        let (side, closed) = [flow.client.index(), flow.client.other().index()]
            .map(|half| connection.halves[half].zero_window)
            .into_iter()
            .enumerate()
            .max_by_key(|(_, closed)| *closed)
            .unwrap_or_default();
        let limits = self.thresholds.zero_window;
        if closed < limits.warning {
            return;
        }
        let severity = if closed >= limits.critical {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let who = super::collect::end(ends[side]);
        let title = format!("{who} took no data for {}", duration(closed));
        let measured = format!(
            "{}; warning from {}, critical from {}",
            duration(closed),
            duration(limits.warning),
            duration(limits.critical)
        );
        let filter = "tcp.analysis.zero_window";
        self.flagged(
            &ZERO_WINDOW,
            flow,
            evidence,
            (severity, title, measured),
            filter,
        );
    }

    fn reset(&mut self, flow: &Flow, connection: &Connection) {
        let Some(reset) = connection.reset.as_deref().filter(|reset| !reset.expected) else {
            return;
        };
        let by = super::collect::end(flow.ends[reset.way.index()]);
        let after_idle = reset.after_idle >= self.thresholds.idle;
        let kind = if after_idle { &IDLE_RESET } else { &RESET };
        self.findings.add(
            kind,
            Case {
                severity: Severity::Warning,
                title: format!(
                    "{by} reset the connection after {} bytes of data and {} of silence",
                    reset.after_bytes,
                    duration(reset.after_idle)
                ),
                flow: Some(reference(flow)),
                evidence: Evidence::at(reset.frame, reset.time),
                filter: format!("{} && tcp.flags.reset == 1", flow_filter(flow)),
                measured: after_idle.then(|| {
                    format!(
                        "{} of silence; reported from {} on",
                        duration(reset.after_idle),
                        duration(self.thresholds.idle)
                    )
                }),
                weight: reset.after_bytes,
            },
        );
    }

    fn slow_server(&mut self, flow: &Flow, connection: &Connection) {
        let waited = connection.waited.server;
        let Some((wait, frame, time)) = connection.longest_answer else {
            return;
        };
        if wait < self.thresholds.slow_server {
            return;
        }
        self.findings.add(
            &SLOW_SERVER,
            Case {
                severity: Severity::Warning,
                title: format!(
                    "{} took {} to answer; {} answers took {} together",
                    super::collect::end(server(flow)),
                    duration(wait),
                    waited.count,
                    duration(waited.sum)
                ),
                flow: Some(reference(flow)),
                evidence: Evidence::at(frame, time),
                filter: format!("{} && tcp.len > 0", flow_filter(flow)),
                measured: Some(format!(
                    "{}; reported from {} on",
                    duration(wait),
                    duration(self.thresholds.slow_server)
                )),
                weight: wait,
            },
        );
    }
}

impl Analyser for Tcp {
    #[inline]
    fn tcp(&mut self, segment: &Segment<'_>) {
        const NONE: Flags = Flags::NONE;
        if segment.flags == NONE {
            return;
        }
        let flags = segment.flags;
        for (about, there) in [
            (About::Again, flags.sent_again()),
            (About::OutOfOrder, flags.has(Flag::OutOfOrder)),
            (About::Missing, flags.has(Flag::LostSegment)),
            (About::ZeroWindow, flags.has(Flag::ZeroWindow)),
            (About::WindowFull, flags.has(Flag::WindowFull)),
        ] {
            if there {
                self.evidences.add((segment.flow.id, about), segment.packet);
            }
        }
    }

    fn closed(&mut self, flow: &Flow) {
        let Some(connection) = flow.tcp.as_deref() else {
            return;
        };
        self.again(flow, connection);
        let few = self.thresholds.out_of_order;
        self.counted(
            flow,
            About::OutOfOrder,
            &OUT_OF_ORDER,
            few,
            "segments came out of order",
            "tcp.analysis.out_of_order",
        );
        self.counted(
            flow,
            About::Missing,
            &MISSING,
            1,
            "gaps: segments are not in the capture",
            "tcp.analysis.lost_segment",
        );
        self.counted(
            flow,
            About::WindowFull,
            &WINDOW_FULL,
            self.thresholds.window_full,
            "segments filled the receiver's window",
            "tcp.analysis.window_full",
        );
        self.zero_window(flow, connection);
        self.reset(flow, connection);
        self.slow_server(flow, connection);
    }

    fn finish(&mut self, report: &mut Report) {
        self.findings.finish(report);
    }
}
