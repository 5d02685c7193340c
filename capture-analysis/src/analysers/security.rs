//! Hints at attacks: each has its threshold and can be disabled, and none is a proof.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    net::IpAddr,
};

use ahash::RandomState;

use super::{
    Analyser,
    collect::{Case, Findings, Kind, client, end, server},
};
use crate::{
    flow::{Endpoint, Flow},
    report::{Certainty, Evidence, FlowReference, Report, Severity},
    settings::Hints,
    tcp::{Connection, Opened},
};

const fn hint(name: &'static str, meaning: &'static str, next: &'static str) -> Kind {
    Kind {
        name,
        certainty: Certainty::Possible,
        meaning,
        next,
    }
}

const SCAN: Kind = hint(
    "security-scan",
    "One address tries very many ports or hosts that do not let it in. Monitoring does so too.",
    "See whether the address is a scanner of your own, and which of its tries were answered.",
);
const BRUTE_FORCE: Kind = hint(
    "security-brute-force",
    "One address opens very many short connections where people log in: it may be trying passwords.",
    "Look at the log of that service for failed logins.",
);
const FLOOD: Kind = hint(
    "security-flood",
    "One port gets very many SYNs without completed handshakes: a SYN flood, or a service that is down.",
    "See whether the sources are real, whether SYN cookies are on, and what the service says.",
);
const BEACONING: Kind = hint(
    "security-beaconing",
    "One host connects to another at even intervals, as malware asks for orders; so do health checks and updates.",
    "See what the server is and which process connects.",
);
const EXFILTRATION: Kind = hint(
    "security-exfiltration",
    "A private host sends far more to a public address than it gets back. Backups and uploads do so too.",
    "See what the server is and which process sends.",
);
const LATERAL: Kind = hint(
    "security-lateral-movement",
    "One private host reaches many others where machines are administered.",
    "See whether it is a host for administration, and who is logged in there.",
);

/// Maximum keys that are tracked, of each kind.
const MOST: usize = 16_384;
/// Maximum members counted for each.
const MOST_MEMBERS: usize = 4_096;
/// Ports of login services.
const LOGINS: [u16; 12] = [
    21, 22, 23, 110, 143, 445, 1433, 3306, 3389, 5432, 5900, 5985,
];
/// Ports of remote administration.
const ADMINISTRATION: [u16; 6] = [22, 135, 445, 3389, 5985, 5986];
const SECOND: u64 = 1_000_000_000;

struct Members<M> {
    members: HashSet<M, RandomState>,
    evidence: Evidence,
}

/// Sets by key, within limits.
struct Groups<K, M>(HashMap<K, Members<M>, RandomState>);

impl<K: Hash + Eq, M: Hash + Eq> Groups<K, M> {
    fn new() -> Self {
        Self(HashMap::default())
    }

    fn add(&mut self, key: K, member: M, flow: &Flow) {
        let evidence = Evidence::at(flow.first_frame, flow.span.first);
        if let Some(group) = self.0.get_mut(&key) {
            if group.members.len() < MOST_MEMBERS && group.members.insert(member) {
                group.evidence.merge(evidence);
            }
        } else if self.0.len() < MOST {
            let members = HashSet::from_iter([member]);
            self.0.insert(key, Members { members, evidence });
        }
    }

    /// Sets with at least this many members.
    fn over(&mut self, threshold: u64) -> impl Iterator<Item = (K, u64, Evidence)> {
        std::mem::take(&mut self.0)
            .into_iter()
            .map(|(key, group)| (key, group.members.len() as u64, group.evidence))
            .filter(move |(_, members, _)| *members >= threshold)
    }
}

pub(crate) struct Security {
    hints: Hints,
    /// Ports tried on one host; hosts tried on one port.
    ports: Groups<(IpAddr, IpAddr), u16>,
    hosts: Groups<(IpAddr, u16), IpAddr>,
    logins: Groups<(IpAddr, Endpoint), u64>,
    syns: Groups<Endpoint, u64>,
    starts: Groups<(IpAddr, Endpoint), u64>,
    administered: Groups<IpAddr, IpAddr>,
    sent: HashMap<(IpAddr, IpAddr), (u64, u64, Evidence), RandomState>,
}

