//! The threads after the drain thread, and the memory between them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Sender, bounded, unbounded};

use super::{
    super::{
        block::{Block, Pool},
        buffer::{ALIGNMENT, AlignedBuffer},
        checkpoints::{CheckpointRule, Checkpoints},
        compress::{self, Codec, Worker},
        digest::{self, Digester},
        exported::Exported,
        file_size::FileSize,
        finalize::Finalizer,
        inbox::Inbox,
        messages::FinalizeTask,
        outcome::{FailureKind, Outcomes},
        progress::Progress,
        recompress::Recompressor,
        stdout, stream,
        write::Writer,
    },
    error::RecorderError,
};
use capture_file::{Directory, FileIndex, manifest::FileEntry, name};
use capture_types::{CaptureName, CompressWhen, Compression, OutputSpec};

/// Memory layout: 32 MiB of blocks for plain files, which are written in the largest pieces that still
/// pay; at most 27 MiB for compressed ones, where smaller blocks keep the threads busy, and at most 36
/// MiB for the codecs, never both at their maximum.
pub(super) struct Layout {
    codec: Compression,
    workers: usize,
    blocks: usize,
    /// Bytes of a block's memory.
    size: usize,
    /// Bytes of it that are used.
    pub(super) capacity: usize,
}

const MEBIBYTE: usize = 1 << 20;

impl Layout {
    pub(super) fn new(codec: Compression) -> Self {
        if codec == Compression::None {
            return Self {
                codec,
                workers: 0,
                blocks: 8,
                size: 4 * MEBIBYTE,
                capacity: 4 * MEBIBYTE,
            };
        }
        const MOST_WORKERS: usize = 4;
        const CODECS: usize = 36 * MEBIBYTE;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let each = compress::working_memory(codec);
        let workers = cores.min(MOST_WORKERS).min(CODECS / each).max(1);
        Self {
            codec,
            workers,
            // The high levels of zstd leave less for blocks, and need fewer of them.
            blocks: if workers * each > CODECS / 2 { 12 } else { 24 },
            size: compress::bound(MEBIBYTE).next_multiple_of(ALIGNMENT),
            capacity: MEBIBYTE,
        }
    }

    /// Size of the stage, in which compressed data is gathered until it fills whole pages; a block
    /// may be added to the rest of a page.
    fn stage(&self) -> Option<usize> {
        (self.workers > 0).then_some(self.size + ALIGNMENT)
    }
}

/// The threads and their channels.
pub(super) struct Threads {
    /// Blocks that can be filled.
    pub(super) pool: Arc<Pool>,
    filled: Option<Sender<Box<Block>>>,
    workers: Vec<JoinHandle<()>>,
    writer: JoinHandle<()>,
    /// Digests and compression after rotation.
    idle: Vec<JoinHandle<()>>,
    /// Keeps account of files, where there are any.
    finalizer: Option<(ToFinalizer, JoinHandle<Vec<FileEntry>>)>,
    /// Ends the idle threads early.
    abort: Arc<AtomicBool>,
}

/// Tells the finalizer that no more files will come, also when a recorder is dropped and not finished: the idle
/// threads and the finalizer would wait for each other for ever.
struct ToFinalizer(Sender<FinalizeTask>);

impl Drop for ToFinalizer {
    fn drop(&mut self) {
        // The finalizer receives as long as it lives.
        let _ = self.0.send(FinalizeTask::End);
    }
}

/// Data that all threads of a recorder need.
pub(super) struct FileContext {
    pub(super) directory: Arc<Directory>,
    pub(super) outcomes: Arc<Outcomes>,
    pub(super) progress: Arc<Progress>,
    pub(super) sizes: Arc<[FileSize]>,
    pub(super) name: CaptureName,
    pub(super) checkpoints: Option<CheckpointRule>,
}

