//! A capture as one stream to the process's standard output. Unlike lines, of which some may be missing, a
//! stream is complete: the recorder waits for a slow reader as for a slow disk, and counts packets that
//! find no room meanwhile.

use std::{sync::Arc, time::Instant};

use crossbeam_channel::Receiver;
use rustix::io::Errno;

use super::{
    block::{Block, Pool},
    outcome::{FailureKind, Outcomes},
    progress::Progress,
};

/// Bytes of a block: several of the largest packets.
pub(crate) const PIECE: usize = 256 << 10;

/// The thread that writes the stream.
pub(crate) struct StreamWriter {
    pub(crate) inbox: Receiver<Box<Block>>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) outcomes: Arc<Outcomes>,
    pub(crate) progress: Arc<Progress>,
}

impl StreamWriter {
    /// Writes until all senders of blocks are gone.
    pub(crate) fn run(self) {
        while let Ok(block) = self.inbox.recv() {
            self.take(&block);
            self.progress.dequeue();
            self.pool.give(block);
        }
    }

    fn take(&self, block: &Block) {
        if self.outcomes.failed() {
            return self.outcomes.lost(&block.counts);
        }
        let begun = Instant::now();
        match write_all(block.buffer.as_slice()) {
            Ok(()) => {
                self.progress.add_write(begun.elapsed());
                self.outcomes.written(&block.counts);
                let bytes = block.buffer.len() as u64;
                self.progress.add_written(block.span.packets, bytes);
            }
            Err(error) => {
                let problem = format!("cannot write to stdout: {error}");
                self.outcomes.fail(FailureKind::WriteError, problem);
                self.outcomes.lost(&block.counts);
            }
        }
    }
}

/// Bypasses the buffer of the standard library, which flushes at line breaks.
fn write_all(mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(rustix::stdio::stdout(), bytes) {
            Ok(0) => return Err(Errno::PIPE),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
