//! Packets and bytes each way, and the time they span.

use crate::packet::Packet;

/// The direction of a packet in its conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// From the side that sent first.
    Forward,
    /// To the side that sent first.
    Backward,
}

impl Way {
    /// Index of the sending side.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The opposite direction.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Forward => Self::Backward,
            Self::Backward => Self::Forward,
        }
    }
}

/// The traffic of one side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Side {
    /// Packets.
    pub packets: u64,
    /// Bytes on the wire, with all headers.
    pub bytes: u64,
}

impl Side {
    #[inline]
    pub(crate) const fn add(&mut self, packet: &Packet<'_>) {
        self.packets += 1;
        self.bytes += packet.original_length as u64;
    }
}

/// From the first to the last packet. Times may go backwards in a file: these are the earliest and the
/// latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Nanoseconds since 1970-01-01 UTC.
    pub first: u64,
    /// Nanoseconds since 1970-01-01 UTC.
    pub last: u64,
}

impl Span {
    #[inline]
    pub(crate) const fn at(time: u64) -> Self {
        Self {
            first: time,
            last: time,
        }
    }

    #[inline]
    pub(crate) fn add(&mut self, time: u64) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
    }

    /// Nanoseconds.
    #[must_use]
    pub const fn duration(&self) -> u64 {
        self.last - self.first
    }
}
