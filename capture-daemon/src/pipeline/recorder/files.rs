//! How the drain thread begins, fills and ends files. What needs a block and finds none free says
//! so and leaves everything as it was.

use std::{thread, time::Duration};

use pcap_file::PcapError;

use super::{
    super::{
        block::{Block, FileEnd, FileHead},
        copying::Copying,
        encode::{pcap, pcapng},
        lane::{self, LaneFile, UNDESCRIBED},
        tally::FailureKind,
    },
    Recorder,
    threads::DIED,
};
use capture_file::{manifest::EndReason, name};
use capture_types::LinkType;
use capture_types::{Compression, Format};

impl Recorder {
    /// The lane of an interface with this link type.
    pub(super) fn lane_for(&self, link_type: LinkType) -> usize {
        self.lanes
            .iter()
            .position(|lane| lane.link_type.is_none_or(|own| own == link_type))
            .unwrap_or(0)
    }

    /// Why the file cannot take a packet of `length` encoded bytes, if it cannot.
    pub(super) fn must_close(
        &mut self,
        index: usize,
        timestamp: u64,
        length: usize,
    ) -> Option<EndReason> {
        let packets = self.lanes[index].packets();
        let left = self.size_left(index);
        let lane = &mut self.lanes[index];
        let file = lane.file.as_mut()?;
        if file.closing.is_some() {
            file.closing
        } else if packets == 0 {
            // It has nothing to be kept apart from: it takes what comes.
            if timestamp >= file.boundary {
                file.boundary = lane::boundary(timestamp, &self.rotation);
                lane.boundary = file.boundary;
            }
            None
        } else if timestamp >= file.boundary {
            Some(EndReason::Interval)
        } else if left < length as u64 {
            Some(EndReason::Size)
        } else {
            None
        }
    }

    /// Bytes before compression that the file may still take.
    fn size_left(&mut self, index: usize) -> u64 {
        let ending = self.ending() as u64;
        let size = (self.streaming != Compression::None).then(|| &self.sizes[index]);
        match self.rotation.size {
            Some(limit) => self.lanes[index].size_left(limit, ending, size),
            None => u64::MAX,
        }
    }

    /// Most bytes that the end of a file takes.
    fn ending(&self) -> usize {
        match self.format {
            Format::Pcapng => pcapng::LONGEST_STATISTICS * self.interfaces.len(),
            Format::Pcap | Format::Text => 0,
        }
    }

    /// Begins the lane's file unless it has one.
    pub(super) fn ensure_file(&mut self, index: usize, opened: u64) -> bool {
        if self.lanes[index].file.is_some() {
            return true;
        }
        self.begin_file(index, opened, None)
    }

    /// Begins a file, which may have been made already.
    pub(super) fn begin_file(
        &mut self,
        index: usize,
        opened: u64,
        file: Option<std::fs::File>,
    ) -> bool {
        if self.threads.pool.count() == 0 {
            return false;
        }
        let sequence = self.next_file;
        let head = match self.format {
            Format::Pcapng => self.blocks.section(&self.name, sequence),
            Format::Pcap => {
                let link_type = self.lanes[index].link_type.unwrap_or(LinkType::Ethernet);
                pcap::file_header(link_type, self.snaplen)
            }
            // Nothing but lines, as many as packets.
            Format::Text => Ok(Vec::new()),
        };
        let Some(head) = self.encoded(head) else {
            return false;
        };
        self.next_file += 1;
        let lane = &mut self.lanes[index];
        let opening = LaneFile::new(sequence, opened, &self.rotation);
        lane.boundary = opening.boundary;
        lane.quota = self.rotation.packets.unwrap_or(u64::MAX).max(1);
        if self.format == Format::Pcapng {
            lane.numbers.fill(UNDESCRIBED);
        }
        lane.file = Some(opening);
        self.take_block(index);
        if let Some(block) = &mut self.lanes[index].block {
            block.open = Some(Box::new(FileHead {
                sequence,
                name: name::file_name(&self.name, opened, sequence, self.format, self.streaming),
                file,
            }));
        }
        self.append(index, &head);
        true
    }

    /// Ends the lane's file. Without a free block it stays marked, and is ended later.
    pub(super) fn close(&mut self, index: usize, reason: EndReason) -> bool {
        let Some(file) = &mut self.lanes[index].file else {
            return true;
        };
        file.closing = Some(reason);
        self.lanes[index].room = 0;
        if !self.describe_for_nobody(index) || !self.ensure_blocks(index, self.ending()) {
            return false;
        }
        let ledger = self.ledger();
        if self.format == Format::Pcapng && !self.append_statistics(index, &ledger) {
            return false;
        }
        let link_types = self.link_types(index);
        if let Some(block) = &mut self.lanes[index].block {
            block.close = Some(Box::new(FileEnd {
                reason,
                link_types,
                ledger,
            }));
        }
        self.seal(index, true);
        let lane = &mut self.lanes[index];
        lane.file = None;
        lane.boundary = u64::MAX;
        lane.quota = u64::MAX;
        true
    }

