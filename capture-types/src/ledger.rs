//! The ledger: the outcome of every packet.
//!
//! ```text
//! seen      = filtered + matched
//! matched   = submitted + ring_full + unreadable + duplicate
//! submitted = written + discarded (queue_full, disk_full, write_error, stopped) + in flight
//! ```
//!
//! The first two lines are the kernel's counters, the third is the drain thread's. Packets in
//! flight are in the ring buffer and in the queue after it while the capture runs; there are none
//! when the capture has ended, and [`Ledger::check`] verifies that.

use std::{fmt, ops::AddAssign};

use serde::{Deserialize, Serialize};

/// A count: a number, or an `Option` of one where it may be unknown. "Unknown" is never 0: every sum
/// with an unknown count is unknown.
pub trait Count: Copy + Default + PartialEq {
    /// None, for certain.
    #[must_use]
    fn zero() -> Self;

    /// The sum, saturating at the maximum.
    #[must_use]
    fn plus(self, other: Self) -> Self;
}

impl Count for u64 {
    fn zero() -> Self {
        0
    }

    fn plus(self, other: Self) -> Self {
        self.saturating_add(other)
    }
}

impl Count for Option<u64> {
    fn zero() -> Self {
        Some(0)
    }

    fn plus(self, other: Self) -> Self {
        Some(self?.plus(other?))
    }
}

/// The ledger of one interface, or of several together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger<N = u64> {
    /// Packets that passed the program.
    pub seen: N,
    /// Packets that the filter did not match.
    pub filtered: N,
    /// Packets that the filter matched.
    pub matched: N,
    /// Packets copied into the ring buffer.
    pub submitted: N,
    /// Packets lost because the ring buffer had no room.
    pub ring_full: N,
    /// Packets lost because their bytes could not be read.
    pub unreadable: N,
    /// Packets that were recorded, or lost, at another place of their way through the host. Versions
    /// that did not count them had none.
    #[serde(
        default = "Count::zero",
        bound(deserialize = "N: Count + Deserialize<'de>")
    )]
    pub duplicate: N,
    /// Packets written to a file.
    pub written: N,
    /// Packets taken from the ring buffer and not written.
    pub discarded: Discarded<N>,
    /// Submitted packets that were captured shorter than they were.
    pub truncated: N,
}

/// A ledger of which some counts may be unknown, such as the kernel's after a crash.
pub type PartialLedger = Ledger<Option<u64>>;

/// Packets taken from the ring buffer and not written, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discarded<N = u64> {
    /// The writer was behind and no block was free.
    pub queue_full: N,
    /// The file system, or the capture's share of it, was full.
    pub disk_full: N,
    /// Writing failed otherwise.
    pub write_error: N,
    /// They came after the packet limit was reached, or after the capture was told to stop at once.
    pub stopped: N,
}

impl<N: Count> Discarded<N> {
    /// The sum of all reasons.
    #[must_use]
    pub fn total(&self) -> N {
        self.lost().plus(self.stopped)
    }

    /// Lost packets: all except those that came after the capture's own limit.
    fn lost(&self) -> N {
        let Self {
            queue_full,
            disk_full,
            write_error,
            stopped: _,
        } = *self;
        queue_full.plus(disk_full).plus(write_error)
    }
}

impl<N: Count> AddAssign for Discarded<N> {
    fn add_assign(&mut self, other: Self) {
        self.queue_full = self.queue_full.plus(other.queue_full);
        self.disk_full = self.disk_full.plus(other.disk_full);
        self.write_error = self.write_error.plus(other.write_error);
        self.stopped = self.stopped.plus(other.stopped);
    }
}

impl<N: Count> AddAssign for Ledger<N> {
    fn add_assign(&mut self, other: Self) {
        self.seen = self.seen.plus(other.seen);
        self.filtered = self.filtered.plus(other.filtered);
        self.matched = self.matched.plus(other.matched);
        self.submitted = self.submitted.plus(other.submitted);
        self.ring_full = self.ring_full.plus(other.ring_full);
        self.unreadable = self.unreadable.plus(other.unreadable);
        self.duplicate = self.duplicate.plus(other.duplicate);
        self.written = self.written.plus(other.written);
        self.discarded += other.discarded;
        self.truncated = self.truncated.plus(other.truncated);
    }
}

impl<N: Count> Ledger<N> {
    /// Packets that matched and are in no file, whatever the reason. Packets that came after the
    /// capture's own limit do not count as lost, nor do those that were seen at another place before.
    #[must_use]
    pub fn lost(&self) -> N {
        self.ring_full
            .plus(self.unreadable)
            .plus(self.discarded.lost())
    }
}

impl From<Discarded> for Discarded<Option<u64>> {
    fn from(known: Discarded) -> Self {
        Self {
            queue_full: Some(known.queue_full),
            disk_full: Some(known.disk_full),
            write_error: Some(known.write_error),
            stopped: Some(known.stopped),
        }
    }
}

impl From<Ledger> for PartialLedger {
    fn from(known: Ledger) -> Self {
        Self {
            seen: Some(known.seen),
            filtered: Some(known.filtered),
            matched: Some(known.matched),
            submitted: Some(known.submitted),
            ring_full: Some(known.ring_full),
            unreadable: Some(known.unreadable),
            duplicate: Some(known.duplicate),
            written: Some(known.written),
            discarded: known.discarded.into(),
            truncated: Some(known.truncated),
        }
    }
}

