//! What a segment can be.

/// Something a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Flag {
    /// Sent again.
    Retransmission,
    /// Sent again soon after duplicate ACKs asked for it.
    FastRetransmission,
    /// Sent again although it had been acknowledged.
    SpuriousRetransmission,
    /// Later than what follows it, and not sent twice.
    OutOfOrder,
    /// Acknowledges the same byte again.
    DuplicateAck,
    /// What comes before it is not in the capture.
    LostSegment,
    /// Acknowledges what is not in the capture.
    AckLostSegment,
    /// Asks whether the other side is still there.
    KeepAlive,
    /// Answers that.
    KeepAliveAck,
    /// The sender takes no more data.
    ZeroWindow,
    /// Asks whether the window is open again.
    ZeroWindowProbe,
    /// Answers that.
    ZeroWindowProbeAck,
    /// Fills the receiver's window to the last byte.
    WindowFull,
    /// Only tells a new window.
    WindowUpdate,
    /// Opens a connection between ports that had one.
    ReusedPorts,
}

impl Flag {
    /// All of them.
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

    /// Wireshark's word: the field is `tcp.analysis.` and this.
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

/// Some of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// None.
    pub const NONE: Self = Self(0);

    /// One more.
    #[inline]
    pub const fn set(&mut self, flag: Flag) {
        self.0 |= 1 << flag as u8;
    }

    /// These too.
    #[inline]
    pub const fn add(&mut self, more: Self) {
        self.0 |= more.0;
    }

    /// Whether this one is among them.
    #[inline]
    #[must_use]
    pub const fn has(self, flag: Flag) -> bool {
        self.0 & 1 << flag as u8 != 0
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the bytes were sent before, for whatever reason.
    #[must_use]
    pub const fn sent_again(self) -> bool {
        self.has(Flag::Retransmission)
            || self.has(Flag::FastRetransmission)
            || self.has(Flag::SpuriousRetransmission)
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Flag> {
        Flag::ALL.into_iter().filter(move |flag| self.has(*flag))
    }
}