impl Threads {
    pub(super) fn start(
        layout: &Layout,
        output: &OutputSpec,
        exported: Option<Exported>,
        context: &FileContext,
        files: FileIndex,
    ) -> Result<Self, RecorderError> {
        let pool = Pool::new(layout.blocks, layout.size)
            .map(Arc::new)
            .map_err(RecorderError::Memory)?;
        let (to_writer, writer_inbox) = bounded(layout.blocks);
        let (to_workers, workers_inbox) = bounded(layout.blocks);
        /// Files that wait to be finished; each has an open descriptor.
        const UNFINISHED: usize = 64;
        let (to_finalizer, finalizer_inbox) = bounded(UNFINISHED);
        let abort = Arc::new(AtomicBool::new(false));
        let mut idle = Vec::new();

        let digester = if let Some(algorithm) = output.digest {
            let (digester, inbox) = unbounded();
            for recovered in files.undigested() {
                // The receiver is right here.
                let _ = digester.send(recovered);
            }
            let thread = Digester {
                directory: Arc::clone(&context.directory),
                algorithm,
                inbox,
                finalizer: to_finalizer.clone(),
                progress: Arc::clone(&context.progress),
                abort: Arc::clone(&abort),
            };
            let buffer = AlignedBuffer::new(digest::PIECE).map_err(RecorderError::Memory)?;
            idle.push(spawn("digest", || thread.run(buffer))?);
            Some(digester)
        } else {
            None
        };
        let rotated = match output.compress_when {
            CompressWhen::Streaming => Compression::None,
            CompressWhen::Rotated => output.compression,
        };
        let recompressor = match Codec::new(rotated).map_err(RecorderError::Codec)? {
            Some(codec) => {
                let (recompressor, inbox) = unbounded();
                let thread = Recompressor {
                    directory: Arc::clone(&context.directory),
                    inbox,
                    finalizer: to_finalizer.clone(),
                    codec,
                    suffix: name::suffix(rotated),
                    digest: output.digest,
                    abort: Arc::clone(&abort),
                };
                idle.push(spawn("recompress", || thread.run())?);
                Some(recompressor)
            }
            None => None,
        };
        let finalizer = Finalizer {
            directory: Arc::clone(&context.directory),
            inbox: finalizer_inbox,
            digester,
            recompressor,
            outcomes: Arc::clone(&context.outcomes),
            progress: Arc::clone(&context.progress),
            sizes: Arc::clone(&context.sizes),
            retention: output.retention,
            exported,
            files,
            checkpoints: Checkpoints::new(context.name.clone()),
            newest: BTreeMap::new(),
            helpless: None,
            block: layout.capacity,
            written: 0,
        };
        let writer = Writer {
            directory: Arc::clone(&context.directory),
            inbox: writer_inbox,
            pool: Arc::clone(&pool),
            finalizer: to_finalizer.clone(),
            outcomes: Arc::clone(&context.outcomes),
            progress: Arc::clone(&context.progress),
            sizes: Arc::clone(&context.sizes),
            stage: layout.stage(),
            checkpoints: context.checkpoints.clone(),
        };
        let mut workers = Vec::new();
        for number in 0..layout.workers {
            if let Some(codec) = Codec::new(layout.codec).map_err(RecorderError::Codec)? {
                let worker = Worker {
                    codec,
                    inbox: workers_inbox.clone(),
                    outbox: to_writer.clone(),
                    spare: AlignedBuffer::new(layout.size).map_err(RecorderError::Memory)?,
                    outcomes: Arc::clone(&context.outcomes),
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
            pool,
            filled: Some(filled),
            workers,
            writer: spawn("write", || writer.run())?,
            idle,
            finalizer: Some((
                ToFinalizer(to_finalizer),
                spawn("finalize", || finalizer.run())?,
            )),
            abort,
        })
    }

    /// The one thread of a capture that writes lines to the process's own output.
    pub(super) fn start_lines(
        outcomes: &Arc<Outcomes>,
        progress: &Arc<Progress>,
    ) -> Result<Self, RecorderError> {
        /// 1 MiB, which is some 10,000 lines.
        const BLOCKS: usize = 256;
        Self::start_one(
            BLOCKS,
            stdout::PIECE,
            outcomes,
            progress,
            stdout::write_lines,
        )
    }

    /// The one thread of a capture that is a stream.
    pub(super) fn start_stream(
        outcomes: &Arc<Outcomes>,
        progress: &Arc<Progress>,
    ) -> Result<Self, RecorderError> {
        /// 32 MiB, for a reader that pauses.
        const BLOCKS: usize = 128;
        Self::start_one(
            BLOCKS,
            stream::PIECE,
            outcomes,
            progress,
            stream::write_stream,
        )
    }

    fn start_one(
        blocks: usize,
        piece: usize,
        outcomes: &Arc<Outcomes>,
        progress: &Arc<Progress>,
        write: fn(&Inbox),
    ) -> Result<Self, RecorderError> {
        let pool = Pool::new(blocks, piece)
            .map(Arc::new)
            .map_err(RecorderError::Memory)?;
        let (filled, arriving) = bounded(blocks);
        let inbox = Inbox {
            blocks: arriving,
            pool: Arc::clone(&pool),
            outcomes: Arc::clone(outcomes),
            progress: Arc::clone(progress),
        };
        Ok(Self {
            pool,
            filled: Some(filled),
            workers: Vec::new(),
            writer: spawn("write", move || write(&inbox))?,
            idle: Vec::new(),
            finalizer: None,
            abort: Arc::default(),
        })
    }

    /// Passes a block on; returns it if the receiver is gone.
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

    /// Waits until each thread has done its work; returns the finished files. When `abort` is set,
    /// the idle threads are not waited for.
    pub(super) fn finish(self, outcomes: &Outcomes, abort: &AtomicBool) -> Vec<FileEntry> {
        let died = || outcomes.fail(FailureKind::WriteError, DIED.to_owned());
        drop(self.filled);
        for thread in self.workers.into_iter().chain([self.writer]) {
            if thread.join().is_err() {
                died();
            }
        }
        let Some((to_finalizer, finalizer)) = self.finalizer else {
            return Vec::new();
        };
        drop(to_finalizer);
        while self.idle.iter().any(|thread| !thread.is_finished()) {
            if abort.load(Ordering::Relaxed) {
                self.abort.store(true, Ordering::Relaxed);
            }
            thread::sleep(Duration::from_millis(2));
        }
        finalizer.join().unwrap_or_else(|_| {
            died();
            Vec::new()
        })
    }
}

/// The message when a thread has panicked.
pub(super) const DIED: &str =
    "a thread that writes files has died; see the log for the panic message";

/// Starts a thread under a name of at most 15 bytes, the kernel's limit.
fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, RecorderError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(RecorderError::Thread)
}
