//! Compares two captures of the same traffic packet by packet, from both ends of a path: which packets left
//! one end and did not reach the other.
//!
//! A packet is recognized by properties that do not change on its path: addresses, ports, numbers and
//! lengths of its innermost IP packet. Hop counts, checksums, hardware addresses, tags and tunnels may
//! differ. If segmentation offload cuts the same TCP data differently at both ends, the bytes are
//! compared instead.

mod identity;
mod offload;

use std::collections::HashMap;

use ahash::RandomState;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    decode::{Decoder, FragmentLimits},
    engine::Copies,
    flow::{Endpoint, Span},
    packet::Packet,
    report::{End, FrameReference},
};
use identity::{Identity, Seen};
use offload::without_what_arrived;

/// Packets of each side that are remembered: 64 bytes each.
const MOST: usize = 2_000_000;
/// Maximum directions of flows that are tracked.
const MOST_WAYS: usize = 100_000;
/// Maximum packets listed.
const MOST_LISTED: usize = 10_000;

/// One of two captures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Capture {
    /// The first one.
    First,
    /// The other one.
    Other,
}

/// The packets in both captures and in only one of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Crossing {
    /// Packets in both.
    pub both: u64,
    /// Packets in the first only, from the time in which both captured.
    pub only_first: u64,
    /// Packets in the other only, from the time in which both captured.
    pub only_other: u64,
    /// Packets from the time in which only one of them captured.
    pub outside: u64,
    /// Packets that are not IP, and those beyond the limit.
    pub not_compared: u64,
    /// The median difference of the other capture's times: the transit time plus the difference of the
    /// clocks, nanoseconds. Absent if no packet is in both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub later_ns: Option<i64>,
    /// Flows, each direction separately, that differ; the largest difference first.
    pub ways: Vec<Way>,
    /// Directions of flows that are the same in both.
    pub equal_ways: u64,
    /// The packets in one capture only, by time, up to a limit.
    pub missing: Vec<Missing>,
}

/// One direction of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Way {
    /// `tcp`, `udp` or the number of another protocol.
    pub transport: String,
    /// The sender.
    pub source: End,
    /// The receiver.
    pub destination: End,
    /// Packets in both.
    pub both: u64,
    /// Packets in the first only.
    pub only_first: u64,
    /// Packets in the other only.
    pub only_other: u64,
}

/// A packet in one capture only.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Missing {
    /// The capture that has it.
    pub only_in: Capture,
    /// Its frame there.
    pub frame: FrameReference,
    /// When it was captured there, nanoseconds since 1970-01-01 UTC.
    pub time_ns: u64,
    /// `tcp`, `udp` or the number of another protocol.
    pub transport: String,
    /// The sender.
    pub source: End,
    /// The receiver.
    pub destination: End,
    /// Bytes of data, for TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_bytes: Option<u32>,
}

/// A packet that waits for its counterpart in the other capture.
#[derive(Debug, Clone, Copy)]
struct Sighting {
    time: u64,
    frame: FrameReference,
    way: u32,
    /// For TCP: its first sequence number and its bytes.
    data: Option<(u32, u32)>,
}

/// One direction of a flow, while counting.
type WayKey = (u8, Endpoint, Endpoint);

/// Compares packets as they are read: all of the first capture, then all of the other.
pub struct Comparison {
    decoder: Decoder,
    hasher: RandomState,
    copies: [Copies; 2],
    ways: HashMap<WayKey, u32, RandomState>,
    /// Packets in both, by direction.
    both: Vec<u64>,
    waiting: HashMap<u64, Vec<Sighting>, RandomState>,
    waiting_packets: usize,
    unmatched: Vec<Sighting>,
    spans: [Option<Span>; 2],
    later: Vec<i64>,
    not_compared: u64,
}

impl Default for Comparison {
    fn default() -> Self {
        Self {
            decoder: Decoder::new(FragmentLimits::default()),
            hasher: RandomState::new(),
            copies: [Copies::new(), Copies::new()],
            ways: HashMap::default(),
            both: Vec::new(),
            waiting: HashMap::default(),
            waiting_packets: 0,
            unmatched: Vec::new(),
            spans: [None; 2],
            later: Vec::new(),
            not_compared: 0,
        }
    }
}

impl Comparison {
    /// Adds a packet. All packets of the first capture come before those of the other.
    pub fn packet(&mut self, capture: Capture, packet: &Packet<'_>) {
        let span = &mut self.spans[capture as usize];
        match span {
            Some(span) => span.add(packet.timestamp),
            None => *span = Some(Span::at(packet.timestamp)),
        }
        let mut seen = Seen::default();
        self.decoder.decode(packet, &mut seen);
        let Some(identity) = seen.identity else {
            self.not_compared += 1;
            return;
        };
        let fingerprint = self.hasher.hash_one(identity);
        if self.copies[capture as usize].is_copy(fingerprint, packet.interface, packet.timestamp) {
            return;
        }
        let Some(way) = self.way(&identity) else {
            self.not_compared += 1;
            return;
        };
        let sighting = Sighting {
            time: packet.timestamp,
            frame: FrameReference {
                file: packet.file,
                frame: packet.frame,
            },
            way,
            data: identity.tcp_data(),
        };
        match capture {
            Capture::First if self.waiting_packets < MOST => {
                self.waiting_packets += 1;
                self.waiting.entry(fingerprint).or_default().push(sighting);
            }
            Capture::First => self.not_compared += 1,
            Capture::Other => self.arrived(fingerprint, sighting),
        }
    }

