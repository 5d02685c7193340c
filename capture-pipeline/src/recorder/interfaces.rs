//! Interfaces in files: their descriptions and their statistics.
//!
//! A pcapng file describes, before its first packet, every interface of its link type, in the order of their
//! numbers. Packets of another link type go into a file of their own, because libpcap, and with it tcpdump,
//! reads a file only up to the first interface of a second link type. A stream to stdout is one file: there,
//! an interface of another link type is described when a packet of it comes.

use super::{
    super::{output::UNDESCRIBED, packet::InterfaceId},
    Recorder,
};
use capture_file::manifest::InterfaceLedger;
use capture_kernel::counters;
use capture_types::Format;
use capture_types::LinkType;
use capture_types::PartialLedger;

impl Recorder {
    /// Ensures that the output's file contains the descriptions needed before a packet of this
    /// interface; `false` if no block is free.
    pub(super) fn describe_for(&mut self, index: usize, id: usize) -> bool {
        if self.format != Format::Pcapng {
            return true;
        }
        let link_type = self.interfaces[id].description.link_type;
        if let Some(file) = &mut self.outputs[index].file {
            file.main.get_or_insert(link_type);
        }
        self.describe_main(index)
            && (self.outputs[index].numbers[id] != UNDESCRIBED || self.describe(index, id))
            && self.name_addresses(index)
    }

    /// The same at the end of a file, which may have no packet.
    pub(super) fn describe_for_nobody(&mut self, index: usize) -> bool {
        if self.format != Format::Pcapng {
            return true;
        }
        let mut link_types = self
            .interfaces
            .iter()
            .map(|interface| interface.description.link_type);
        let usual = if let Some(own) = self.outputs[index].link_type {
            Some(own)
        } else if link_types.clone().any(|own| own == LinkType::Ethernet) {
            Some(LinkType::Ethernet)
        } else {
            link_types.next()
        };
        if let Some(file) = &mut self.outputs[index].file {
            file.main = file.main.or(usual);
        }
        self.describe_main(index) && self.name_addresses(index)
    }

    /// Writes the names of addresses that the output's file does not have yet; `false` if no block is
    /// free.
    pub(super) fn name_addresses(&mut self, index: usize) -> bool {
        /// Names in one block, which takes at most 34 KB with names of pods.
        const NAMES: usize = 100;
        while let Some(file) = &self.outputs[index].file
            && file.named < self.names.changes()
        {
            let mut new = self.names.since(file.named);
            new.truncate(NAMES);
            let Some((last, ..)) = new.last() else {
                // The names added last may have been removed again.
                if let Some(file) = &mut self.outputs[index].file {
                    file.named = self.names.changes();
                }
                return true;
            };
            let last = *last;
            let named = new.iter().map(|(_, address, name)| (*address, *name));
            let block = self.blocks[index].names(named);
            let Some(block) = self.encoded(block) else {
                return false;
            };
            if !self.ensure_blocks(index, block.len()) {
                return false;
            }
            self.append(index, &block);
            if let Some(file) = &mut self.outputs[index].file {
                file.named = last;
            }
        }
        true
    }

    /// Describes the interfaces of the file's first link type that it does not describe yet.
    pub(super) fn describe_main(&mut self, index: usize) -> bool {
        while let Some(file) = &mut self.outputs[index].file
            && let Some(main) = file.main
            && let Some(interface) = self.interfaces.get(file.known)
        {
            let id = file.known;
            let belongs = interface.description.link_type == main && !interface.counts_written;
            if belongs && !self.describe(index, id) {
                return false;
            }
            if let Some(file) = &mut self.outputs[index].file {
                file.known = id + 1;
            }
        }
        true
    }

    fn describe(&mut self, index: usize, id: usize) -> bool {
        // An option has at most 64 KiB; a description has four long ones.
        const LONGEST: usize = 4 << 16;
        if !self.ensure_blocks(index, LONGEST) {
            return false;
        }
        if self.interfaces[id].counts_written {
            // A packet of it came late, and so its counts come again.
            self.interfaces[id].counts_written = false;
            self.untold += 1;
        }
        let description = self.blocks[index].interface(&self.interfaces[id].description);
        let Some(description) = self.encoded(description) else {
            return false;
        };
        self.append(index, &description);
        let output = &mut self.outputs[index];
        if let Some(file) = &mut output.file {
            output.numbers[id] = file.described;
            file.described += 1;
        }
        true
    }

    /// Appends the statistics of each interface that the file describes; the caller has checked
    /// that the blocks are free.
    pub(super) fn append_statistics(&mut self, index: usize, ledger: &[InterfaceLedger]) -> bool {
        for (id, interface) in ledger.iter().enumerate() {
            let number = self.outputs[index].numbers[id];
            if number == UNDESCRIBED {
                continue;
            }
            let statistics =
                self.blocks[index].statistics(number, &interface.ledger, self.started, self.now);
            let Some(statistics) = self.encoded(statistics) else {
                return false;
            };
            self.append(index, &statistics);
            if self.interfaces[id].gone {
                self.interfaces[id].counts_written = true;
                self.untold -= 1;
            }
        }
        true
    }

    /// The link types of the interfaces that the output's file describes.
    pub(super) fn link_types(&self, index: usize) -> Vec<u16> {
        let output = &self.outputs[index];
        if let Some(link_type) = output.link_type {
            return vec![link_type.number()];
        }
        let mut numbers: Vec<u16> = self
            .interfaces
            .iter()
            .zip(&output.numbers)
            .filter(|(_, number)| **number != UNDESCRIBED)
            .map(|(interface, _)| interface.description.link_type.number())
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// The ledger of each interface, as it will be when everything in blocks is written.
    pub(super) fn ledger(&mut self) -> Vec<InterfaceLedger> {
        (0..self.interfaces.len())
            .map(|index| {
                let id = InterfaceId(index as u32);
                let (_, discarded) = self.written(id);
                let waiting: u64 = self
                    .outputs
                    .iter()
                    .filter_map(|output| output.block.as_ref()?.counts.get(index))
                    .sum();
                let interface = &self.interfaces[index];
                InterfaceLedger {
                    interface: id.0,
                    name: interface.description.name.clone(),
                    ledger: PartialLedger {
                        written: Some(interface.sealed + waiting),
                        discarded: discarded.into(),
                        ..(self.statistics)(id).map_or_else(PartialLedger::default, |counters| {
                            counters::ledger(counters).into()
                        })
                    },
                }
            })
            .collect()
    }
}
