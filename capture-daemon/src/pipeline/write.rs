//! The writer: an OS thread that puts blocks into files, in their order.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crossbeam_channel::{Receiver, Sender};

use super::{
    block::{Block, FileHead, Pool},
    buffer::{ALIGNMENT, AlignedBuffer},
    catalog::{Closed, Task},
    digest::{Follow, Growth},
    directory::Directory,
    file::{DirectFile, aligned_part},
    progress::Progress,
    tally::{Batch, FailureKind, Span, Tally},
};
use capture_file::{
    manifest::{EndReason, FileEntry, InterfaceLedger},
    name::PART,
};

/// How large the file of a lane has become, for the drain thread that decides on rotation.
#[derive(Debug, Default)]
pub(crate) struct FileSize {
    /// The file's sequence number.
    pub(crate) file: AtomicU64,
    /// Bytes that the writer has taken, before compression.
    pub(crate) raw: AtomicU64,
    /// What became of them.
    pub(crate) stored: AtomicU64,
}

impl FileSize {
    fn set(&self, raw: u64, stored: u64) {
        self.raw.store(raw, Ordering::Relaxed);
        self.stored.store(stored, Ordering::Relaxed);
    }

    /// Bytes of this file before and after compression; 0 when the writer has not begun it.
    pub(crate) fn of(&self, file: u64) -> (u64, u64) {
        if self.file.load(Ordering::Acquire) == file {
            let raw = self.raw.load(Ordering::Relaxed);
            (raw, self.stored.load(Ordering::Relaxed))
        } else {
            (0, 0)
        }
    }
}

/// What the writer needs.
pub(crate) struct Writer {
    pub(crate) directory: Arc<Directory>,
    pub(crate) inbox: Receiver<Box<Block>>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) catalog: Sender<Task>,
    /// Where files are named whose digest is wanted.
    pub(crate) digester: Option<Sender<Follow>>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) sizes: Arc<[FileSize]>,
    /// Bytes to gather compressed data in, per lane; `None` when blocks are written as they are.
    pub(crate) stage: Option<usize>,
}

impl Writer {
    /// Writes until nobody can send blocks any more.
    pub(crate) fn run(self) {
        let mut lanes: Vec<Option<OpenFile>> = Vec::new();
        lanes.resize_with(self.sizes.len(), || None);
        // Compressed blocks arrive as they are done; never more of them than the pool has.
        let mut early = BTreeMap::new();
        let mut next = 0;
        while let Ok(block) = self.inbox.recv() {
            early.insert(block.sequence, block);
            while let Some(mut block) = early.remove(&next) {
                next += 1;
                self.take(&mut lanes, &mut block);
                self.progress.dequeue();
                self.pool.give(block);
            }
        }
        if self.tally.failed() {
            self.abandon(&mut lanes);
        }
    }

    fn take(&self, lanes: &mut [Option<OpenFile>], block: &mut Block) {
        if self.tally.failed() {
            self.abandon(lanes);
            return self.tally.lost(&block.counts);
        }
        let lane = block.lane;
        let stored = self.store(&mut lanes[lane], block);
        if let Err((file, error)) = stored {
            let kind = match error.raw_os_error() {
                Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => FailureKind::DiskFull,
                _ => FailureKind::WriteError,
            };
            let directory = self.directory.path();
            let way_out = match kind {
                FailureKind::DiskFull => {
                    "make room, or bound the capture with --max-bytes or --min-free"
                }
                FailureKind::WriteError => "see the system's log for the cause",
            };
            let message = format!("cannot write {file:?} in {directory:?}: {error}; {way_out}");
            self.tally.fail(kind, message);
            self.tally.lost(&block.counts);
            self.abandon(lanes);
        }
    }

    /// Puts the block into its file; an error comes with the file's name.
    fn store(
        &self,
        lane: &mut Option<OpenFile>,
        block: &mut Block,
    ) -> Result<(), (String, io::Error)> {
        if let Some(head) = block.open.take() {
            let name = head.name.clone();
            let file = self.open(*head).map_err(|error| (name, error))?;
            self.sizes[block.lane].set(0, 0);
            self.sizes[block.lane]
                .file
                .store(file.sequence, Ordering::Release);
            *lane = Some(file);
        }
        let Some(file) = lane else {
            let error = io::Error::other("a block arrived that belongs to no file");
            return Err((String::new(), error));
        };
        let before = file.length;
        let begun = Instant::now();
        match file.append(block, &self.tally) {
            Ok(packets) => {
                self.progress.add_write(begun.elapsed());
                let bytes = file.length - before;
                self.progress.add_written(packets, bytes);
                self.sizes[block.lane].set(file.raw, file.length);
            }
            Err(error) => return Err((file.name.clone(), error)),
        }
        if let Some(end) = block.close.take()
            && let Some(file) = lane.take()
        {
            self.sizes[block.lane].set(0, 0);
            let closed = file.close(block.lane, end.reason, end.link_types, end.ledger);
            // The catalog outlives the writer.
            let _ = self.catalog.send(Task::Closed(Box::new(closed)));
        }
        Ok(())
    }

