//! One direction of a connection.

use std::collections::VecDeque;

use super::{Flag, Offered};

/// Maximum segments that wait for their acknowledgement.
const MOST_SEGMENTS: usize = 512;

/// Round-trip times: count, minimum, sum and maximum, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round {
    /// Number of measurements.
    pub count: u64,
    /// The shortest.
    pub least: u64,
    /// The sum.
    pub sum: u64,
    /// The longest.
    pub most: u64,
}

impl Round {
    pub(crate) fn add(&mut self, time: u64) {
        self.least = if self.count == 0 {
            time
        } else {
            self.least.min(time)
        };
        self.most = self.most.max(time);
        self.sum = self.sum.saturating_add(time);
        self.count += 1;
    }

    /// The mean; `None` without measurements.
    #[must_use]
    pub const fn mean(&self) -> Option<u64> {
        self.sum.checked_div(self.count)
    }
}

/// A segment that waits for its acknowledgement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) end: u32,
    pub(super) time: u64,
    /// Its acknowledgement is not used for the round trip (Karn).
    pub(super) again: bool,
}

/// The data that one side sent, and its acknowledgements of the other's data.
#[derive(Debug, Default)]
pub struct Half {
    /// Its first sequence number.
    pub(super) base: Option<u32>,
    /// The number after its highest byte.
    pub(super) next: Option<u32>,
    pub(super) next_time: u64,
    /// The number after its highest byte without a gap.
    pub(super) contiguous: Option<u32>,
    pub(super) last_ack: Option<u32>,
    pub(super) last_ack_time: u64,
    /// The value in its last header.
    pub(super) window: u16,
    /// The window in bytes, if its scale is known.
    pub(super) window_bytes: Option<u64>,
    pub(super) scale: Scale,
    pub(super) duplicate_acks: u32,
    /// The other side acknowledged more data than the capture has, which was reported.
    pub(super) gap_said: bool,
    pub(super) was_keep_alive: bool,
    pub(super) was_probe: bool,
    pub(super) waiting: VecDeque<Sent>,
    pub(super) zero_window_since: Option<u64>,
    /// Segments with each flag; most connections have none.
    counts: Option<Box<[u32; Flag::ALL.len()]>>,
    /// Segments.
    pub segments: u64,
    /// Bytes of data, each as often as it was sent.
    pub data_bytes: u64,
    /// Bytes that had been sent before.
    pub again_bytes: u64,
    /// Segments with data.
    pub data_segments: u64,
    /// From a segment to its acknowledgement: the way to the other side and back.
    pub round_trip: Round,
    /// How long it accepted no data, in nanoseconds.
    pub zero_window: u64,
    /// The options of its SYN.
    pub offered: Option<Offered>,
    /// SYN segments.
    pub syns: u32,
    /// FIN segments.
    pub fins: u32,
    /// The largest segment of data.
    pub largest: u32,
}

/// The scaling of windows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Scale {
    /// The SYN was not seen.
    #[default]
    Unknown,
    /// The SYN was seen and offered none.
    None,
    By(u8),
}

impl Half {
    pub(super) fn count(&mut self, flag: Flag) {
        let count = &mut self.counts.get_or_insert_default()[flag as usize];
        *count = count.saturating_add(1);
    }

    /// Segments with this flag.
    #[must_use]
    pub fn counted(&self, flag: Flag) -> u32 {
        self.counts
            .as_ref()
            .map_or(0, |counts| counts[flag as usize])
    }

    pub(super) fn remember(&mut self, sent: Sent) {
        if self.waiting.len() >= MOST_SEGMENTS {
            self.waiting.pop_front();
        }
        self.waiting.push_back(sent);
    }
}