impl Security {
    pub(crate) fn new(hints: &Hints) -> Self {
        Self {
            hints: hints.clone(),
            ports: Groups::new(),
            hosts: Groups::new(),
            logins: Groups::new(),
            syns: Groups::new(),
            starts: Groups::new(),
            administered: Groups::new(),
            sent: HashMap::default(),
        }
    }

    fn connection(&mut self, flow: &Flow, connection: &Connection) {
        let (client, server) = (client(flow), server(flow));
        let opened = connection.opened();
        let data: u64 = connection.halves.iter().map(|half| half.data_bytes).sum();
        match opened {
            Opened::Refused | Opened::Unanswered | Opened::HalfOpen => {
                self.ports
                    .add((client.address, server.address), server.port, flow);
                self.hosts
                    .add((client.address, server.port), server.address, flow);
                if opened != Opened::Refused {
                    self.syns.add(server, flow.id, flow);
                }
            }
            Opened::Completed => {
                let short = flow.span.duration() < 30 * SECOND && data < 10_000;
                if short && LOGINS.contains(&server.port) {
                    self.logins.add((client.address, server), flow.id, flow);
                }
                self.starts
                    .add((client.address, server), flow.span.first, flow);
                if ADMINISTRATION.contains(&server.port)
                    && is_private(client.address)
                    && is_private(server.address)
                {
                    self.administered.add(client.address, server.address, flow);
                }
            }
            Opened::Before => {}
        }
    }

    fn volume(&mut self, flow: &Flow) {
        for way in 0..2 {
            let (from, to) = (flow.ends[way].address, flow.ends[1 - way].address);
            if !is_private(from) || is_private(to) || to.is_multicast() {
                continue;
            }
            let evidence = Evidence::at(flow.first_frame, flow.span.first);
            let (out, back) = (flow.sides[way].bytes, flow.sides[1 - way].bytes);
            if let Some((sent, got, all)) = self.sent.get_mut(&(from, to)) {
                *sent += out;
                *got += back;
                all.merge(evidence);
            } else if self.sent.len() < MOST {
                self.sent.insert((from, to), (out, back, evidence));
            }
        }
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_private() || address.is_loopback() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local()
        }
    }
}

fn field(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ip" } else { "ipv6" }
}

fn case(
    host: IpAddr,
    evidence: Evidence,
    title: String,
    filter: String,
    measured: String,
    weight: u64,
) -> Case {
    Case {
        severity: Severity::Notice,
        title,
        flow: Some(FlowReference::host(host)),
        evidence,
        filter,
        measured: Some(measured),
        weight,
    }
}

impl Analyser for Security {
    fn closed(&mut self, flow: &Flow) {
        if let Some(connection) = flow.tcp.as_deref() {
            self.connection(flow, connection);
        }
        if self.hints.exfiltration.is_some() {
            self.volume(flow);
        }
    }