    fn open(&self, head: FileHead) -> io::Result<OpenFile> {
        let file = match head.file {
            Some(file) => file,
            None => self.directory.create(&format!("{}{PART}", head.name))?,
        };
        self.progress.begin(&head.name);
        let growth = Growth::new();
        if let Some(digester) = &self.digester {
            let follow = Follow {
                name: head.name.clone(),
                growth: Arc::clone(&growth),
            };
            // It outlives the writer, unless nobody waits for digests any more.
            let _ = digester.send(follow);
        }
        Ok(OpenFile {
            growth,
            name: head.name,
            sequence: head.sequence,
            file: DirectFile::new(file),
            stage: self.stage.map(AlignedBuffer::new).transpose()?,
            written: 0,
            length: 0,
            raw: 0,
            whole: (0, 0),
            waiting: Batch::default(),
            held: Span::default(),
        })
    }

    /// After a failure: keeps of each open file what is whole.
    fn abandon(&self, lanes: &mut [Option<OpenFile>]) {
        let reason = self
            .tally
            .failure()
            .map_or(EndReason::WriteError, |failure| failure.kind.into());
        for (lane, file) in lanes.iter_mut().enumerate() {
            let Some(file) = file.take() else { continue };
            self.tally.lost(&file.waiting.counts);
            let part = format!("{}{PART}", file.name);
            let (whole, _) = file.whole;
            if whole == 0 {
                let _ = self.directory.remove(&part);
            } else if file.file.set_len(whole).is_ok() {
                let closed = file.close(lane, reason, Vec::new(), Vec::new());
                let _ = self.catalog.send(Task::Closed(Box::new(closed)));
            }
        }
    }
}

/// A file that is being written.
struct OpenFile {
    name: String,
    sequence: u64,
    file: DirectFile,
    growth: Arc<Growth>,
    /// Compressed bytes from `written` on: what is behind the last aligned piece on disk.
    stage: Option<AlignedBuffer>,
    /// Where the stage begins in the file; a multiple of the alignment.
    written: u64,
    /// Bytes of the file, what waits in the stage included.
    length: u64,
    /// Bytes before compression.
    raw: u64,
    /// What is on disk up to the end of a whole packet: bytes, and bytes before compression.
    whole: (u64, u64),
    /// Packets of which a part may still be in the stage.
    waiting: Batch,
    /// Packets on disk.
    held: Span,
}

impl OpenFile {
    /// Appends a block and returns how many packets more are on disk now.
    fn append(&mut self, block: &mut Block, tally: &Tally) -> io::Result<u64> {
        match self.stage.take() {
            None => self.append_plain(block, tally),
            Some(mut stage) => {
                let appended = self.append_staged(&mut stage, block, tally);
                self.stage = Some(stage);
                appended
            }
        }
    }

    /// An uncompressed block goes to disk as it is, over the end of the one before it.
    fn append_plain(&mut self, block: &mut Block, tally: &Tally) -> io::Result<u64> {
        let length = block.buffer.len();
        self.file.write(&mut block.buffer, length, block.start)?;
        self.length = block.start + length as u64;
        self.raw = self.length;
        if block.whole > 0 {
            let whole = block.start + block.whole as u64;
            self.whole = (whole, whole);
        }
        // The next block may begin with what is behind the last aligned piece.
        let tail = self.length % ALIGNMENT as u64;
        self.growth.grow(self.length - tail);
        tally.written(&block.counts);
        self.held.merge(block.span);
        Ok(block.span.packets)
    }

    /// A compressed block has any length: what is behind the last aligned piece stays in the stage,
    /// unless readers shall see it. A block counts as written when all of it is.
    fn append_staged(
        &mut self,
        stage: &mut AlignedBuffer,
        block: &Block,
        tally: &Tally,
    ) -> io::Result<u64> {
        let compressed = block.buffer.len();
        if stage.fill(block.buffer.as_slice()) < compressed {
            return Err(io::Error::other("a compressed block is too large"));
        }
        let flush = block.flush || block.close.is_some();
        let ready = if flush {
            stage.len()
        } else {
            aligned_part(stage.len())
        };
        let on_disk = self.written + ready as u64;
        if ready > 0 {
            self.file.write(stage, ready, self.written)?;
            let aligned = aligned_part(ready);
            stage.discard_front(aligned);
            self.written += aligned as u64;
            self.growth.grow(self.written);
        }
        let mut packets = 0;
        if on_disk >= self.length {
            packets += self.settle(tally);
        }
        self.waiting.add(block);
        self.length += compressed as u64;
        self.raw += block.raw as u64;
        if on_disk >= self.length {
            packets += self.settle(tally);
        }
        Ok(packets)
    }

    /// What waited is on disk.
    fn settle(&mut self, tally: &Tally) -> u64 {
        tally.written(&self.waiting.counts);
        let span = self.waiting.take();
        self.held.merge(span);
        self.whole = (self.length, self.raw);
        span.packets
    }

    fn close(
        self,
        lane: usize,
        reason: EndReason,
        link_types: Vec<u16>,
        interfaces: Vec<InterfaceLedger>,
    ) -> Closed {
        let known = self.held.packets > 0;
        let (bytes, raw) = self.whole;
        self.growth.finish(bytes);
        Closed {
            lane,
            entry: FileEntry {
                file: self.name,
                sequence: self.sequence,
                link_types,
                packets: Some(self.held.packets),
                bytes,
                bytes_uncompressed: Some(raw),
                first: known.then(|| self.held.first.into()),
                last: known.then(|| self.held.last.into()),
                sha256: None,
                ended: Some(reason),
                ledger: None,
            },
            interfaces,
            file: self.file.into_inner(),
        }
    }
}
