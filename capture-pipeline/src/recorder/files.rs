//! How the drain thread begins, fills and ends files. A function that needs a block and finds none
//! free returns `false` and changes nothing.

use std::{thread, time::Duration};

use pcap_file::PcapError;

use super::{
    super::{
        block::{Block, Described, FileHead},
        copying::Copying,
        encode::pcap,
        outcome::FailureKind,
        output::{CurrentFile, UNDESCRIBED},
    },
    Recorder,
    threads::DIED,
};
use capture_file::manifest::FileEndReason;
use capture_types::Format;
use capture_types::LinkType;

impl Recorder {
    /// The output of interfaces with this link type. Where each link type has its own output, one that has
    /// none yet becomes that of this link type.
    pub(super) fn output_for(&mut self, link_type: LinkType) -> usize {
        let several = self.outputs.len() > 1;
        let found = self
            .outputs
            .iter_mut()
            .enumerate()
            .find(|(_, output)| output.link_type.is_none_or(|own| own == link_type));
        let Some((index, output)) = found else {
            return 0;
        };
        if several {
            output.link_type = Some(link_type);
        }
        index
    }

    /// Begins the output's file unless it has one.
    pub(super) fn ensure_file(&mut self, index: usize, opened: u64) -> bool {
        if self.outputs[index].file.is_some() {
            return true;
        }
        self.begin_file(index, opened, None)
    }

