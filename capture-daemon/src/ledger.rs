//! The ledger: what became of every packet.
//!
//! ```text
//! seen      = filtered + matched
//! matched   = submitted + ring_full + unreadable
//! submitted = written + discarded (queue_full, disk_full, write_error, stopped) + in flight
//! ```
//!
//! The first two lines are the kernel's ([`capture_common::Counters`]), the third is the drain
//! thread's. In flight is what stands in the ring buffer and in the queue behind it while the
//! capture runs; it is 0 when the capture has ended, and [`Ledger::check`] says so.

use serde::{Deserialize, Serialize};

/// The ledger of one interface, or of several together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Packets that passed the program.
    pub seen: u64,
    /// Packets that the filter did not match.
    pub filtered: u64,
    /// Packets that the filter matched.
    pub matched: u64,
    /// Packets copied into the ring buffer.
    pub submitted: u64,
    /// Packets lost because the ring buffer had no room.
    pub ring_full: u64,
    /// Packets lost because their bytes could not be read.
    pub unreadable: u64,
    /// Packets written to a file.
    pub written: u64,
    /// Packets taken from the ring buffer and not written.
    pub discarded: Discarded,
    /// Of the submitted: packets captured shorter than they were.
    pub truncated: u64,
}

/// Packets taken from the ring buffer and not written, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discarded {
    /// The writer was behind and every block was taken.
    pub queue_full: u64,
    /// The file system, or the capture's share of it, was full.
    pub disk_full: u64,
    /// Writing failed otherwise.
    pub write_error: u64,
    /// They came after the packet limit had been reached, or after the capture was told to stop at once.
    pub stopped: u64,
}

impl Discarded {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.queue_full + self.disk_full + self.write_error + self.stopped
    }
}
