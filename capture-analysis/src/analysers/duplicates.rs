//! Packets that come more than once at one interface: unchanged, or in circles with falling hop counts.

use std::hash::Hash;

use ahash::RandomState;

use super::{
    Analyser, Datagram, Segment,
    collect::{Case, Findings, Kind},
};
use crate::{
    decode::{Icmp, Ip},
    packet::Packet,
    report::{Certainty, Evidence, FlowReference, Report, Severity},
};

const DUPLICATES: Kind = Kind {
    name: "ip-duplicates",
    certainty: Certainty::Likely,
    meaning: "The same packets came twice within milliseconds: a mirror port copies both directions, two links \
              are bonded wrongly, or a host was captured at several points under one name. Their second \
              sightings are counted as retransmissions and are none.",
    next: "Mirror one direction only, or remove the copies first: editcap -d FILE OUT.",
};
const LOOP: Kind = Kind {
    name: "ip-routing-loop",
    certainty: Certainty::Certain,
    meaning: "The same packets came again and again with falling hop counts: routers send them to each other \
              until they die. They never arrive, and fill the link meanwhile.",
    next: "Trace the way to the destination (traceroute): two routers in turns are the loop. Look at their \
           routes to it, most often a default route against a missing one.",
};

/// Bytes of data that are looked at.
const BEGINNING: usize = 32;
/// Packets that are remembered.
const SIGHTINGS: usize = 1 << 12;
/// A copy comes within this, in nanoseconds.
const WITHIN: u64 = 10_000_000;
/// A packet in a loop comes back within this.
const LOOP_WITHIN: u64 = 1_000_000_000;
/// Shares of all that are reported, in thousandths, and the least number.
const SHARE: u64 = 10;
const LEAST: u64 = 10;
/// Rounds of packets from which a loop is reported.
const ROUNDS: u64 = 3;

#[derive(Clone, Copy, Default)]
struct Sighting {
    fingerprint: u64,
    time: u64,
    interface: u32,
    ttl: u8,
}

pub(crate) struct Duplicates {
    hasher: RandomState,
    sightings: Vec<Sighting>,
    packets: u64,
    copies: Option<Evidence>,
    looping: Option<(Evidence, Ip)>,
}

impl Duplicates {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            sightings: vec![Sighting::default(); SIGHTINGS],
            packets: 0,
            copies: None,
            looping: None,
        }
    }
}

impl Duplicates {
    /// By the identification that senders give each packet, and by `content`: where there is none, copies
    /// are not recognised.
    #[inline]
    fn see(&mut self, packet: &Packet<'_>, ip: &Ip, content: impl Hash) {
        if ip.identification == 0 || ip.fragment || ip.depth > 0 {
            return;
        }
        self.packets += 1;
        let fingerprint = self.hasher.hash_one((ip.identification, content));
        let place = &mut self.sightings[fingerprint as usize % SIGHTINGS];
        let before = std::mem::replace(
            place,
            Sighting {
                fingerprint,
                time: packet.timestamp,
                interface: packet.interface,
                ttl: ip.ttl,
            },
        );
        if before.fingerprint != fingerprint || before.interface != packet.interface {
            return;
        }
        let since = packet.timestamp.abs_diff(before.time);
        if before.ttl == ip.ttl && since < WITHIN {
            add(&mut self.copies, packet);
        } else if ip.ttl < before.ttl && since < LOOP_WITHIN {
            match &mut self.looping {
                Some((evidence, _)) => evidence.add(packet),
                None => self.looping = Some((Evidence::of(packet), *ip)),
            }
        }
    }
}

impl Analyser for Duplicates {
    #[inline]
    fn tcp(&mut self, segment: &Segment<'_>) {
        let tcp = segment.tcp;
        // Numbers of 64 bits are hashed fastest.
        let content = (
            segment.flow.id << 1 | segment.way.index() as u64,
            u64::from(tcp.sequence) << 32 | u64::from(tcp.acknowledgement),
            u64::from(tcp.flags) << 32 | u64::from(tcp.length.unwrap_or(u32::MAX)),
        );
        self.see(segment.packet, segment.ip, content);
    }

    #[inline]
    fn udp(&mut self, datagram: &Datagram<'_>) {
        let udp = datagram.udp;
        let beginning = &udp.payload[..udp.payload.len().min(BEGINNING)];
        let way = datagram.flow.id << 1 | datagram.way.index() as u64;
        let content = (way, udp.length, beginning);
        self.see(datagram.packet, datagram.ip, content);
    }

    fn icmp(&mut self, packet: &Packet<'_>, ip: &Ip, icmp: &Icmp<'_>) {
        let beginning = &icmp.rest[..icmp.rest.len().min(BEGINNING)];
        let ends = (ip.source, ip.destination);
        self.see(packet, ip, (ends, icmp.kind, icmp.code, beginning));
    }

    fn finish(&mut self, report: &mut Report) {
        let mut findings = Findings::default();
        if let Some(evidence) = self.copies.take() {
            let count = evidence.count;
            report.ip.duplicates = count;
            if count >= LEAST && count * 1000 >= self.packets * SHARE {
                findings.add(
                    &DUPLICATES,
                    Case {
                        severity: Severity::Warning,
                        title: format!("{count} of {} packets came twice", self.packets),
                        flow: None,
                        evidence,
                        filter: "ip".to_owned(),
                        measured: Some(format!(
                            "{:.1} %; reported from {:.1} % on, and at least {LEAST}",
                            count as f64 / self.packets as f64 * 100.0,
                            SHARE as f64 / 10.0
                        )),
                        weight: count,
                    },
                );
            }
        }
        if let Some((evidence, ip)) = self.looping.take() {
            let count = evidence.count;
            report.ip.looping = count;
            if count >= ROUNDS {
                findings.add(
                    &LOOP,
                    Case {
                        severity: Severity::Critical,
                        title: format!(
                            "{count} packets went in circles, such as from {} to {}",
                            ip.source, ip.destination
                        ),
                        flow: Some(FlowReference::host(ip.destination)),
                        evidence,
                        filter: format!("ip.dst == {}", ip.destination),
                        measured: Some(format!("{count} rounds; reported from {ROUNDS} on")),
                        weight: count,
                    },
                );
            }
        }
        findings.finish(report);
    }
}

fn add(list: &mut Option<Evidence>, packet: &Packet<'_>) {
    match list {
        Some(evidence) => evidence.add(packet),
        None => *list = Some(Evidence::of(packet)),
    }
}
