//! UDP: flows, DHCP, QUIC, and streams that look like RTP.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ahash::RandomState;

use super::{
    Analyser, Datagram,
    collect::{Case, Findings, Kind, end, flow_filter, reference},
};
use crate::{
    flow::{Flow, Transport},
    report::{
        Certainty, DhcpSummary, Evidence, Report, RtpStream, Severity, TlsSummary, UdpSummary,
    },
};

const RTP_LOSS: Kind = Kind {
    name: "rtp-loss",
    certainty: Certainty::Likely,
    meaning: "Packets of a media stream are missing: sound or picture breaks up.",
    next: "See whether they are missing at the sender too, and look at queues and marking (DSCP) on the way.",
};

/// Streams that are followed at once.
const MOST: usize = 8_192;
/// Packets in a row from which a stream is taken for RTP.
const SURE: u64 = 10;
/// A share of missing packets that is told of, in thousandths.
const LOSS: u64 = 10;

struct Stream {
    name: String,
    filter: String,
    flow: crate::report::FlowReference,
    payload_type: u8,
    next: u16,
    in_row: u64,
    packets: u64,
    missing: u64,
    /// Its last packet: arrival in clock ticks, and its timestamp.
    last: Option<(f64, u32)>,
    /// In clock ticks (RFC 3550, 6.4.1).
    jitter: f64,
    evidence: Evidence,
}

#[derive(Default)]
pub(crate) struct UdpFlows {
    summary: UdpSummary,
    streams: HashMap<(u64, usize, u32), Stream, RandomState>,
    dhcp: BTreeMap<String, u64>,
    dhcp_servers: BTreeSet<String>,
    quic: u64,
    quic_flows: HashMap<u64, (), RandomState>,
}

impl Analyser for UdpFlows {
    #[inline]
    fn udp(&mut self, datagram: &Datagram<'_>) {
        self.summary.datagrams += 1;
        let udp = datagram.udp;
        match (udp.source, udp.destination) {
            (67 | 68, 67 | 68) => self.dhcp(datagram),
            (443, _) | (_, 443) => self.quic(datagram),
            (source, destination) if source >= 1024 && destination >= 1024 => self.rtp(datagram),
            _ => {}
        }
    }

    fn closed(&mut self, flow: &Flow) {
        if flow.transport == Transport::Udp {
            self.summary.flows += 1;
            self.summary.one_way += u64::from(flow.sides[1].packets == 0);
            self.quic_flows.remove(&flow.id);
        }
    }

    fn finish(&mut self, report: &mut Report) {
        let mut findings = Findings::default();
        for ((_, _, ssrc), stream) in std::mem::take(&mut self.streams) {
            if stream.packets < SURE || stream.in_row < SURE {
                continue;
            }
            let all = stream.packets + stream.missing;
            if stream.missing * 1000 >= all * LOSS {
                findings.add(
                    &RTP_LOSS,
                    Case {
                        severity: Severity::Warning,
                        title: format!(
                            "{} of {all} packets of a media stream are missing",
                            stream.missing
                        ),
                        flow: Some(stream.flow),
                        evidence: stream.evidence,
                        filter: format!("{} && udp", stream.filter),
                        measured: Some(format!(
                            "{:.1} %; told from {:.1} % on",
                            stream.missing as f64 / all as f64 * 100.0,
                            LOSS as f64 / 10.0
                        )),
                        weight: stream.missing,
                    },
                );
            }
            self.summary.rtp.push(RtpStream {
                name: stream.name,
                ssrc,
                payload_type: stream.payload_type,
                packets: stream.packets,
                missing: stream.missing,
                jitter_ns: clock(stream.payload_type)
                    .map(|rate| (stream.jitter / rate * 1e9).round() as u64),
            });
        }
        self.summary
            .rtp
            .sort_by_key(|stream| std::cmp::Reverse(stream.packets));
        findings.finish(report);
        report.udp = std::mem::take(&mut self.summary);
        if !self.dhcp.is_empty() {
            report.dhcp = Some(DhcpSummary {
                messages: std::mem::take(&mut self.dhcp),
                servers: std::mem::take(&mut self.dhcp_servers).into_iter().collect(),
            });
        }
        if self.quic > 0 {
            report.tls.get_or_insert_with(TlsSummary::default).quic = self.quic;
        }
    }
}