    /// Begins a file, which may have been created already.
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
            Format::Pcapng => self.blocks[index].section(&self.name, sequence),
            Format::Pcap => {
                let link_type = self.outputs[index].link_type.unwrap_or(LinkType::Ethernet);
                pcap::file_header(link_type, self.snaplen)
            }
            // Text files contain only lines, one for each packet.
            Format::Text => Ok(Vec::new()),
        };
        let Some(head) = self.encoded(head) else {
            return false;
        };
        self.next_file += 1;
        let output = &mut self.outputs[index];
        let opening = CurrentFile::new(sequence, opened, &self.rotation);
        output.boundary = opening.boundary;
        output.quota = self.rotation.packets.unwrap_or(u64::MAX).max(1);
        if self.format == Format::Pcapng {
            output.numbers.fill(UNDESCRIBED);
        }
        output.file = Some(opening);
        self.take_block(index);
        if let Some(block) = &mut self.outputs[index].block {
            block.open = Some(Box::new(FileHead {
                sequence,
                name: self
                    .naming
                    .file_name(opened, sequence, self.format, self.streaming),
                file,
            }));
        }
        self.append(index, &head);
        true
    }

    /// Ensures that a block is open, and that the pool has as many more as `length` bytes need
    /// beyond it.
    pub(super) fn ensure_blocks(&mut self, index: usize, length: usize) -> bool {
        if self.outputs[index].block.is_none() {
            if self.threads.pool.count() == 0 {
                return false;
            }
            self.take_block(index);
        }
        let room = self.block_room(index);
        if length <= room {
            return true;
        }
        if self.whole_blocks && self.outputs[index].fresh() > 0 {
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
        self.outputs[index]
            .block
            .as_ref()
            .map_or(0, |block| self.capacity - block.buffer.len())
    }

    /// Begins the output's next block; the caller has checked that one is free.
    fn take_block(&mut self, index: usize) {
        let Some(mut block) = self.threads.pool.take() else {
            return;
        };
        let output = &mut self.outputs[index];
        block.output = index;
        block.counts.resize(self.interfaces.len(), 0);
        if let Some(file) = &output.file {
            block.start = file.position;
            block.overlap = block.buffer.fill(&file.tail);
        }
        output.block = Some(block);
    }

    /// Appends bytes that must not be split by the end of a file: a packet, or a block that occurs
    /// once.
    pub(super) fn append(&mut self, index: usize, mut bytes: &[u8]) {
        loop {
            let room = self.block_room(index);
            let Some(block) = &mut self.outputs[index].block else {
                return;
            };
            if bytes.len() <= room {
                block.buffer.fill(bytes);
                return;
            }
            // The bytes end in a later block: this one is whole only up to where they begin.
            block.whole = block.buffer.len();
            let (now, later) = bytes.split_at(room);
            block.buffer.fill(now);
            bytes = later;
            self.send(index);
            self.take_block(index);
        }
    }

    /// Passes on the output's block, which ends with a whole packet or header.
    pub(super) fn seal(&mut self, index: usize, flush: bool) {
        if let Some(block) = &mut self.outputs[index].block {
            block.whole = block.buffer.len();
            block.flush = flush;
        }
        self.send(index);
    }

    fn send(&mut self, index: usize) {
        let output = &mut self.outputs[index];
        let Some(mut block) = output.block.take() else {
            return;
        };
        Copying::settle();
        output.room = 0;
        output.sealed = std::time::Instant::now();
        block.raw = block.buffer.len();
        block.sequence = self.next_block;
        self.next_block += 1;
        if let Some(file) = &mut output.file {
            block.described = Described {
                interfaces: file.described,
                link_type: file.main.or(output.link_type).map(LinkType::number),
            };
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
        self.outcomes.fail(FailureKind::WriteError, DIED.to_owned());
        self.outcomes.lost(&block.counts);
    }

    /// Sets how many bytes may be put into the output's block without further checks.
    pub(super) fn measure_room(&mut self, index: usize) {
        let left = usize::try_from(self.size_left(index)).unwrap_or(usize::MAX);
        let room = self.block_room(index).min(left);
        let known = self.interfaces.len();
        let output = &mut self.outputs[index];
        output.room = match &output.file {
            Some(file)
                if file.closing.is_none()
                    && (self.format != Format::Pcapng
                        || (file.known == known && file.named == self.names.changes())) =>
            {
                room
            }
            _ => 0,
        };
    }

    /// `pcap-file` writes into memory here; if that fails, the capture cannot continue.
    pub(super) fn encoded(&self, encoded: Result<Vec<u8>, PcapError>) -> Option<Vec<u8>> {
        encoded
            .map_err(|error| {
                let message = format!("cannot encode a file's header or statistics: {error}");
                self.outcomes.fail(FailureKind::WriteError, message);
            })
            .ok()
    }

    /// After a failure: blocks that no writer accepts any more are lost.
    pub(super) fn give_up(&mut self) {
        for index in 0..self.outputs.len() {
            self.drop_file(index);
        }
    }

    /// After a suspension of writing the earlier files get no more packets: a file that the writer has
    /// given up is abandoned, the others are ended.
    pub(super) fn follow_suspensions(&mut self) {
        let suspensions = self.outcomes.suspensions();
        if suspensions == self.suspensions {
            return;
        }
        self.suspensions = suspensions;
        let reason = match self.outcomes.suspended() {
            Some(fault) => fault.failure.kind.into(),
            None => FileEndReason::WriteError,
        };
        for index in 0..self.outputs.len() {
            let file = self.outputs[index].file.as_ref();
            let broken = file.is_some_and(|file| self.sizes[index].is_broken(file.sequence));
            if broken {
                self.drop_file(index);
            } else {
                self.close(index, reason);
            }
        }
    }

    fn drop_file(&mut self, index: usize) {
        let output = &mut self.outputs[index];
        output.room = 0;
        output.boundary = u64::MAX;
        output.quota = u64::MAX;
        output.file = None;
        if let Some(block) = output.block.take() {
            self.outcomes.lost(&block.counts);
            self.threads.pool.give(block);
        }
    }

    /// Ends every file, waiting for blocks; a capture without packets leaves one empty file.
    pub(super) fn end_files(&mut self) {
        if self.next_file == self.first_file {
            let link_type = self
                .interfaces
                .first()
                .map_or(LinkType::Ethernet, |first| first.description.link_type);
            let output = self.output_for(link_type);
            let now = self.now;
            self.insist(|recorder| recorder.ensure_file(output, now));
        }
        for output in 0..self.outputs.len() {
            self.insist(|recorder| recorder.close(output, FileEndReason::End));
        }
        if self.outcomes.failed() {
            self.give_up();
        }
    }

    /// Retries until a block is free.
    fn insist(&mut self, mut attempt: impl FnMut(&mut Self) -> bool) {
        while !self.outcomes.failed() && self.threads.writer_lives() && !attempt(self) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}