    fn finish(&mut self, report: &mut Report) {
        let mut findings = Findings::default();
        let reported =
            |count: u64, threshold: u64| format!("{count}; reported from {threshold} on");
        if let Some(threshold) = self.hints.scan {
            for ((from, to), ports, evidence) in self.ports.over(threshold) {
                let title = format!("{from} tried {ports} ports of {to} that did not let it in");
                let filter = format!(
                    "{0}.src == {from} && {0}.dst == {to} && tcp.flags.syn == 1",
                    field(from)
                );
                findings.add(
                    &SCAN,
                    case(
                        from,
                        evidence,
                        title,
                        filter,
                        reported(ports, threshold),
                        ports,
                    ),
                );
            }
            for ((from, port), hosts, evidence) in self.hosts.over(threshold) {
                let title =
                    format!("{from} tried port {port} of {hosts} hosts that did not let it in");
                let filter = format!("{}.src == {from} && tcp.dstport == {port}", field(from));
                findings.add(
                    &SCAN,
                    case(
                        from,
                        evidence,
                        title,
                        filter,
                        reported(hosts, threshold),
                        hosts,
                    ),
                );
            }
        }
        if let Some(threshold) = self.hints.brute_force {
            for ((from, to), count, evidence) in self.logins.over(threshold) {
                let title = format!("{from} opened {count} short connections to {}", end(to));
                let filter = format!(
                    "{0}.addr == {from} && {0}.addr == {1} && tcp.port == {2}",
                    field(from),
                    to.address,
                    to.port
                );
                findings.add(
                    &BRUTE_FORCE,
                    case(
                        from,
                        evidence,
                        title,
                        filter,
                        reported(count, threshold),
                        count,
                    ),
                );
            }
        }
        if let Some(threshold) = self.hints.flood {
            for (to, count, evidence) in self.syns.over(threshold) {
                let title = format!(
                    "{} got {count} connections that were not completed",
                    end(to)
                );
                let filter = format!(
                    "{}.dst == {} && tcp.dstport == {} && tcp.flags.syn == 1",
                    field(to.address),
                    to.address,
                    to.port
                );
                findings.add(
                    &FLOOD,
                    case(
                        to.address,
                        evidence,
                        title,
                        filter,
                        reported(count, threshold),
                        count,
                    ),
                );
            }
        }
        if let Some(threshold) = self.hints.beaconing {
            for ((from, to), group) in std::mem::take(&mut self.starts.0) {
                let Some((interval, spread)) = regularity(group.members, threshold) else {
                    continue;
                };
                let seconds = interval as f64 / 1e9;
                let title = format!("{from} connects to {} every {seconds:.1} s", end(to));
                let filter = format!(
                    "{0}.addr == {from} && {0}.addr == {1} && tcp.port == {2} && tcp.flags.syn == 1",
                    field(from),
                    to.address,
                    to.port
                );
                let measured = format!(
                    "intervals differ by {:.1} %; reported below 10 % from {threshold} connections on",
                    spread * 100.0
                );
                findings.add(
                    &BEACONING,
                    case(from, group.evidence, title, filter, measured, 1),
                );
            }
        }
        if let Some(threshold) = self.hints.exfiltration {
            for ((from, to), (sent, got, evidence)) in std::mem::take(&mut self.sent) {
                if sent < threshold || got > sent / 10 {
                    continue;
                }
                let title = format!("{from} sent {sent} bytes to {to} and got {got}");
                let filter = format!("{0}.src == {from} && {0}.dst == {to}", field(from));
                findings.add(
                    &EXFILTRATION,
                    case(
                        from,
                        evidence,
                        title,
                        filter,
                        reported(sent, threshold),
                        sent,
                    ),
                );
            }
        }
        if let Some(threshold) = self.hints.lateral_movement {
            for (from, hosts, evidence) in self.administered.over(threshold) {
                let title =
                    format!("{from} reached {hosts} private hosts where machines are administered");
                let filter = format!(
                    "{}.src == {from} && tcp.dstport in {{22, 135, 445, 3389, 5985, 5986}}",
                    field(from)
                );
                findings.add(
                    &LATERAL,
                    case(
                        from,
                        evidence,
                        title,
                        filter,
                        reported(hosts, threshold),
                        hosts,
                    ),
                );
            }
        }
        findings.finish(report);
    }
}

/// The median interval, and the mean deviation of the others as a share of it; `None` for too few, for
/// intervals below a second, and for uneven ones.
fn regularity(times: HashSet<u64, RandomState>, threshold: u64) -> Option<(u64, f64)> {
    let mut times: Vec<u64> = times.into_iter().collect();
    if (times.len() as u64) < threshold.max(3) {
        return None;
    }
    times.sort_unstable();
    let mut intervals: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    intervals.sort_unstable();
    let middle = intervals[intervals.len() / 2];
    let sum: f64 = intervals
        .iter()
        .map(|interval| interval.abs_diff(middle) as f64)
        .sum();
    let spread = sum / intervals.len() as f64 / middle.max(1) as f64;
    (middle >= SECOND && spread < 0.1).then_some((middle, spread))
}
