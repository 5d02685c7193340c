//! The ledger: what became of every packet. `None` (null in JSON) is "not known", never 0.

use serde::Serialize;

/// `seen = filtered + matched`, `matched = submitted + ring_full + unreadable`,
/// `submitted = written + discarded + in flight`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Packets that passed the program.
    pub seen: Option<u64>,
    /// Packets that the filter did not match.
    pub filtered: Option<u64>,
    /// Packets that the filter matched.
    pub matched: Option<u64>,
    /// Packets copied into the ring buffer.
    pub submitted: Option<u64>,
    /// Packets lost because the ring buffer had no room.
    pub ring_full: Option<u64>,
    /// Packets lost because their bytes could not be read.
    pub unreadable: Option<u64>,
    /// Packets written.
    pub written: Option<u64>,
    /// Packets taken from the ring buffer and not written.
    pub discarded: Discarded,
    /// Packets captured shorter than they were.
    pub truncated: Option<u64>,
}

/// Packets taken from the ring buffer and not written, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Discarded {
    /// The writer was behind.
    pub queue_full: Option<u64>,
    /// The disk was full.
    pub disk_full: Option<u64>,
    /// Writing failed.
    pub write_error: Option<u64>,
    /// The capture's own limit had been reached: not lost.
    pub stopped: Option<u64>,
}

/// The ledger of one interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InterfaceLedger {
    /// The interface's name when it joined.
    pub interface: String,
    /// Its index when it joined.
    pub ifindex: u32,
    /// The number of its link type.
    pub link_type: u32,
    /// What became of its packets.
    pub ledger: Ledger,
}

impl Ledger {
    /// Reasons for a loss, with their counts.
    fn losses(&self) -> [(&'static str, Option<u64>); 5] {
        [
            ("ring full", self.ring_full),
            ("unreadable", self.unreadable),
            ("queue full", self.discarded.queue_full),
            ("disk full", self.discarded.disk_full),
            ("write error", self.discarded.write_error),
        ]
    }

    /// Packets that matched and are not in the files; `None` if any part of it is not known.
    #[must_use]
    pub fn lost(&self) -> Option<u64> {
        self.losses()
            .into_iter()
            .try_fold(0_u64, |sum, (_, lost)| Some(sum.saturating_add(lost?)))
    }

    /// How many were lost, and to what.
    #[must_use]
    pub fn lost_text(&self) -> String {
        let mut text = count(self.lost());
        for (reason, lost) in self.losses() {
            if let Some(lost) = lost.filter(|lost| *lost > 0) {
                text.push_str(&format!(", {reason} {lost}"));
            }
        }
        text
    }
}

/// A count for a person.
#[must_use]
pub(super) fn count(number: Option<u64>) -> String {
    number.map_or_else(|| "unknown".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_never_shown_as_zero() {
        let mut ledger = Ledger {
            ring_full: Some(2),
            unreadable: Some(0),
            discarded: Discarded {
                queue_full: Some(1),
                disk_full: Some(0),
                write_error: None,
                stopped: Some(9),
            },
            ..Ledger::default()
        };
        assert_eq!(ledger.lost(), None);
        assert_eq!(ledger.lost_text(), "unknown, ring full 2, queue full 1");
        ledger.discarded.write_error = Some(0);
        assert_eq!(ledger.lost(), Some(3), "what a limit cut off is not lost");
        let json = serde_json::to_value(&ledger).unwrap();
        assert!(json["seen"].is_null());
        assert_eq!(json["discarded"]["stopped"], 9);
    }
}