impl UdpFlows {
    /// RFC 2131; the type of a message stands in option 53.
    fn dhcp(&mut self, datagram: &Datagram<'_>) {
        let Some(mut options) = datagram.udp.payload.get(240..) else {
            return;
        };
        if datagram.udp.payload[236..240] != [0x63, 0x82, 0x53, 0x63] {
            return;
        }
        while let [code, length, rest @ ..] = options {
            if *code == 255 {
                return;
            }
            let Some(value) = rest.get(..usize::from(*length)) else {
                return;
            };
            if let (53, [kind]) = (*code, value) {
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
                *self.dhcp.entry(name.to_owned()).or_default() += 1;
                if matches!(kind, 2 | 5 | 6) && self.dhcp_servers.len() < 1_000 {
                    self.dhcp_servers.insert(datagram.ip.source.to_string());
                }
                return;
            }
            options = &rest[usize::from(*length)..];
        }
    }

    /// A long header with a version (RFC 9000, 17.2): the beginning of a connection.
    fn quic(&mut self, datagram: &Datagram<'_>) {
        let [first, version @ ..] = datagram.udp.payload else {
            return;
        };
        let known = matches!(version, [0, 0, 0, 1, ..] | [0x6b, 0x33, 0x43, 0xcf, ..]);
        if first & 0xc0 == 0xc0
            && known
            && self.quic_flows.len() < MOST
            && self.quic_flows.insert(datagram.flow.id, ()).is_none()
        {
            self.quic += 1;
        }
    }

    /// RFC 3550, 5.1.
    fn rtp(&mut self, datagram: &Datagram<'_>) {
        let Some(header) = datagram.udp.payload.first_chunk::<12>() else {
            return;
        };
        let payload_type = header[1] & 0x7f;
        // Version 2; 64 to 95 are RTCP's.
        if header[0] >> 6 != 2 || (64..96).contains(&payload_type) {
            return;
        }
        let sequence = u16::from_be_bytes([header[2], header[3]]);
        let stamp = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let ssrc = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        let key = (datagram.flow.id, datagram.way.index(), ssrc);
        if !self.streams.contains_key(&key) && self.streams.len() >= MOST {
            return;
        }
        let stream = self.streams.entry(key).or_insert_with(|| Stream {
            name: format!(
                "{} -> {}",
                end(datagram.flow.ends[datagram.way.index()]),
                end(datagram.flow.ends[datagram.way.other().index()])
            ),
            filter: flow_filter(datagram.flow),
            flow: reference(datagram.flow),
            payload_type,
            next: sequence,
            in_row: 0,
            packets: 0,
            missing: 0,
            last: None,
            jitter: 0.0,
            evidence: Evidence {
                count: 0,
                ..Evidence::of(datagram.packet)
            },
        });
        stream.packet(datagram, sequence, stamp, payload_type);
    }
}

impl Stream {
    fn packet(&mut self, datagram: &Datagram<'_>, sequence: u16, stamp: u32, payload_type: u8) {
        self.packets += 1;
        let ahead = sequence.wrapping_sub(self.next);
        match ahead {
            0 => self.in_row += 1,
            1..1000 => {
                self.missing += u64::from(ahead);
                self.evidence.add(datagram.packet);
            }
            // Late: it had been taken for missing.
            0xfc18.. => {
                self.missing = self.missing.saturating_sub(1);
                return;
            }
            // Another stream, or none.
            _ => self.in_row = 0,
        }
        self.next = sequence.wrapping_add(1);
        let Some(rate) = clock(payload_type) else {
            return;
        };
        let arrival = datagram.packet.timestamp as f64 / 1e9 * rate;
        if let Some((last_arrival, last_stamp)) = self.last {
            let sent = f64::from(stamp.wrapping_sub(last_stamp).cast_signed());
            let difference = (arrival - last_arrival - sent).abs();
            self.jitter += (difference - self.jitter) / 16.0;
        }
        self.last = Some((arrival, stamp));
    }
}

/// Ticks a second of the payload types that have a rate of their own (RFC 3551, 6).
const fn clock(payload_type: u8) -> Option<f64> {
    match payload_type {
        0 | 3..=5 | 7..=9 | 12 | 13 | 15 | 18 => Some(8_000.0),
        6 | 16 => Some(16_000.0),
        10 | 11 => Some(44_100.0),
        14 | 25 | 26 | 28 | 31..=34 => Some(90_000.0),
        _ => None,
    }
}
