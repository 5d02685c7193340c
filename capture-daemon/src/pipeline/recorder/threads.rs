//! The threads behind a recorder, and the memory between them.

use std::{
    sync::{Arc, atomic::AtomicBool},
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{
    super::{
        block::{self, Block},
        buffer::{ALIGNMENT, AlignedBuffer},
        catalog::Catalog,
        compress::{self, Codec, Worker},
        directory::Directory,
        manifest::FileEntry,
        progress::Progress,
        tally::{FailureKind, Tally},
        write::{FileSize, Writer},
    },
    start::RecorderError,
};
use crate::spec::Compression;

/// How memory is laid out: 40 MiB of blocks for plain files, which are written in the largest pieces
/// that still pay; 24 MiB for compressed ones, where more and smaller blocks keep the threads busy.
pub(super) struct Layout {
    codec: Compression,
    workers: usize,
    blocks: usize,
    /// Bytes of a block's memory.
    size: usize,
    /// Bytes of it that are filled.
    pub(super) capacity: usize,
}

const MEBIBYTE: usize = 1 << 20;

impl Layout {
    pub(super) fn new(codec: Compression) -> Self {
        if codec == Compression::None {
            return Self {
                codec,
                workers: 0,
                blocks: 10,
                size: 4 * MEBIBYTE,
                capacity: 4 * MEBIBYTE,
            };
        }
        const MOST_WORKERS: usize = 4;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            codec,
            workers: cores.min(MOST_WORKERS),
            blocks: 24,
            size: compress::bound(MEBIBYTE).next_multiple_of(ALIGNMENT),
            capacity: MEBIBYTE,
        }
    }

    /// Compressed data is gathered until it fills whole pages; a block's may come on top of what is
    /// left of a page.
    fn stage(&self) -> Option<usize> {
        (self.workers > 0).then_some(self.size + ALIGNMENT)
    }
}

/// The threads and what leads to them.
pub(super) struct Threads {
    /// Blocks that can be filled.
    pub(super) free: Receiver<Box<Block>>,
    filled: Option<Sender<Box<Block>>>,
    workers: Vec<JoinHandle<()>>,
    writer: JoinHandle<()>,
    catalog: JoinHandle<Vec<FileEntry>>,
}

impl Threads {
    pub(super) fn start(
        layout: &Layout,
        directory: &Arc<Directory>,
        tally: &Arc<Tally>,
        progress: &Arc<Progress>,
        sizes: &Arc<[FileSize]>,
    ) -> Result<Self, RecorderError> {
        let (give_back, free) = block::pool(layout.blocks, layout.size);
        let (to_writer, writer_inbox) = bounded(layout.blocks);
        let (to_workers, workers_inbox) = bounded(layout.blocks);
        /// Files that wait to be finished; each holds a descriptor.
        const UNFINISHED: usize = 64;
        let (to_catalog, catalog_inbox) = bounded(UNFINISHED);
        let catalog = Catalog {
            directory: Arc::clone(directory),
            inbox: catalog_inbox,
            tally: Arc::clone(tally),
            progress: Arc::clone(progress),
        };
        let writer = Writer {
            directory: Arc::clone(directory),
            inbox: writer_inbox,
            free: give_back,
            catalog: to_catalog,
            tally: Arc::clone(tally),
            progress: Arc::clone(progress),
            sizes: Arc::clone(sizes),
            stage: layout.stage(),
        };
        let mut workers = Vec::new();
        for number in 0..layout.workers {
            if let Some(codec) = Codec::new(layout.codec).map_err(RecorderError::Codec)? {
                let worker = Worker {
                    codec,
                    inbox: workers_inbox.clone(),
                    outbox: to_writer.clone(),
                    spare: AlignedBuffer::new(layout.size),
                    tally: Arc::clone(tally),
                };
                workers.push(spawn(&format!("compress-{number}"), || worker.run())?);
            }
        }
        let filled = if workers.is_empty() {
            to_writer
        } else {
            to_workers
        };
        Ok(Self {
            free,
            filled: Some(filled),
            workers,
            writer: spawn("write", || writer.run())?,
            catalog: spawn("catalog", || catalog.run())?,
        })
    }

    /// Passes a block on; gives it back when nobody is there to take it.
    pub(super) fn send(&self, block: Box<Block>) -> Result<(), Box<Block>> {
        match &self.filled {
            // There is room for every block.
            Some(filled) => filled.try_send(block).map_err(|error| error.into_inner()),
            None => Err(block),
        }
    }

    pub(super) fn writer_lives(&self) -> bool {
        !self.writer.is_finished()
    }

    /// Waits until each thread has done what was sent to it; the finished files.
    pub(super) fn finish(self, tally: &Tally, _abort: &AtomicBool) -> Vec<FileEntry> {
        drop(self.filled);
        for thread in self.workers.into_iter().chain([self.writer]) {
            if thread.join().is_err() {
                tally.fail(FailureKind::WriteError, DIED.to_owned());
            }
        }
        self.catalog.join().unwrap_or_else(|_| {
            tally.fail(FailureKind::WriteError, DIED.to_owned());
            Vec::new()
        })
    }
}

/// What is said when a thread has panicked.
pub(super) const DIED: &str = "a thread that writes files has died; see the log for its last words";

/// Starts a thread under a name of at most 15 bytes, which is what the kernel keeps.
fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, RecorderError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(RecorderError::Thread)
}
