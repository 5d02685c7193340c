//! DNS: questions and their answers, over UDP and TCP.

mod message;
mod tunnel;

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
};

use ahash::RandomState;

use super::{
    Analyser, Datagram, Segment,
    collect::{Case, Findings, Kind, duration},
};
use crate::{
    engine::Quantiles,
    flow::{Endpoint, Flow, Way},
    packet::Packet,
    records::{Origin, Tap},
    report::{Certainty, DnsRow, DnsSummary, Evidence, Exchange, FlowReference, Report, Severity},
    settings::Settings,
};
use message::Message;
use tunnel::Tunnel;

const UNANSWERED: Kind = Kind {
    name: "dns-unanswered",
    certainty: Certainty::Likely,
    meaning: "Questions got no answer: whoever asked waited for seconds and asked again or gave up.",
    next: "Capture at the name server: do the questions arrive, does it answer? Look at its load, at \
           connection tracking and at firewalls.",
};
const SERVFAIL: Kind = Kind {
    name: "dns-servfail",
    certainty: Certainty::Certain,
    meaning: "The name server could not answer: what it asks itself fails, or DNSSEC does not hold.",
    next: "Ask the server by hand (dig NAME @SERVER), also with +cd, and look at its log and its forwarders.",
};
const NXDOMAIN: Kind = Kind {
    name: "dns-nxdomain",
    certainty: Certainty::Certain,
    meaning: "Names were asked for that do not exist: a misspelt setting, a service that is gone, or a \
              search list.",
    next: "See which names they are and who asks for them.",
};
const STORM: Kind = Kind {
    name: "dns-search-storm",
    certainty: Certainty::Likely,
    meaning: "Names are first looked for under every domain of the search list, and each time do not \
              exist: several questions for one answer. In Kubernetes that is ndots:5.",
    next: "Write outside names with a dot at the end, or set dnsConfig.options ndots to 1 or 2, or run a \
           node-local cache.",
};
const SLOW: Kind = Kind {
    name: "dns-slow",
    certainty: Certainty::Certain,
    meaning: "Answers took long, and what waited for them did too.",
    next: "Ask the server the same again: a fast second answer means that its forwarders are slow.",
};
const TRUNCATED: Kind = Kind {
    name: "dns-truncated",
    certainty: Certainty::Certain,
    meaning: "Answers did not fit into a datagram; the client has to ask again over TCP.",
    next: "See whether TCP port 53 is open on the way, and how large the answers are.",
};

/// Questions that wait for their answer.
const MOST_WAITING: usize = 65_536;
/// Names that did not exist, remembered of each client to see a search list at work.
const RECENT: usize = 8;
/// Clients of which they are remembered, and servers that are counted separately.
const MOST_HOSTS: usize = 16_384;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    client: Endpoint,
    server: Endpoint,
    id: u16,
}

struct Waiting {
    row: DnsRow,
    origin: Origin,
    server: IpAddr,
    retried: bool,
    listed: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Unanswered,
    Servfail,
    Nxdomain,
    Storm,
    Slow,
    Truncated,
}

struct Seen {
    evidence: Evidence,
    example: String,
    most: u64,
}

pub(crate) struct Dns {
    settings: Settings,
    summary: DnsSummary,
    times: Quantiles,
    waiting: HashMap<Key, Waiting, RandomState>,
    recent: HashMap<IpAddr, VecDeque<String>, RandomState>,
    seen: HashMap<(IpAddr, What), Seen, RandomState>,
    tunnel: Tunnel,
    tap: Option<Tap>,
}

const PORT: u16 = 53;

