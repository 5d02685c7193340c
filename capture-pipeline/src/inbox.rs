//! The blocks of a capture without files, whose one writer puts them into the process's standard output.

use std::{sync::Arc, time::Instant};

use crossbeam_channel::Receiver;

use super::{
    block::{Block, Pool},
    outcome::Outcomes,
    progress::Progress,
};

/// Where blocks arrive, and where their outcome is noted.
pub(crate) struct Inbox {
    pub(crate) blocks: Receiver<Box<Block>>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) outcomes: Arc<Outcomes>,
    pub(crate) progress: Arc<Progress>,
}

impl Inbox {
    /// Calls `write` with each block until all senders are gone. After a failure blocks only count as lost.
    pub(crate) fn write_each(&self, write: impl Fn(&Block)) {
        while let Ok(block) = self.blocks.recv() {
            if self.outcomes.failed() {
                self.outcomes.lost(&block.counts);
            } else {
                write(&block);
            }
            self.progress.dequeue();
            self.pool.give(block);
        }
    }

    /// The block is written; writing began then.
    pub(crate) fn written(&self, block: &Block, begun: Instant) {
        self.progress.add_write(begun.elapsed());
        self.outcomes.written(&block.counts);
        let bytes = block.buffer.len() as u64;
        self.progress.add_written(block.span.packets, bytes);
    }
}