    /// Makes sure of a block, and of as many more as `length` bytes take beyond it.
    pub(super) fn ensure_blocks(&mut self, index: usize, length: usize) -> bool {
        if self.lanes[index].block.is_none() {
            if self.threads.pool.count() == 0 {
                return false;
            }
            self.take_block(index);
        }
        let room = self.block_room(index);
        if length <= room {
            return true;
        }
        if self.whole_blocks && self.lanes[index].fresh() > 0 {
            if self.threads.pool.count() < 1 + length.saturating_sub(1) / self.capacity {
                return false;
            }
            self.seal(index, false);
            self.take_block(index);
            return true;
        }
        self.threads.pool.count() >= (length - room).div_ceil(self.capacity)
    }

    fn block_room(&self, index: usize) -> usize {
        self.lanes[index]
            .block
            .as_ref()
            .map_or(0, |block| self.capacity - block.buffer.len())
    }

    /// Begins the lane's next block; callers made sure that one is free.
    fn take_block(&mut self, index: usize) {
        let Some(mut block) = self.threads.pool.take() else {
            return;
        };
        let lane = &mut self.lanes[index];
        block.lane = index;
        block.counts.resize(self.interfaces.len(), 0);
        if let Some(file) = &lane.file {
            block.start = file.position;
            block.overlap = block.buffer.fill(&file.tail);
        }
        lane.block = Some(block);
    }

    /// Appends what must not be torn apart: a packet, or something that stands once in a file.
    pub(super) fn append(&mut self, index: usize, mut bytes: &[u8]) {
        loop {
            let room = self.block_room(index);
            let Some(block) = &mut self.lanes[index].block else {
                return;
            };
            if bytes.len() <= room {
                block.buffer.fill(bytes);
                return;
            }
            // It ends in a later block: this one is whole only up to where it begins.
            block.whole = block.buffer.len();
            let (now, later) = bytes.split_at(room);
            block.buffer.fill(now);
            bytes = later;
            self.send(index);
            self.take_block(index);
        }
    }

    /// Passes the lane's block on, which ends with something whole.
    pub(super) fn seal(&mut self, index: usize, flush: bool) {
        if let Some(block) = &mut self.lanes[index].block {
            block.whole = block.buffer.len();
            block.flush = flush;
        }
        self.send(index);
    }

    fn send(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        let Some(mut block) = lane.block.take() else {
            return;
        };
        Copying::settle();
        lane.room = 0;
        lane.sealed = std::time::Instant::now();
        block.raw = block.buffer.len();
        block.sequence = self.next_block;
        self.next_block += 1;
        if let Some(file) = &mut lane.file {
            file.advance(&block, !self.whole_blocks);
        }
        for (interface, count) in self.interfaces.iter_mut().zip(&block.counts) {
            interface.sealed += count;
        }
        self.progress.enqueue();
        if let Err(block) = self.threads.send(block) {
            self.lose(&block);
        }
    }

    fn lose(&self, block: &Block) {
        self.tally.fail(FailureKind::WriteError, DIED.to_owned());
        self.tally.lost(&block.counts);
    }

    /// How much may be put into the lane's block without a further look.
    pub(super) fn measure_room(&mut self, index: usize) {
        let left = usize::try_from(self.size_left(index)).unwrap_or(usize::MAX);
        let room = self.block_room(index).min(left);
        let known = self.interfaces.len();
        let lane = &mut self.lanes[index];
        lane.room = match &lane.file {
            Some(file)
                if file.closing.is_none()
                    && (file.known == known || self.format != Format::Pcapng) =>
            {
                room
            }
            _ => 0,
        };
    }

    /// `pcap-file` writes into memory here; if it fails, the capture cannot go on.
    pub(super) fn encoded(&self, encoded: Result<Vec<u8>, PcapError>) -> Option<Vec<u8>> {
        encoded
            .map_err(|error| {
                let message = format!("cannot encode a file's head or statistics: {error}");
                self.tally.fail(FailureKind::WriteError, message);
            })
            .ok()
    }

    /// After a failure: what no writer takes any more is lost.
    pub(super) fn give_up(&mut self) {
        for lane in &mut self.lanes {
            lane.room = 0;
            lane.file = None;
            if let Some(block) = lane.block.take() {
                self.tally.lost(&block.counts);
            }
        }
    }

    /// Ends every file, waiting for blocks; a capture that saw nothing leaves one empty file.
    pub(super) fn end_files(&mut self) {
        if self.next_file == self.first_file {
            let link_type = self
                .interfaces
                .first()
                .map_or(LinkType::Ethernet, |first| first.description.link_type);
            let lane = self.lane_for(link_type);
            let now = self.now;
            self.insist(|recorder| recorder.ensure_file(lane, now));
        }
        for lane in 0..self.lanes.len() {
            self.insist(|recorder| recorder.close(lane, EndReason::End));
        }
        if self.tally.failed() {
            self.give_up();
        }
    }

    /// Tries until there is a block to do it with.
    fn insist(&mut self, mut attempt: impl FnMut(&mut Self) -> bool) {
        while !self.tally.failed() && self.threads.writer_lives() && !attempt(self) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}
