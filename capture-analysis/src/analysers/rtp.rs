//! Streams that look like RTP: what is missing, and jitter (RFC 3550).

use std::collections::HashMap;

use ahash::RandomState;

use super::{
    Analyser, Datagram,
    collect::{Case, Findings, Kind, duration, end, flow_filter, reference},
};
use crate::report::{Certainty, Evidence, FlowReference, Report, RtpStream, Severity};

const LOSS_KIND: Kind = Kind {
    name: "rtp-loss",
    certainty: Certainty::Likely,
    meaning: "Packets of a media stream are missing: sound or picture breaks up.",
    next: "See whether they are missing at the sender too, and look at queues and marking (DSCP) on the way.",
};
const JITTER_KIND: Kind = Kind {
    name: "rtp-jitter",
    certainty: Certainty::Likely,
    meaning: "Packets of a media stream come at uneven times: the receiver has to hold them back for longer, \
              or drops those that come too late.",
    next: "Compare with the jitter at the sender; look at queues, wireless links and marking (DSCP) on the way.",
};

/// Streams that are followed at once.
const MOST: usize = 8_192;
/// Packets in a row from which a stream is taken for RTP.
const SURE: u64 = 10;
/// A share of missing packets that is reported, in thousandths.
const LOSS: u64 = 10;
/// Jitter that is reported, nanoseconds: what receivers usually even out.
const JITTER: u64 = 30_000_000;

struct Stream {
    name: String,
    filter: String,
    flow: FlowReference,
    payload_type: u8,
    next: u16,
    in_row: u64,
    packets: u64,
    missing: u64,
    /// Its last packet: arrival in clock ticks, and its timestamp.
    last: Option<(f64, u32)>,
    /// In clock ticks (RFC 3550, 6.4.1).
    jitter: f64,
    most_jitter: f64,
    /// Packets behind gaps.
    evidence: Evidence,
    /// Packets that came far from their time.
    uneven: Evidence,
}

#[derive(Default)]
pub(crate) struct Rtp {
    streams: HashMap<(u64, usize, u32), Stream, RandomState>,
}

impl Analyser for Rtp {
    #[inline]
    fn udp(&mut self, datagram: &Datagram<'_>) {
        let udp = datagram.udp;
        if udp.source >= 1024 && udp.destination >= 1024 {
            self.datagram(datagram);
        }
    }

    fn finish(&mut self, report: &mut Report) {
        let mut rtp = Vec::new();
        let mut findings = Findings::default();
        for ((_, _, ssrc), stream) in std::mem::take(&mut self.streams) {
            if stream.packets < SURE || stream.in_row < SURE {
                continue;
            }
            let all = stream.packets + stream.missing;
            if stream.missing * 1000 >= all * LOSS {
                findings.add(
                    &LOSS_KIND,
                    Case {
                        severity: Severity::Warning,
                        title: format!(
                            "{} of {all} packets of a media stream are missing",
                            stream.missing
                        ),
                        flow: Some(stream.flow.clone()),
                        evidence: stream.evidence,
                        filter: format!("{} && udp", stream.filter),
                        measured: Some(format!(
                            "{:.1} %; reported from {:.1} % on",
                            stream.missing as f64 / all as f64 * 100.0,
                            LOSS as f64 / 10.0
                        )),
                        weight: stream.missing,
                    },
                );
            }
            let rate = clock(stream.payload_type);
            let nanoseconds = |ticks: f64| rate.map(|rate| (ticks / rate * 1e9).round() as u64);
            let most = nanoseconds(stream.most_jitter).unwrap_or(0);
            if most >= JITTER && stream.uneven.count > 0 {
                findings.add(
                    &JITTER_KIND,
                    Case {
                        severity: Severity::Notice,
                        title: format!("the jitter of a media stream reached {}", duration(most)),
                        flow: Some(stream.flow.clone()),
                        evidence: stream.uneven,
                        filter: format!("{} && udp", stream.filter),
                        measured: Some(format!(
                            "{}; reported from {} on",
                            duration(most),
                            duration(JITTER)
                        )),
                        weight: most,
                    },
                );
            }
            rtp.push(RtpStream {
                name: stream.name,
                ssrc,
                payload_type: stream.payload_type,
                packets: stream.packets,
                missing: stream.missing,
                jitter_ns: nanoseconds(stream.jitter),
                most_jitter_ns: nanoseconds(stream.most_jitter),
            });
        }
        rtp.sort_by_key(|stream| std::cmp::Reverse(stream.packets));
        findings.finish(report);
        report.udp.rtp = rtp;
    }
}

impl Rtp {
    /// RFC 3550, 5.1.
    fn datagram(&mut self, datagram: &Datagram<'_>) {
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
            most_jitter: 0.0,
            evidence: Evidence::from(datagram.packet),
            uneven: Evidence::from(datagram.packet),
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
            // It was interrupted, or began anew.
            if difference > rate {
                self.last = Some((arrival, stamp));
                return;
            }
            self.jitter += (difference - self.jitter) / 16.0;
            self.most_jitter = self.most_jitter.max(self.jitter);
            if difference / rate * 1e9 >= JITTER as f64 {
                self.uneven.add(datagram.packet);
            }
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