    fn way(&mut self, identity: &Identity) -> Option<u32> {
        let key = identity.way();
        if let Some(number) = self.ways.get(&key) {
            return Some(*number);
        }
        if self.ways.len() >= MOST_WAYS {
            return None;
        }
        let number = u32::try_from(self.both.len()).ok()?;
        self.ways.insert(key, number);
        self.both.push(0);
        Some(number)
    }

    fn arrived(&mut self, fingerprint: u64, sighting: Sighting) {
        if let Some(waiting) = self.waiting.get_mut(&fingerprint)
            && !waiting.is_empty()
        {
            let sent = waiting.remove(0);
            self.both[sent.way as usize] += 1;
            if self.later.len() < MOST {
                self.later.push(
                    sighting
                        .time
                        .cast_signed()
                        .wrapping_sub(sent.time.cast_signed()),
                );
            }
        } else if self.unmatched.len() < MOST {
            self.unmatched.push(sighting);
        } else {
            self.not_compared += 1;
        }
    }

    /// Called when all packets of both were added.
    #[must_use]
    pub fn finish(mut self) -> Crossing {
        let later = middle(&mut self.later);
        let mut first: Vec<Sighting> = self.waiting.into_values().flatten().collect();
        let mut other = self.unmatched;
        let (first_all, other_all) = (first.len(), other.len());
        if let [Some(ours), Some(theirs)] = self.spans {
            let later = later.unwrap_or(0);
            let shifted = |time: u64, by: i64| time.saturating_add_signed(by);
            first.retain(|one| {
                let there = shifted(one.time, later);
                (theirs.first..=theirs.last).contains(&there)
            });
            other.retain(|one| {
                let there = shifted(one.time, later.saturating_neg());
                (ours.first..=ours.last).contains(&there)
            });
        }
        let outside = (first_all - first.len() + other_all - other.len()) as u64;
        first.sort_unstable_by_key(|one| (one.time, one.frame));
        other.sort_unstable_by_key(|one| (one.time, one.frame));
        let resegmented = without_what_arrived(&mut first, &mut other);
        for way in &resegmented {
            self.both[*way as usize] += 1;
        }
        let mut named: Vec<Option<WayKey>> = vec![None; self.both.len()];
        for (key, number) in self.ways {
            named[number as usize] = Some(key);
        }
        let mut only = vec![[0_u64; 2]; self.both.len()];
        let mut missing = Vec::new();
        for (capture, list) in [(Capture::First, &first), (Capture::Other, &other)] {
            for one in list {
                only[one.way as usize][capture as usize] += 1;
                if let Some((protocol, source, destination)) = named[one.way as usize] {
                    missing.push(Missing {
                        only_in: capture,
                        frame: one.frame,
                        time_ns: one.time,
                        transport: transport(protocol),
                        source: end(protocol, source),
                        destination: end(protocol, destination),
                        data_bytes: one.data.map(|(_, length)| length),
                    });
                }
            }
        }
        missing.sort_by_key(|one| one.time_ns);
        missing.truncate(MOST_LISTED);
        let mut ways = Vec::new();
        let mut equal_ways = 0;
        for ((key, both), [only_first, only_other]) in named.into_iter().zip(&self.both).zip(&only)
        {
            let Some((protocol, source, destination)) = key else {
                continue;
            };
            if only_first + only_other == 0 {
                equal_ways += u64::from(*both > 0);
                continue;
            }
            ways.push(Way {
                transport: transport(protocol),
                source: end(protocol, source),
                destination: end(protocol, destination),
                both: *both,
                only_first: *only_first,
                only_other: *only_other,
            });
        }
        ways.sort_by(|one, other| {
            let difference = |way: &Way| way.only_first + way.only_other;
            difference(other).cmp(&difference(one)).then_with(|| {
                (&one.source, &one.destination).cmp(&(&other.source, &other.destination))
            })
        });
        Crossing {
            both: self.both.iter().sum(),
            only_first: first.len() as u64,
            only_other: other.len() as u64,
            outside,
            not_compared: self.not_compared,
            later_ns: later,
            ways,
            equal_ways,
            missing,
        }
    }
}

fn middle(values: &mut [i64]) -> Option<i64> {
    if values.is_empty() {
        return None;
    }
    let at = values.len() / 2;
    let (_, middle, _) = values.select_nth_unstable(at);
    Some(*middle)
}

fn transport(protocol: u8) -> String {
    match protocol {
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        1 => "icmp".to_owned(),
        58 => "icmp6".to_owned(),
        number => format!("protocol {number}"),
    }
}

fn end(protocol: u8, end: Endpoint) -> End {
    let mut named = End::from(end);
    if !matches!(protocol, 6 | 17) {
        named.port = None;
    }
    named
}