impl Dns {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            summary: DnsSummary::default(),
            times: Quantiles::default(),
            waiting: HashMap::default(),
            recent: HashMap::default(),
            seen: HashMap::default(),
            tunnel: Tunnel::new(settings.hints.dns_tunnel),
            tap: None,
        }
    }

    fn message(&mut self, packet: &Packet<'_>, flow: &Flow, way: Way, data: &[u8]) {
        let Some(message) = Message::read(data) else {
            self.summary.malformed += 1;
            return;
        };
        let (source, destination) = (flow.ends[way.index()], flow.ends[way.other().index()]);
        if message.response {
            let origin = Origin::new(packet, flow, destination, source);
            self.response(packet, origin, message);
        } else {
            let origin = Origin::new(packet, flow, source, destination);
            self.query(packet, origin, message);
        }
    }

    fn query(&mut self, packet: &Packet<'_>, origin: Origin, message: Message) {
        let Origin { client, server, .. } = origin;
        self.summary.queries += 1;
        let key = Key {
            client,
            server,
            id: message.id,
        };
        let (name, kind) = message.question.unwrap_or_default();
        self.tunnel.query(client.address, &name, packet);
        if let Some(waiting) = self.waiting.get_mut(&key)
            && waiting.row.name == name
        {
            waiting.retried = true;
            self.summary.retried += 1;
        }
        let row = row(packet, &key, (name, kind));
        let listed = self.list(row.clone());
        if self.waiting.len() >= MOST_WAITING {
            self.forget_older_half();
        }
        let waiting = Waiting {
            row,
            origin,
            server: server.address,
            retried: false,
            listed,
        };
        if let Some(before) = self.waiting.insert(key, waiting) {
            self.unanswered(&before);
        }
    }

    fn response(&mut self, packet: &Packet<'_>, origin: Origin, message: Message) {
        let Origin { client, server, .. } = origin;
        self.summary.responses += 1;
        let code = message::code(message.code);
        *self.summary.codes.entry(code.clone()).or_default() += 1;
        let key = Key {
            client,
            server,
            id: message.id,
        };
        let asked = self.waiting.remove(&key);
        let name = message.question.as_ref().map(|(name, _)| name.clone());
        if message.truncated {
            self.summary.truncated += 1;
            self.see(What::Truncated, server.address, packet, name.as_deref(), 0);
        }
        match message.code {
            2 => self.see(What::Servfail, server.address, packet, name.as_deref(), 0),
            3 => {
                self.see(What::Nxdomain, client.address, packet, name.as_deref(), 0);
                self.not_there(client.address, name.as_deref());
            }
            0 => self.there(client.address, packet, name.as_deref()),
            _ => {}
        }
        match asked {
            Some(mut asked) => {
                let time = packet.timestamp.saturating_sub(asked.row.time_ns);
                self.times.add(time);
                if time >= self.settings.thresholds.slow_dns {
                    self.see(What::Slow, server.address, packet, name.as_deref(), time);
                }
                asked.row.code = Some(code);
                asked.row.answer_frame = Some(packet.frame);
                asked.row.response_ns = Some(time);
                self.give(&asked.origin, &asked.row);
                if let Some(row) = asked.listed.and_then(|at| self.summary.rows.get_mut(at)) {
                    *row = asked.row;
                }
            }
            None => {
                let question = message.question.unwrap_or_default();
                let row = DnsRow {
                    code: Some(code),
                    answer_frame: Some(packet.frame),
                    ..row(packet, &key, question)
                };
                self.give(&origin, &row);
                self.list(row);
            }
        }
    }

    fn give(&self, origin: &Origin, row: &DnsRow) {
        if let Some(tap) = &self.tap {
            tap.give(|records| records.dns(origin, row));
        }
    }

    fn list(&mut self, row: DnsRow) -> Option<usize> {
        if self.summary.rows.len() >= self.settings.rows {
            self.summary.not_listed += 1;
            return None;
        }
        self.summary.rows.push(row);
        Some(self.summary.rows.len() - 1)
    }

    /// Remembers a name that does not exist.
    fn not_there(&mut self, client: IpAddr, name: Option<&str>) {
        let Some(name) = name else {
            return;
        };
        if self.recent.len() >= MOST_HOSTS && !self.recent.contains_key(&client) {
            return;
        }
        let recent = self.recent.entry(client).or_default();
        if recent.len() >= RECENT {
            recent.pop_front();
        }
        recent.push_back(name.to_owned());
    }

    /// A name exists: those before it that only have a domain behind it were a search list at work.
    fn there(&mut self, client: IpAddr, packet: &Packet<'_>, name: Option<&str>) {
        let (Some(name), Some(recent)) = (name, self.recent.get_mut(&client)) else {
            return;
        };
        let before = recent.len();
        recent.retain(|longer| {
            let behind = longer.strip_prefix(name);
            !behind.is_some_and(|behind| behind.starts_with('.'))
        });
        for _ in recent.len()..before {
            self.see(What::Storm, client, packet, Some(name), 0);
        }
    }

    fn see(
        &mut self,
        what: What,
        host: IpAddr,
        packet: &Packet<'_>,
        name: Option<&str>,
        most: u64,
    ) {
        if let Some(seen) = self.seen.get_mut(&(host, what)) {
            seen.evidence.add(packet);
            seen.most = seen.most.max(most);
        } else if self.seen.len() < MOST_HOSTS {
            let seen = Seen {
                evidence: Evidence::of(packet),
                example: name.unwrap_or("?").to_owned(),
                most,
            };
            self.seen.insert((host, what), seen);
        }
    }

    fn unanswered(&mut self, waiting: &Waiting) {
        self.give(&waiting.origin, &waiting.row);
        if waiting.retried {
            return;
        }
        self.summary.unanswered += 1;
        let evidence = Evidence::at(
            (waiting.row.exchange.file, waiting.row.exchange.frame),
            waiting.row.time_ns,
        );
        if let Some(seen) = self.seen.get_mut(&(waiting.server, What::Unanswered)) {
            seen.evidence.merge(evidence);
        } else if self.seen.len() < MOST_HOSTS {
            let seen = Seen {
                evidence,
                example: waiting.row.name.clone(),
                most: 0,
            };
            self.seen.insert((waiting.server, What::Unanswered), seen);
        }
    }

    fn forget_older_half(&mut self) {
        let mut times: Vec<u64> = self.waiting.values().map(|one| one.row.time_ns).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        let old: Vec<Key> = self
            .waiting
            .iter()
            .filter(|(_, one)| one.row.time_ns <= median)
            .map(|(key, _)| *key)
            .collect();
        for key in old {
            if let Some(waiting) = self.waiting.remove(&key) {
                self.unanswered(&waiting);
            }
        }
    }

    fn findings(&mut self, report: &mut Report) {
        let mut findings = Findings::default();
        let thresholds = &self.settings.thresholds;
        for ((host, what), seen) in std::mem::take(&mut self.seen) {
            let count = seen.evidence.count;
            let example = &seen.example;
            let (kind, severity, title, filter) = match what {
                What::Unanswered => (
                    &UNANSWERED,
                    Severity::Critical,
                    format!("{host} did not answer {count} questions, such as {example}"),
                    "dns.flags.response == 0",
                ),
                What::Servfail => (
                    &SERVFAIL,
                    Severity::Critical,
                    format!("{host} answered SERVFAIL {count} times, such as for {example}"),
                    "dns.flags.rcode == 2",
                ),
                What::Nxdomain => (
                    &NXDOMAIN,
                    Severity::Notice,
                    format!("{host} asked for {count} names that do not exist, such as {example}"),
                    "dns.flags.rcode == 3",
                ),
                What::Storm if count < thresholds.search_storm => continue,
                What::Storm => (
                    &STORM,
                    Severity::Warning,
                    format!(
                        "{host} asked {count} times under search domains, such as for {example}"
                    ),
                    "dns.flags.rcode == 3",
                ),
                What::Slow => (
                    &SLOW,
                    Severity::Warning,
                    format!(
                        "{host} took up to {} for {count} answers",
                        duration(seen.most)
                    ),
                    "dns.time > 0.5",
                ),
                What::Truncated => (
                    &TRUNCATED,
                    Severity::Notice,
                    format!("{count} answers of {host} were truncated, such as for {example}"),
                    "dns.flags.truncated == 1",
                ),
            };
            let measured = match what {
                What::Slow => Some(format!(
                    "{}; reported from {} on",
                    duration(seen.most),
                    duration(thresholds.slow_dns)
                )),
                What::Storm => Some(format!(
                    "{count}; reported from {} on",
                    thresholds.search_storm
                )),
                _ => Some(format!("{count}; reported from 1 on")),
            };
            let field = if host.is_ipv4() { "ip" } else { "ipv6" };
            findings.add(
                kind,
                Case {
                    severity,
                    title,
                    flow: Some(FlowReference::host(host)),
                    evidence: seen.evidence,
                    filter: format!("{field}.addr == {host} && {filter}"),
                    measured,
                    weight: count,
                },
            );
        }
        self.tunnel.findings(&mut findings);
        findings.finish(report);
    }
}

