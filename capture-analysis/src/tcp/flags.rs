//! The flags of segments.

/// A flag of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Flag {
    /// Retransmitted.
    Retransmission,
    /// Retransmitted soon after duplicate ACKs requested it.
    FastRetransmission,
    /// Retransmitted although it had been acknowledged.
    SpuriousRetransmission,
    /// Later than its successor, and not sent twice.
    OutOfOrder,
    /// Acknowledges the same byte again.
    DuplicateAck,
    /// The data before it is not in the capture.
    LostSegment,
    /// Acknowledges data that is not in the capture.
    AckLostSegment,
    /// Checks whether the other side is still there.
    KeepAlive,
    /// Answers a keep-alive.
    KeepAliveAck,
    /// The sender accepts no more data.
    ZeroWindow,
    /// Checks whether the window is open again.
    ZeroWindowProbe,
    /// Answers a window probe.
    ZeroWindowProbeAck,
    /// Fills the receiver's window to the last byte.
    WindowFull,
    /// Only announces a new window.
    WindowUpdate,
    /// Opens a connection between ports that had one before.
    ReusedPorts,
}

impl Flag {
    /// All flags.
    pub const ALL: [Self; 15] = [
        Self::Retransmission,
        Self::FastRetransmission,
        Self::SpuriousRetransmission,
        Self::OutOfOrder,
        Self::DuplicateAck,
        Self::LostSegment,
        Self::AckLostSegment,
        Self::KeepAlive,
        Self::KeepAliveAck,
        Self::ZeroWindow,
        Self::ZeroWindowProbe,
        Self::ZeroWindowProbeAck,
        Self::WindowFull,
        Self::WindowUpdate,
        Self::ReusedPorts,
    ];

    /// Wireshark's name: the field is `tcp.analysis.` plus this.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retransmission => "retransmission",
            Self::FastRetransmission => "fast_retransmission",
            Self::SpuriousRetransmission => "spurious_retransmission",
            Self::OutOfOrder => "out_of_order",
            Self::DuplicateAck => "duplicate_ack",
            Self::LostSegment => "lost_segment",
            Self::AckLostSegment => "ack_lost_segment",
            Self::KeepAlive => "keep_alive",
            Self::KeepAliveAck => "keep_alive_ack",
            Self::ZeroWindow => "zero_window",
            Self::ZeroWindowProbe => "zero_window_probe",
            Self::ZeroWindowProbeAck => "zero_window_probe_ack",
            Self::WindowFull => "window_full",
            Self::WindowUpdate => "window_update",
            Self::ReusedPorts => "reused_ports",
        }
    }
}

/// A set of flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// Adds a flag.
    #[inline]
    pub const fn set(&mut self, flag: Flag) {
        self.0 |= 1 << flag as u8;
    }

    /// Adds these flags.
    #[inline]
    pub const fn add(&mut self, more: Self) {
        self.0 |= more.0;
    }

    /// Whether this flag is in the set.
    #[inline]
    #[must_use]
    pub const fn has(self, flag: Flag) -> bool {
        self.0 & 1 << flag as u8 != 0
    }

    /// Whether the set is empty.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the bytes were sent before, for any reason.
    #[must_use]
    pub const fn sent_again(self) -> bool {
        self.has(Flag::Retransmission)
            || self.has(Flag::FastRetransmission)
            || self.has(Flag::SpuriousRetransmission)
    }

    /// Each flag of the set.
    pub fn iter(self) -> impl Iterator<Item = Flag> {
        Flag::ALL.into_iter().filter(move |flag| self.has(*flag))
    }
}
