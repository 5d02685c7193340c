//! Totals of files, and the baseline of a recorder: their difference is what the recorder has added,
//! even if it died.

use serde::{Deserialize, Serialize};

/// A number of files, and their content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileTotals {
    /// Their number.
    pub files: u64,
    /// Packets in them.
    pub packets: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// The content of a capture's directory when a recorder began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// The highest sequence number so far.
    pub sequence: u64,
    /// The files.
    pub there: FileTotals,
    /// What retention had removed.
    pub removed: FileTotals,
}

impl FileTotals {
    /// Adds a file.
    pub fn add(&mut self, packets: u64, bytes: u64) {
        self.files += 1;
        self.packets += packets;
        self.bytes += bytes;
    }

    /// The sum of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            files: self.files + other.files,
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
        }
    }

    /// The difference.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self {
            files: self.files.saturating_sub(other.files),
            packets: self.packets.saturating_sub(other.packets),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

impl Baseline {
    /// What was added: `added` of it still exists; `left` is what still exists of the baseline, and
    /// `removed` what retention has removed by now. Files that were removed by hand are unknown.
    #[must_use]
    pub const fn added(
        &self,
        added: FileTotals,
        left: FileTotals,
        removed: FileTotals,
    ) -> FileTotals {
        let of_before = self.there.without(left);
        added.and(removed.without(self.removed).without(of_before))
    }
}

#[cfg(test)]
mod tests {
    use super::{Baseline, FileTotals};

    fn held(files: u64) -> FileTotals {
        FileTotals {
            files,
            packets: files * 10,
            bytes: files * 1000,
        }
    }

    #[test]
    fn what_retention_removed_counts_for_whoever_wrote_it() {
        let begun = Baseline {
            sequence: 7,
            there: held(3),
            removed: held(4),
        };
        // It wrote 6 files: 4 exist, and besides the 3 old ones 2 of its own were removed.
        assert_eq!(begun.added(held(4), held(0), held(9)), held(6));
        // Only old ones were removed.
        assert_eq!(begun.added(held(2), held(1), held(6)), held(2));
        // Somebody removed old ones by hand.
        assert_eq!(begun.added(held(2), held(1), held(4)), held(2));
    }
}
