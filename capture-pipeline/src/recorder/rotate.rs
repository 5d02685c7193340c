//! Rotation: when a file ends, and how.

use super::{
    super::{block::FileEnd, encode::pcapng, output},
    FLUSH_AFTER, Recorder,
};
use capture_file::manifest::FileEndReason;
use capture_types::{Compression, Format};

impl Recorder {
    /// Why the file cannot take a packet of `length` encoded bytes, if it cannot.
    pub(super) fn must_close(
        &mut self,
        index: usize,
        timestamp: u64,
        length: usize,
    ) -> Option<FileEndReason> {
        let packets = self.outputs[index].packets();
        let left = self.size_left(index);
        let output = &mut self.outputs[index];
        let file = output.file.as_mut()?;
        if file.closing.is_some() {
            file.closing
        } else if packets == 0 {
            // The file is still empty: it takes packets of any time.
            if timestamp >= file.boundary {
                file.boundary = output::boundary(timestamp, &self.rotation);
                output.boundary = file.boundary;
            }
            None
        } else if timestamp >= file.boundary {
            Some(FileEndReason::Interval)
        } else if left < length as u64 {
            Some(FileEndReason::Size)
        } else {
            None
        }
    }

    /// Finishes the files that have packets; the next packets begin new ones.
    pub fn finish_file(&mut self) {
        for index in 0..self.outputs.len() {
            let packets = self.outputs[index].packets();
            let Some(file) = &mut self.outputs[index].file else {
                continue;
            };
            if packets > 0 {
                // If no block is free the file stays marked, and a tick ends it.
                let reason = *file.closing.get_or_insert(FileEndReason::Requested);
                self.close(index, reason);
            }
        }
    }

    /// Bytes before compression that the file may still take.
    pub(super) fn size_left(&mut self, index: usize) -> u64 {
        let ending = self.ending() as u64;
        let size = (self.streaming != Compression::None).then(|| &self.sizes[index]);
        match self.rotation.size {
            Some(limit) => self.outputs[index].size_left(limit, ending, size),
            None => u64::MAX,
        }
    }

    /// Upper bound of the bytes at the end of a file.
    pub(super) fn ending(&self) -> usize {
        match self.format {
            Format::Pcapng => pcapng::LONGEST_STATISTICS * self.untold,
            Format::Pcap | Format::Text => 0,
        }
    }

    /// Ends the output's file. If no block is free, the file stays marked and is ended later.
    pub(super) fn close(&mut self, index: usize, reason: FileEndReason) -> bool {
        let Some(file) = &mut self.outputs[index].file else {
            return true;
        };
        file.closing = Some(reason);
        self.outputs[index].room = 0;
        if !self.describe_for_nobody(index) || !self.ensure_blocks(index, self.ending()) {
            return false;
        }
        let ledger = self.ledger();
        if self.format == Format::Pcapng && !self.append_statistics(index, &ledger) {
            return false;
        }
        let link_types = self.link_types(index);
        if let Some(block) = &mut self.outputs[index].block {
            block.close = Some(Box::new(FileEnd {
                reason,
                link_types,
                ledger,
            }));
        }
        self.seal(index, true);
        let output = &mut self.outputs[index];
        output.file = None;
        output.boundary = u64::MAX;
        output.quota = u64::MAX;
        true
    }

    /// Rotates on the clock, and passes on blocks that have waited long enough.
    pub(super) fn tick_output(&mut self, index: usize) {
        let output = &mut self.outputs[index];
        let packets = output.packets();
        let Some(file) = &mut output.file else {
            return;
        };
        if packets == 0 {
            file.boundary = output::boundary(self.now, &self.rotation);
            output.boundary = file.boundary;
        } else if file.closing.is_none() && file.interval_is_over(self.now, &self.rotation) {
            file.closing = Some(FileEndReason::Interval);
        }
        if let Some(reason) = file.closing {
            self.close(index, reason);
        } else {
            if self.describe_main(index) && self.outputs[index].describes() {
                self.name_addresses(index);
            }
            let output = &self.outputs[index];
            if output.fresh() > 0
                && output.sealed.elapsed() >= FLUSH_AFTER
                && self.threads.pool.count() > 0
            {
                self.seal(index, true);
            }
            self.measure_room(index);
        }
    }
}
