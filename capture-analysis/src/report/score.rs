//! What the findings have to do with the recorder's own loss, their order, and the health score.

use super::{Finding, Health, RecorderLoss, Report, Term};

/// Kinds of findings that packets missing in the file could explain.
const BY_MISSING_PACKETS: [&str; 9] = [
    "tcp-missing-segments",
    "tcp-unanswered",
    "tcp-half-open",
    "tcp-out-of-order",
    "dns-unanswered",
    "ip-incomplete-fragments",
    "rtp-loss",
    "tcp-one-way",
    "dhcp-unanswered",
];

impl Report {
    /// The last step: marks what the recorder's loss explains, puts the worst first, and scores.
    pub(crate) fn conclude(&mut self) {
        if let Some(recorder) = &self.recorder {
            for finding in &mut self.findings {
                finding.recorder_loss = explanation(finding, recorder);
            }
        }
        self.findings.sort_by(|one, other| {
            (other.severity, other.certainty, other.evidence.count)
                .cmp(&(one.severity, one.certainty, one.evidence.count))
                .then_with(|| one.id.cmp(&other.id))
        });
        self.health = health(self);
    }
}

fn explanation(finding: &Finding, recorder: &RecorderLoss) -> Option<String> {
    if !BY_MISSING_PACKETS.contains(&finding.kind.as_str()) {
        return None;
    }
    if recorder.lost == 0 {
        return Some(
            "no: the recorder lost nothing, so the packets were lost in the network".to_owned(),
        );
    }
    let (from, to) = (finding.evidence.first_ns, finding.evidence.last_ns);
    let lost: u64 = recorder
        .spans
        .iter()
        .filter(|span| span.from_ns <= to && from <= span.to_ns)
        .map(|span| span.lost)
        .sum();
    Some(if lost == 0 {
        "no: the recorder lost nothing at that time, so the packets were lost in the network"
            .to_owned()
    } else {
        format!("possibly: the recorder itself lost {lost} packets at that time")
    })
}

/// A term: name, unit, good up to, bad from, weight.
struct Scale(&'static str, &'static str, f64, f64, f64);

impl Scale {
    fn term(&self, measured: f64, of: u64) -> Term {
        let Self(name, unit, good, bad, weight) = *self;
        let share = ((measured - good) / (bad - good)).clamp(0.0, 1.0);
        Term {
            name: name.to_owned(),
            measured: round(measured),
            unit: unit.to_owned(),
            good,
            bad,
            weight,
            taken: round(share * weight),
            of,
        }
    }

    fn share(&self, part: u64, of: u64) -> Option<Term> {
        (of > 0).then(|| self.term(part as f64 / of as f64 * 100.0, of))
    }
}

fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

const PERCENT: &str = "%";

fn health(report: &Report) -> Health {
    let tcp = &report.tcp;
    let tried = tcp.completed + tcp.refused + tcp.half_open + tcp.unanswered;
    let failed = tcp.refused + tcp.half_open + tcp.unanswered;
    let again = tcp.flags.get("retransmission").copied().unwrap_or(0);
    let milliseconds = |time: u64| time as f64 / 1e6;
    let mut terms = vec![
        Scale("TCP segments sent again", PERCENT, 0.5, 5.0, 30.0).share(again, tcp.data_segments),
        Scale("TCP handshakes that failed", PERCENT, 1.0, 20.0, 20.0).share(failed, tried),
        Scale("TCP connections reset", PERCENT, 2.0, 25.0, 10.0).share(tcp.reset, tcp.connections),
        tcp.handshake_ns.map(|(_, time)| {
            Scale(
                "TCP handshakes, 95th percentile",
                "ms",
                200.0,
                2_000.0,
                10.0,
            )
            .term(milliseconds(time), tcp.completed)
        }),
    ];
    if let Some(dns) = &report.dns {
        let bad = dns.unanswered + dns.codes.get("SERVFAIL").copied().unwrap_or(0);
        terms.push(
            Scale(
                "DNS questions unanswered or failed",
                PERCENT,
                1.0,
                10.0,
                15.0,
            )
            .share(bad, dns.queries),
        );
        terms.push(dns.response_ns.map(|(_, time)| {
            Scale("DNS answers, 95th percentile", "ms", 100.0, 1_000.0, 5.0)
                .term(milliseconds(time), dns.responses)
        }));
    }
    if let Some(tls) = &report.tls {
        terms.push(
            Scale("TLS handshakes that failed", PERCENT, 1.0, 20.0, 5.0)
                .share(tls.failed, tls.handshakes),
        );
    }
    if let Some(http) = &report.http {
        let errors = http.statuses.range(500..600).map(|(_, count)| count).sum();
        terms.push(
            Scale("HTTP responses 5xx", PERCENT, 1.0, 10.0, 5.0).share(errors, http.responses),
        );
    }
    let terms: Vec<Term> = terms.into_iter().flatten().collect();
    let taken: f64 = terms.iter().map(|term| term.taken).sum();
    Health {
        score: (!terms.is_empty()).then(|| round((100.0 - taken).max(0.0))),
        terms,
    }
}
