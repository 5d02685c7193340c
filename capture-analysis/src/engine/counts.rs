//! Counters over all packets.

use std::ops::AddAssign;

use super::Series;
use crate::{
    flow::Span,
    packet::Packet,
    tcp::{Flag, Flags},
};

/// The counters of each bucket of time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bucket {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) again: u64,
    pub(crate) missing: u64,
}

impl AddAssign for Bucket {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.again += other.again;
        self.missing += other.missing;
    }
}

/// Lengths at which a new range begins.
pub(crate) const SIZES: [u32; 9] = [0, 64, 128, 256, 512, 1024, 1515, 9001, 65_536];

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) captured: u64,
    pub(crate) cut: u64,
    pub(crate) out_of_time: u64,
    pub(crate) span: Option<Span>,
    pub(crate) sizes: [u64; SIZES.len()],
    pub(crate) series: Series<Bucket>,
    pub(crate) flags: [u64; Flag::ALL.len()],
    latest: u64,
    link_types: Vec<(u16, u64)>,
    /// By interface.
    pub(crate) interfaces: Vec<u64>,
}

impl Counts {
    #[inline]
    pub(crate) fn add(&mut self, packet: &Packet<'_>) {
        let length = packet.original_length;
        self.packets += 1;
        self.bytes += u64::from(length);
        self.captured += packet.data.len() as u64;
        self.cut += u64::from(packet.data.len() < length as usize);
        self.out_of_time += u64::from(packet.timestamp < self.latest);
        self.latest = packet.timestamp;
        match &mut self.span {
            Some(span) => span.add(packet.timestamp),
            None => self.span = Some(Span::at(packet.timestamp)),
        }
        let size = SIZES.partition_point(|from| *from <= length);
        self.sizes[size - 1] += 1;
        let bucket = self.series.at(packet.timestamp);
        bucket.packets += 1;
        bucket.bytes += u64::from(length);
        match self.link_types.last_mut() {
            Some((number, packets)) if *number == packet.link_type => *packets += 1,
            _ => self.link_type(packet.link_type),
        }
        let interface = packet.interface as usize;
        if interface >= self.interfaces.len() {
            self.interfaces.resize(interface + 1, 0);
        }
        self.interfaces[interface] += 1;
    }

    /// The current one is last.
    fn link_type(&mut self, number: u16) {
        match self.link_types.iter().position(|(one, _)| *one == number) {
            Some(at) => {
                let (number, packets) = self.link_types.remove(at);
                self.link_types.push((number, packets + 1));
            }
            None => self.link_types.push((number, 1)),
        }
    }

    #[inline]
    pub(crate) fn segment(&mut self, packet: &Packet<'_>, flags: Flags) {
        if flags.is_empty() {
            return;
        }
        for flag in flags.iter() {
            self.flags[flag as usize] += 1;
        }
        let bucket = self.series.at(packet.timestamp);
        bucket.again += u64::from(flags.sent_again());
        bucket.missing += u64::from(flags.has(Flag::LostSegment));
    }

    /// Packets by link type, the lowest number first.
    pub(crate) fn link_types(&self) -> Vec<(u16, u64)> {
        let mut all = self.link_types.clone();
        all.sort_unstable();
        all
    }
}