/// A question, or an answer without one.
fn row(packet: &Packet<'_>, key: &Key, (name, kind): (String, u16)) -> DnsRow {
    DnsRow {
        exchange: Exchange {
            file: packet.file,
            frame: packet.frame,
            flow: None,
            client: super::collect::end(key.client),
            server: super::collect::end(key.server),
        },
        time_ns: packet.timestamp,
        id: key.id,
        name,
        kind: message::kind(kind),
        code: None,
        answer_frame: None,
        response_ns: None,
    }
}

impl Analyser for Dns {
    fn hand_to(&mut self, tap: &Tap) {
        self.tap = Some(tap.clone());
    }

    #[inline]
    fn udp(&mut self, datagram: &Datagram<'_>) {
        let udp = datagram.udp;
        if udp.source != PORT && udp.destination != PORT {
            return;
        }
        self.message(datagram.packet, datagram.flow, datagram.way, udp.payload);
    }

    /// Messages that begin with a segment; one that goes on into the next tells its question all the same.
    #[inline]
    fn tcp(&mut self, segment: &Segment<'_>) {
        let tcp = segment.tcp;
        if tcp.source != PORT && tcp.destination != PORT || segment.flags.sent_again() {
            return;
        }
        let mut rest = tcp.payload;
        while let [high, low, message @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if length < 12 || message.len() < 12 {
                return;
            }
            let end = length.min(message.len());
            self.message(segment.packet, segment.flow, segment.way, &message[..end]);
            rest = &message[end..];
        }
    }

    fn finish(&mut self, report: &mut Report) {
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            self.unanswered(&waiting);
        }
        self.findings(report);
        if self.summary.queries + self.summary.responses > 0 {
            self.summary.response_ns = self.times.median_and_95th();
            report.dns = Some(std::mem::take(&mut self.summary));
        }
    }
}
