//! Fragments that wait for the rest of their datagrams, with limits of number, bytes and time.

use std::{collections::HashMap, net::IpAddr};

use ahash::RandomState;

use super::Ip;

/// Limits of waiting fragments.
#[derive(Debug, Clone, Copy)]
pub struct FragmentLimits {
    /// Datagrams.
    pub datagrams: usize,
    /// Bytes of all datagrams.
    pub bytes: usize,
}

impl Default for FragmentLimits {
    fn default() -> Self {
        Self {
            datagrams: 4096,
            bytes: 16 << 20,
        }
    }
}

/// Counts of fragments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FragmentTotals {
    /// Fragments seen.
    pub fragments: u64,
    /// Reassembled datagrams.
    pub reassembled: u64,
    /// Datagrams whose rest did not come, or that were dropped at a limit.
    pub incomplete: u64,
    /// Fragments that overlap others with different bytes: an attack, or damage.
    pub overlapping: u64,
    /// Fragments truncated by the snap length.
    pub cut: u64,
}

/// RFC 791: at least 15 s; Linux waits for 30 s.
const PATIENCE: u64 = 30_000_000_000;
const LARGEST: usize = 65_535;

/// The common fields of the fragments of one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FragmentKey {
    source: IpAddr,
    destination: IpAddr,
    identification: u32,
    protocol: u8,
}

impl FragmentKey {
    pub(super) fn new(ip: &Ip) -> Self {
        Self {
            source: ip.source,
            destination: ip.destination,
            identification: ip.identification,
            // IPv6 uses only the identification (RFC 8200, 4.5).
            protocol: if ip.source.is_ipv4() { ip.protocol } else { 0 },
        }
    }
}

pub(super) struct Fragment {
    pub(super) key: FragmentKey,
    pub(super) offset: usize,
    pub(super) more: bool,
}

struct Waiting {
    first_seen: u64,
    bytes: Vec<u8>,
    /// Received ranges, sorted and separate from each other.
    ranges: Vec<(usize, usize)>,
    end: Option<usize>,
}

pub(super) struct Reassembly {
    limits: FragmentLimits,
    waiting: HashMap<FragmentKey, Waiting, RandomState>,
    bytes: usize,
    totals: FragmentTotals,
}

impl Reassembly {
    pub(super) fn new(limits: FragmentLimits) -> Self {
        Self {
            limits,
            waiting: HashMap::default(),
            bytes: 0,
            totals: FragmentTotals::default(),
        }
    }

    pub(super) const fn totals(&self) -> FragmentTotals {
        self.totals
    }

    pub(super) const fn cut(&mut self) {
        self.totals.fragments += 1;
        self.totals.cut += 1;
    }

    /// The whole datagram when its last missing fragment arrives.
    pub(super) fn add(&mut self, fragment: &Fragment, data: &[u8], time: u64) -> Option<Vec<u8>> {
        self.totals.fragments += 1;
        let end = fragment.offset + data.len();
        if end > LARGEST {
            self.totals.overlapping += 1;
            return None;
        }
        if let Some(old) = self.waiting.get(&fragment.key)
            && time.saturating_sub(old.first_seen) > PATIENCE
        {
            self.give_up(fragment.key);
        }
        if !self.waiting.contains_key(&fragment.key) {
            self.make_room();
        }
        let waiting = self.waiting.entry(fragment.key).or_insert_with(|| Waiting {
            first_seen: time,
            bytes: Vec::new(),
            ranges: Vec::new(),
            end: None,
        });
        if waiting.bytes.len() < end {
            self.bytes += end - waiting.bytes.len();
            waiting.bytes.resize(end, 0);
        }
        let place = &mut waiting.bytes[fragment.offset..end];
        let overlaps = waiting
            .ranges
            .iter()
            .any(|(from, to)| *from < end && fragment.offset < *to);
        if overlaps && place != data {
            self.totals.overlapping += 1;
        }
        place.copy_from_slice(data);
        if !fragment.more {
            waiting.end = Some(end);
        }
        insert(&mut waiting.ranges, (fragment.offset, end));
        let whole = waiting
            .end
            .is_some_and(|end| matches!(waiting.ranges[..], [(0, to)] if to >= end));
        if !whole {
            return None;
        }
        let done = self.waiting.remove(&fragment.key)?;
        self.bytes -= done.bytes.len();
        self.totals.reassembled += 1;
        let mut bytes = done.bytes;
        bytes.truncate(done.end.unwrap_or(usize::MAX));
        Some(bytes)
    }

    fn make_room(&mut self) {
        if self.waiting.len() < self.limits.datagrams && self.bytes < self.limits.bytes {
            return;
        }
        // Rare, and half of them are dropped at once.
        let mut times: Vec<u64> = self.waiting.values().map(|one| one.first_seen).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        let old: Vec<FragmentKey> = self
            .waiting
            .iter()
            .filter(|(_, one)| one.first_seen <= median)
            .map(|(key, _)| *key)
            .collect();
        for key in old {
            self.give_up(key);
        }
    }

    fn give_up(&mut self, key: FragmentKey) {
        if let Some(one) = self.waiting.remove(&key) {
            self.bytes -= one.bytes.len();
            self.totals.incomplete += 1;
        }
    }

    /// Called at the end of a file.
    pub(super) fn finish(&mut self) {
        self.totals.incomplete += self.waiting.len() as u64;
        self.waiting.clear();
        self.bytes = 0;
    }
}

fn insert(ranges: &mut Vec<(usize, usize)>, new: (usize, usize)) {
    let (mut from, mut to) = new;
    ranges.retain(|(start, end)| {
        let apart = *end < from || to < *start;
        if !apart {
            from = from.min(*start);
            to = to.max(*end);
        }
        apart
    });
    let at = ranges.partition_point(|(start, _)| *start < from);
    ranges.insert(at, (from, to));
}