impl PartialLedger {
    /// The number of lost packets and the reasons: `3, ring full 2, disk full 1`, or `unknown`.
    #[must_use]
    pub fn lost_text(&self) -> String {
        let mut text = self
            .lost()
            .map_or_else(|| "unknown".to_owned(), |lost| lost.to_string());
        for (reason, lost) in [
            ("ring full", self.ring_full),
            ("unreadable", self.unreadable),
            ("queue full", self.discarded.queue_full),
            ("disk full", self.discarded.disk_full),
            ("write error", self.discarded.write_error),
        ] {
            if let Some(lost) = lost.filter(|lost| *lost > 0) {
                text.push_str(&format!(", {reason} {lost}"));
            }
        }
        text
    }
}

/// An explanation of packets counted as duplicate.
#[must_use]
pub fn duplicate_text(packets: u64) -> String {
    let packets = match packets {
        1 => "1 packet".to_owned(),
        more => format!("{more} packets"),
    };
    format!(
        "duplicate: {packets} had been seen at another interface before; each is recorded once, and none \
         of these is lost"
    )
}

/// An explanation of packets counted as stopped.
#[must_use]
pub fn stopped_text(packets: u64) -> String {
    let packets = match packets {
        1 => "1 packet".to_owned(),
        more => format!("{more} packets"),
    };
    format!(
        "stopped: {packets} matched after the capture's limit was reached or it was told to stop; not \
         written, and not lost"
    )
}

/// `seen=3 filtered=unknown ...`, as in the comment of a pcapng file's interface statistics.
impl fmt::Display for PartialLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let discarded = &self.discarded;
        let counts = [
            ("seen", self.seen),
            (" filtered", self.filtered),
            (" matched", self.matched),
            (" submitted", self.submitted),
            (" ring_full", self.ring_full),
            (" unreadable", self.unreadable),
            (" duplicate", self.duplicate),
            (" truncated", self.truncated),
            (" written", self.written),
            (" queue_full", discarded.queue_full),
            (" disk_full", discarded.disk_full),
            (" write_error", discarded.write_error),
            (" stopped", discarded.stopped),
        ];
        for (name, count) in counts {
            match count {
                Some(count) => write!(f, "{name}={count}")?,
                None => write!(f, "{name}=unknown")?,
            }
        }
        Ok(())
    }
}

/// A ledger that does not add up: packets were lost or counted twice without a record.
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
             matched {matched} = submitted {submitted} + ring_full {} + unreadable {} + \
             duplicate {}; submitted {submitted} = written {written} + discarded {}",
            self.0.ring_full,
            self.0.unreadable,
            self.0.duplicate,
            self.0.discarded.total(),
        )
    }
}

impl Ledger {
    /// Checks that the ledger of an ended capture adds up.
    ///
    /// # Errors
    /// The ledger, if it does not.
    pub const fn check(&self) -> Result<(), Imbalance> {
        let adds_up = self.seen == self.filtered + self.matched
            && self.matched == self.submitted + self.ring_full + self.unreadable + self.duplicate
            && self.submitted
                == self.written
                    + self.discarded.queue_full
                    + self.discarded.disk_full
                    + self.discarded.write_error
                    + self.discarded.stopped;
        if adds_up {
            Ok(())
        } else {
            Err(Imbalance(*self))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Discarded, Ledger, PartialLedger};

    #[test]
    fn a_packet_that_nobody_accounts_for_is_noticed() {
        let ledger = Ledger {
            seen: 13,
            filtered: 3,
            matched: 10,
            submitted: 5,
            ring_full: 1,
            unreadable: 1,
            duplicate: 3,
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
        assert!(Ledger { seen: 14, ..ledger }.check().is_err());
        assert!(
            Ledger {
                duplicate: 2,
                ..ledger
            }
            .check()
            .is_err()
        );
        let message = Ledger {
            ring_full: 0,
            ..ledger
        }
        .check()
        .unwrap_err()
        .to_string();
        assert!(message.contains("ring_full 0"), "{message}");
    }

    #[test]
    fn what_is_not_known_is_never_shown_as_zero() {
        let mut ledger = PartialLedger {
            ring_full: Some(2),
            unreadable: Some(0),
            discarded: Discarded {
                queue_full: Some(1),
                disk_full: Some(0),
                write_error: None,
                stopped: Some(9),
            },
            ..PartialLedger::default()
        };
        assert_eq!(ledger.lost_text(), "unknown, ring full 2, queue full 1");
        ledger.discarded.write_error = Some(0);
        assert_eq!(ledger.lost(), Some(3), "what a limit cut off is not lost");
        assert_eq!(ledger.lost_text(), "3, ring full 2, queue full 1");
    }

    #[test]
    fn what_is_not_known_of_one_interface_is_not_known_of_all() {
        let mut sum = PartialLedger::from(Ledger {
            seen: 2,
            ring_full: 1,
            ..Ledger::default()
        });
        assert_eq!(sum.lost(), Some(1));
        sum += PartialLedger {
            seen: Some(3),
            ..PartialLedger::default()
        };
        assert_eq!((sum.seen, sum.ring_full, sum.lost()), (Some(5), None, None));
    }
}
