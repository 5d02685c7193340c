//! The ledger: what became of every packet.
//!
//! ```text
//! seen      = filtered + matched
//! matched   = submitted + ring_full + unreadable
//! submitted = written + discarded (queue_full, disk_full, write_error, stopped) + in flight
//! ```
//!
//! The first two lines are the kernel's (its counters), the third is the drain
//! thread's. In flight is what stands in the ring buffer and in the queue behind it while the
//! capture runs; it is 0 when the capture has ended, and [`Ledger::check`] says so.

use std::{fmt, ops::AddAssign};

use serde::{Deserialize, Serialize};

/// The ledger of one interface, or of several together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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

impl AddAssign for Discarded {
    fn add_assign(&mut self, other: Self) {
        self.queue_full += other.queue_full;
        self.disk_full += other.disk_full;
        self.write_error += other.write_error;
        self.stopped += other.stopped;
    }
}

impl AddAssign for Ledger {
    fn add_assign(&mut self, other: Self) {
        self.seen += other.seen;
        self.filtered += other.filtered;
        self.matched += other.matched;
        self.submitted += other.submitted;
        self.ring_full += other.ring_full;
        self.unreadable += other.unreadable;
        self.written += other.written;
        self.discarded += other.discarded;
        self.truncated += other.truncated;
    }
}

/// A ledger does not add up: packets were lost, or counted twice, without anybody noticing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct Imbalance(Ledger);

impl fmt::Display for Imbalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ledger {
            seen,
            filtered,
            matched,
            submitted,
            written,
            ..
        } = self.0;
        write!(
            f,
            "the ledger does not add up: seen {seen} = filtered {filtered} + matched {matched}; \
             matched {matched} = submitted {submitted} + ring_full {} + unreadable {}; submitted \
             {submitted} = written {written} + discarded {}",
            self.0.ring_full,
            self.0.unreadable,
            self.0.discarded.total(),
        )
    }
}

impl Ledger {
    /// Whether the ledger of a capture that has ended adds up.
    pub const fn check(&self) -> Result<(), Imbalance> {
        let adds_up = self.seen == self.filtered + self.matched
            && self.matched == self.submitted + self.ring_full + self.unreadable
            && self.submitted == self.written + self.discarded.total();
        if adds_up {
            Ok(())
        } else {
            Err(Imbalance(*self))
        }
    }

    /// Packets that matched and are in no file, whatever the reason: what a person means by lost.
    /// Those that came after the capture's own limit are not lost.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.ring_full + self.unreadable + self.discarded.total() - self.discarded.stopped
    }
}

#[cfg(test)]
mod tests {
    use super::{Discarded, Ledger};

    #[test]
    fn a_packet_that_nobody_accounts_for_is_noticed() {
        let ledger = Ledger {
            seen: 10,
            filtered: 3,
            matched: 7,
            submitted: 5,
            ring_full: 1,
            unreadable: 1,
            written: 4,
            discarded: Discarded {
                stopped: 1,
                ..Discarded::default()
            },
            truncated: 2,
        };
        assert!(ledger.check().is_ok());
        assert_eq!(ledger.lost(), 2);
        assert!(
            Ledger {
                written: 3,
                ..ledger
            }
            .check()
            .is_err()
        );
        assert!(Ledger { seen: 11, ..ledger }.check().is_err());
        let message = Ledger {
            ring_full: 0,
            ..ledger
        }
        .check()
        .unwrap_err()
        .to_string();
        assert!(message.contains("ring_full 0"), "{message}");
    }
}
