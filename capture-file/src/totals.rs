//! What files hold, and what a recorder found when it began: from both follows what it has added, also
//! when it died.

use serde::{Deserialize, Serialize};

/// Files, and what is in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileTotals {
    /// How many.
    pub files: u64,
    /// Packets in them.
    pub packets: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// What stood in a capture's directory when a recorder began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// The highest sequence number that a file had.
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

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            files: self.files + other.files,
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
        }
    }

    /// What is left without the other.
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
    /// What was added, of which `added` is still there; `left` is what is still there of what stood
    /// there before, and `removed` what retention has removed by now. Files that were removed by hand
    /// are not known.
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
        // It wrote 6 files: 4 are there, and with the 3 of before, 2 of its own were removed.
        assert_eq!(begun.added(held(4), held(0), held(9)), held(6));
        // Only old ones were removed.
        assert_eq!(begun.added(held(2), held(1), held(6)), held(2));
        // Somebody removed old ones by hand.
        assert_eq!(begun.added(held(2), held(1), held(4)), held(2));
    }
}
