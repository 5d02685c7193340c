//! ARP: conflicts and storms.

use std::{collections::HashMap, net::Ipv4Addr};

use ahash::RandomState;

use super::{
    Analyser,
    collect::{Case, Findings, Kind},
};
use crate::{
    packet::Packet,
    report::{ArpSummary, Certainty, Evidence, FlowReference, Report, Severity},
    settings::Thresholds,
};

const CONFLICT: Kind = Kind {
    name: "arp-conflict",
    certainty: Certainty::Likely,
    meaning: "More than one device claims the same address: hosts reach now the one and now the other. A \
              failover pair does so once; an attacker does so on purpose.",
    next: "Find both devices in the switches' tables by their hardware addresses.",
};
const STORM: Kind = Kind {
    name: "arp-storm",
    certainty: Certainty::Certain,
    meaning: "A device asks for very many addresses within a second: it scans, or a loop in the network \
              repeats its questions.",
    next: "See whether it is the same question (a loop) or ever others (a scan).",
};

/// Maximum addresses and devices that are tracked.
const MOST: usize = 65_536;
const SECOND: u64 = 1_000_000_000;

/// When an address changed its owner, and two of its owners.
type Conflict = (Evidence, [u8; 6], [u8; 6]);

struct Device {
    since: u64,
    within: u64,
    most: u64,
    evidence: Evidence,
}

pub(crate) struct Arp {
    threshold: u64,
    summary: ArpSummary,
    owners: HashMap<[u8; 4], [u8; 6], RandomState>,
    conflicts: HashMap<[u8; 4], Conflict, RandomState>,
    devices: HashMap<[u8; 6], Device, RandomState>,
}

impl Arp {
    pub(crate) fn new(thresholds: &Thresholds) -> Self {
        Self {
            threshold: thresholds.arp_storm,
            summary: ArpSummary::default(),
            owners: HashMap::default(),
            conflicts: HashMap::default(),
            devices: HashMap::default(),
        }
    }

    fn own(&mut self, packet: &Packet<'_>, address: [u8; 4], device: [u8; 6]) {
        if address == [0; 4] {
            return;
        }
        let room = self.owners.len() < MOST;
        match self.owners.get_mut(&address) {
            None if room => {
                self.owners.insert(address, device);
            }
            Some(owner) if *owner != device => {
                let before = std::mem::replace(owner, device);
                self.conflicts
                    .entry(address)
                    .and_modify(|(evidence, ..)| evidence.add(packet))
                    .or_insert_with(|| (Evidence::of(packet), before, device));
            }
            _ => {}
        }
    }

    fn asks(&mut self, packet: &Packet<'_>, device: [u8; 6]) {
        if !self.devices.contains_key(&device) && self.devices.len() >= MOST {
            return;
        }
        let asking = self.devices.entry(device).or_insert_with(|| Device {
            since: packet.timestamp,
            within: 0,
            most: 0,
            evidence: Evidence::from(packet),
        });
        if packet.timestamp.saturating_sub(asking.since) >= SECOND {
            asking.since = packet.timestamp;
            asking.within = 0;
        }
        asking.within += 1;
        asking.most = asking.most.max(asking.within);
        asking.evidence.add(packet);
    }
}

impl Analyser for Arp {
    /// RFC 826, for IPv4 over Ethernet.
    fn arp(&mut self, packet: &Packet<'_>, message: &[u8]) {
        let Some(message) = message.first_chunk::<28>() else {
            return;
        };
        if message[..6] != [0, 1, 8, 0, 6, 4] {
            return;
        }
        let mut device = [0; 6];
        device.copy_from_slice(&message[8..14]);
        let address = [message[14], message[15], message[16], message[17]];
        let target = [message[24], message[25], message[26], message[27]];
        match message[7] {
            1 => {
                self.summary.requests += 1;
                self.asks(packet, device);
            }
            2 => self.summary.replies += 1,
            _ => return,
        }
        self.summary.gratuitous += u64::from(address == target && address != [0; 4]);
        self.own(packet, address, device);
    }

    fn finish(&mut self, report: &mut Report) {
        let mut findings = Findings::default();
        for (address, (evidence, one, other)) in std::mem::take(&mut self.conflicts) {
            let address = Ipv4Addr::from(address);
            let count = evidence.count;
            let (one, other) = (crate::engine::mac(one), crate::engine::mac(other));
            self.summary
                .conflicts
                .push(format!("{address}: {one}, {other}"));
            findings.add(
                &CONFLICT,
                Case {
                    severity: Severity::Critical,
                    title: format!("{address} is claimed by {one} and {other}"),
                    flow: Some(FlowReference {
                        flow: None,
                        name: address.to_string(),
                        client: None,
                        server: None,
                    }),
                    evidence,
                    filter: format!("arp.src.proto_ipv4 == {address}"),
                    measured: Some(format!("it changed {count} times; reported from 1 on")),
                    weight: count,
                },
            );
        }
        self.summary.conflicts.sort();
        for (device, asking) in std::mem::take(&mut self.devices) {
            if asking.most < self.threshold {
                continue;
            }
            let device = crate::engine::mac(device);
            findings.add(
                &STORM,
                Case {
                    severity: Severity::Warning,
                    title: format!("{device} sent {} ARP requests within a second", asking.most),
                    flow: Some(FlowReference {
                        flow: None,
                        name: device.clone(),
                        client: None,
                        server: None,
                    }),
                    evidence: asking.evidence,
                    filter: format!("arp.opcode == 1 && eth.src == {device}"),
                    measured: Some(format!(
                        "{}/s; reported from {}/s on",
                        asking.most, self.threshold
                    )),
                    weight: asking.most,
                },
            );
        }
        findings.finish(report);
        if self.summary.requests + self.summary.replies > 0 {
            report.arp = Some(std::mem::take(&mut self.summary));
        }
    }
}
