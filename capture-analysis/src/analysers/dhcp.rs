//! DHCP: clients that ask, servers that answer, and requests without an answer.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use ahash::RandomState;

use super::{
    Analyser, Datagram,
    collect::{Case, Findings, Kind},
};
use crate::report::{Certainty, DhcpSummary, Evidence, FlowReference, Report, Severity};

const UNANSWERED: Kind = Kind {
    name: "dhcp-unanswered",
    certainty: Certainty::Likely,
    meaning: "A client asked for an address again and again and got no answer: it has no network.",
    next: "See whether the server runs, has addresses left, and whether relays and VLANs lead to it.",
};
const REFUSED: Kind = Kind {
    name: "dhcp-refused",
    certainty: Certainty::Certain,
    meaning: "The server refused the address that a client asked for: the client has moved, or its lease \
              was given away.",
    next: "See whether the client gets another address after it, and whether two servers share one range.",
};
const SEVERAL: Kind = Kind {
    name: "dhcp-several-servers",
    certainty: Certainty::Possible,
    meaning: "More than one server offers addresses. A failover pair does so; so does a router that somebody \
              plugged in, and then clients get gateways that lead nowhere.",
    next: "Compare what they offer: gateway, name servers and range.",
};

/// Maximum clients and servers that are tracked.
const MOST: usize = 16_384;
/// Unanswered requests from which a finding is reported.
const TRIES: u64 = 2;

#[derive(Default)]
pub(crate) struct Dhcp {
    messages: BTreeMap<String, u64>,
    /// Requests of clients since the last answer, by hardware address.
    asking: HashMap<[u8; 6], Evidence, RandomState>,
    offers: BTreeMap<IpAddr, Evidence>,
    servers: BTreeSet<IpAddr>,
    refused: BTreeMap<IpAddr, Evidence>,
}

impl Analyser for Dhcp {
    #[inline]
    fn udp(&mut self, datagram: &Datagram<'_>) {
        if let (67 | 68, 67 | 68) = (datagram.udp.source, datagram.udp.destination) {
            self.datagram(datagram);
        }
    }

    fn finish(&mut self, report: &mut Report) {
        let mut findings = Findings::default();
        let mut unanswered = 0;
        for (device, evidence) in std::mem::take(&mut self.asking) {
            unanswered += 1;
            let count = evidence.count;
            if count < TRIES {
                continue;
            }
            let device = crate::engine::mac(device);
            findings.add(
                &UNANSWERED,
                Case {
                    severity: Severity::Warning,
                    title: format!("{device} asked for an address {count} times without an answer"),
                    flow: Some(FlowReference {
                        flow: None,
                        name: device.clone(),
                        client: None,
                        server: None,
                    }),
                    evidence,
                    filter: format!("dhcp && dhcp.hw.mac_addr == {device}"),
                    measured: Some(format!("{count}; reported from {TRIES} on")),
                    weight: count,
                },
            );
        }
        for (server, evidence) in std::mem::take(&mut self.refused) {
            let count = evidence.count;
            findings.add(
                &REFUSED,
                Case {
                    severity: Severity::Notice,
                    title: format!("{server} refused {count} requests for an address"),
                    flow: Some(FlowReference::host(server)),
                    evidence,
                    filter: format!("dhcp.option.dhcp == 6 && ip.src == {server}"),
                    measured: Some(format!("{count}; reported from 1 on")),
                    weight: count,
                },
            );
        }
        self.several(&mut findings);
        findings.finish(report);
        if !self.messages.is_empty() {
            let servers = std::mem::take(&mut self.servers);
            report.dhcp = Some(DhcpSummary {
                messages: std::mem::take(&mut self.messages),
                servers: servers.iter().map(IpAddr::to_string).collect(),
                unanswered,
            });
        }
    }
}

impl Dhcp {
    /// RFC 2131; the message type is in option 53 (RFC 2132, 9.6).
    fn datagram(&mut self, datagram: &Datagram<'_>) {
        let Some((head, mut options)) = datagram.udp.payload.split_first_chunk::<240>() else {
            return;
        };
        if head[236..] != [0x63, 0x82, 0x53, 0x63] {
            return;
        }
        let mut device = [0; 6];
        device.copy_from_slice(&head[28..34]);
        while let [code, rest @ ..] = options {
            let (length, rest) = match (*code, rest) {
                (0, rest) => {
                    options = rest;
                    continue;
                }
                (255, _) | (_, []) => return,
                (_, [length, rest @ ..]) => (usize::from(*length), rest),
            };
            let Some((value, behind)) = rest.split_at_checked(length) else {
                return;
            };
            if let (53, [kind]) = (*code, value) {
                self.message(datagram, *kind, device);
                return;
            }
            options = behind;
        }
    }

    fn message(&mut self, datagram: &Datagram<'_>, kind: u8, device: [u8; 6]) {
        let name = match kind {
            1 => "DISCOVER",
            2 => "OFFER",
            3 => "REQUEST",
            4 => "DECLINE",
            5 => "ACK",
            6 => "NAK",
            7 => "RELEASE",
            8 => "INFORM",
            _ => "OTHER",
        };
        *self.messages.entry(name.to_owned()).or_default() += 1;
        let packet = datagram.packet;
        let server = datagram.ip.source;
        match kind {
            1 | 3 => {
                if let Some(evidence) = self.asking.get_mut(&device) {
                    evidence.add(packet);
                } else if self.asking.len() < MOST {
                    self.asking.insert(device, Evidence::of(packet));
                }
            }
            2 | 5 | 6 => {
                self.asking.remove(&device);
                if self.servers.len() < MOST {
                    self.servers.insert(server);
                }
                let list = match kind {
                    2 => &mut self.offers,
                    6 => &mut self.refused,
                    _ => return,
                };
                if let Some(evidence) = list.get_mut(&server) {
                    evidence.add(packet);
                } else if list.len() < MOST {
                    list.insert(server, Evidence::of(packet));
                }
            }
            _ => {}
        }
    }

    fn several(&mut self, findings: &mut Findings) {
        let offers = std::mem::take(&mut self.offers);
        if offers.len() < 2 {
            return;
        }
        let count = offers.len();
        let names: Vec<String> = offers.keys().take(10).map(IpAddr::to_string).collect();
        let Some(evidence) = offers.into_values().reduce(|mut all, one| {
            all.merge(one);
            all
        }) else {
            return;
        };
        findings.add(
            &SEVERAL,
            Case {
                severity: Severity::Warning,
                title: format!("{count} servers offer addresses: {}", names.join(", ")),
                flow: None,
                evidence,
                filter: "dhcp.option.dhcp == 2".to_owned(),
                measured: Some(format!("{count}; reported from 2 on")),
                weight: count as u64,
            },
        );
    }
}
