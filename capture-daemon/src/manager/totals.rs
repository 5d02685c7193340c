//! The totals of a capture, and how they are settled after its daemon has died.

use serde::{Deserialize, Serialize};

use capture_file::FileTotals;
use capture_session::InterfaceReport;
use capture_types::{Ledger, LinkType};

/// The totals of a capture over all its sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// All interfaces together.
    pub total: Ledger,
    /// Each interface, in the order in which they joined.
    pub interfaces: Vec<InterfaceReport>,
    /// Bytes written to files.
    pub bytes: u64,
    /// Finished capture files.
    pub files: u64,
}

impl Totals {
    /// The sum of these totals and those of a later session.
    #[must_use]
    pub fn and(&self, later: &Self) -> Self {
        let mut sum = self.clone();
        sum.total += later.total;
        sum.interfaces.extend(later.interfaces.iter().cloned());
        sum.bytes += later.bytes;
        sum.files += later.files;
        sum
    }

    /// The written packets, bytes and files.
    #[must_use]
    pub const fn written(&self) -> FileTotals {
        FileTotals {
            files: self.files,
            packets: self.total.written,
            bytes: self.bytes,
        }
    }

    /// Adjusts the last totals before a crash to the content of the files. Packets that were on
    /// their way when the totals were saved count as written as far as the files contain more than
    /// the totals say; the others are lost. Any further packets in the files were seen after the
    /// save.
    pub fn settle(&mut self, held: FileTotals) -> Settled {
        let found = held.packets.saturating_sub(self.total.written);
        self.bytes = self.bytes.max(held.bytes);
        self.files = self.files.max(held.files);
        let mut left = found;
        let mut lost = 0;
        for interface in &mut self.interfaces {
            let ledger = &mut interface.ledger;
            let waiting = ledger
                .submitted
                .saturating_sub(ledger.written + ledger.discarded.total());
            let arrived = waiting.min(left);
            left -= arrived;
            lost += waiting - arrived;
            ledger.written += arrived;
            ledger.discarded.write_error += waiting - arrived;
        }
        if left > 0 {
            let since = Ledger {
                seen: left,
                matched: left,
                submitted: left,
                written: left,
                ..Ledger::default()
            };
            match self.interfaces.as_mut_slice() {
                [one] => one.ledger += since,
                several => {
                    let first = several.first();
                    let link_type = first.map_or(LinkType::Ethernet, |first| first.link_type);
                    self.interfaces.push(InterfaceReport {
                        name: "unknown".to_owned(),
                        ifindex: 0,
                        link_type,
                        ledger: since,
                    });
                }
            }
        }
        self.total = Ledger::default();
        for interface in &self.interfaces {
            self.total += interface.ledger;
        }
        Settled { found, lost }
    }
}

/// The result of settling the totals of a capture that died.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    /// Packets in files that the totals did not include.
    pub found: u64,
    /// Packets that were on their way and are in no file.
    pub lost: u64,
}

#[cfg(test)]
mod tests {
    use super::{FileTotals, InterfaceReport, Ledger, LinkType, Settled, Totals};

    fn interface(name: &str, submitted: u64, written: u64) -> InterfaceReport {
        InterfaceReport {
            name: name.to_owned(),
            ifindex: 2,
            link_type: LinkType::Ethernet,
            ledger: Ledger {
                seen: submitted + 5,
                filtered: 3,
                matched: submitted + 2,
                submitted,
                ring_full: 2,
                written,
                ..Ledger::default()
            },
        }
    }

    fn totals(interfaces: Vec<InterfaceReport>) -> Totals {
        let mut totals = Totals {
            interfaces,
            ..Totals::default()
        };
        for interface in &totals.interfaces {
            totals.total += interface.ledger;
        }
        totals
    }

    fn held(packets: u64) -> FileTotals {
        FileTotals {
            files: 2,
            packets,
            bytes: packets * 100,
        }
    }

    #[test]
    fn the_ledger_of_a_capture_that_died_says_what_its_files_hold_and_adds_up() {
        // Submitted and written at the checkpoint, packets in files; found, lost.
        for (interfaces, files, found, lost) in [
            (vec![("a", 100, 80)], 80, 0, 20),
            (vec![("a", 100, 80)], 90, 10, 10),
            (vec![("a", 100, 80)], 100, 20, 0),
            (vec![("a", 100, 80)], 150, 70, 0),
            (vec![("a", 100, 80), ("b", 50, 50)], 140, 10, 10),
            (vec![("a", 100, 80), ("b", 50, 40)], 200, 80, 0),
            (vec![("a", 100, 100)], 100, 0, 0),
            // Somebody has removed files.
            (vec![("a", 100, 100)], 10, 0, 0),
            (vec![], 7, 7, 0),
        ] {
            let interfaces = interfaces.iter();
            let interfaces =
                interfaces.map(|(name, submitted, written)| interface(name, *submitted, *written));
            let mut totals = totals(interfaces.collect());
            let before = totals.clone();
            assert_eq!(totals.settle(held(files)), Settled { found, lost });
            totals.total.check().expect("it adds up");
            for interface in &totals.interfaces {
                interface.ledger.check().expect("each adds up");
            }
            assert_eq!(totals.total.written, before.total.written.max(files));
            assert_eq!(totals.total.ring_full, before.total.ring_full);
            assert!(totals.total.seen >= before.total.seen);
            assert_eq!(totals.total.discarded.write_error, lost);
            assert_eq!((totals.files, totals.bytes), (2, files * 100));
            let settled = totals.clone();
            totals.settle(held(files));
            assert_eq!(totals, settled, "once is enough");
        }
    }
}
