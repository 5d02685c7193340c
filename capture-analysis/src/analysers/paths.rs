//! Ways: connections of which one direction is seen only, and those whose directions take two ways.

use std::collections::HashMap;

use ahash::RandomState;

use super::{
    Analyser,
    collect::{self, Case, Findings, Kind, end_filter, server},
};
use crate::{
    flow::{Endpoint, Flow},
    report::{Certainty, Evidence, Report, Severity},
    tcp::Opened,
};

const ONE_WAY: Kind = Kind {
    name: "tcp-one-way",
    certainty: Certainty::Likely,
    meaning: "One direction of connections is in the capture and the other is not, although it exists: the \
              acknowledgements go on. The other takes another way, or the capture does not see it.",
    next: "Capture at every interface of the host, or mirror both directions; compare the routes of both ends.",
};
const ASYMMETRIC: Kind = Kind {
    name: "ip-asymmetric-path",
    certainty: Certainty::Certain,
    meaning: "Requests come at one interface and answers leave by another. Stateful firewalls and NAT on \
              either way see half of the connection, and drop it.",
    next: "Compare routes and rules (ip route get, ip rule) for both addresses, and rp_filter.",
};

/// Packets one way from which a connection is reported.
const LEAST: u64 = 10;
/// Servers that are counted separately.
const MOST: usize = 16_384;

struct Seen {
    evidence: Evidence,
    name: String,
    interfaces: [u32; 2],
}

#[derive(Default)]
pub(crate) struct Paths {
    one_way: HashMap<Endpoint, Seen, RandomState>,
    asymmetric: HashMap<Endpoint, Seen, RandomState>,
}

fn see(list: &mut HashMap<Endpoint, Seen, RandomState>, flow: &Flow, interfaces: [u32; 2]) {
    let evidence = Evidence::at(flow.first_frame, flow.span.first);
    let key = server(flow);
    if let Some(seen) = list.get_mut(&key) {
        seen.evidence.merge(evidence);
    } else if list.len() < MOST {
        let name = collect::reference(flow).name;
        list.insert(
            key,
            Seen {
                evidence,
                name,
                interfaces,
            },
        );
    }
}

impl Analyser for Paths {
    fn closed(&mut self, flow: &Flow) {
        if let [Some(there), Some(back)] = flow.interfaces
            && there != back
            && !flow.several_interfaces
        {
            let mut interfaces = [there, back];
            interfaces.rotate_left(flow.client.index());
            see(&mut self.asymmetric, flow, interfaces);
        }
        let Some(connection) = flow.tcp.as_deref() else {
            return;
        };
        let silent = flow.sides.iter().any(|side| side.packets == 0);
        if silent && flow.packets() >= LEAST && connection.opened() != Opened::Unanswered {
            see(&mut self.one_way, flow, [0, 0]);
        }
    }

    fn finish(&mut self, report: &mut Report) {
        let mut findings = Findings::default();
        for (server, seen) in std::mem::take(&mut self.one_way) {
            let title = format!(
                "{} connections with {} are seen in one direction only",
                seen.evidence.count,
                collect::end(server)
            );
            let case = case(server, seen, title, Severity::Notice, "tcp");
            findings.add(&ONE_WAY, case);
        }
        let name = |number: u32| {
            let interface = report.interfaces.get(number as usize);
            interface
                .and_then(|interface| interface.name.clone())
                .unwrap_or_else(|| format!("interface {number}"))
        };
        for (server, seen) in std::mem::take(&mut self.asymmetric) {
            let [there, back] = seen.interfaces.map(name);
            let title = format!(
                "{} flows with {} go by {there} and come back by {back}",
                seen.evidence.count,
                collect::end(server)
            );
            let case = case(server, seen, title, Severity::Warning, "ip");
            findings.add(&ASYMMETRIC, case);
        }
        findings.finish(report);
    }
}

fn case(server: Endpoint, seen: Seen, title: String, severity: Severity, protocol: &str) -> Case {
    let count = seen.evidence.count;
    let filter = if protocol == "tcp" {
        end_filter(server, "tcp")
    } else {
        collect::host_filter(server.address)
    };
    Case {
        severity,
        title,
        flow: Some(collect::with_server(server, seen.name, count)),
        evidence: seen.evidence,
        filter,
        measured: Some(format!("{count} flows; reported from 1 on")),
        weight: count,
    }
}
