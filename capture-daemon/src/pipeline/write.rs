//! The writer: an OS thread that puts blocks into files, in their order.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use crossbeam_channel::{Receiver, Sender};

use super::{
    block::{Block, FileHead, Pool, Span},
    buffer::{ALIGNMENT, AlignedBuffer},
    direct_file::{DirectFile, aligned_part},
    file_size::FileSize,
    messages::{ClosedFile, FinalizeTask, GrowingFile, Growth},
    outcome::{FailureKind, Outcomes},
    progress::Progress,
};
use capture_file::{
    Directory,
    manifest::{FileEndReason, FileEntry, InterfaceLedger},
    name::PART,
};

/// What the writer needs.
pub(crate) struct Writer {
    pub(crate) directory: Arc<Directory>,
    pub(crate) inbox: Receiver<Box<Block>>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) finalizer: Sender<FinalizeTask>,
    /// Where files are named whose digest is wanted.
    pub(crate) digester: Option<Sender<GrowingFile>>,
    pub(crate) outcomes: Arc<Outcomes>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) sizes: Arc<[FileSize]>,
    /// Bytes to gather compressed data in, per output; `None` when blocks are written as they are.
    pub(crate) stage: Option<usize>,
}

impl Writer {
    /// Writes until nobody can send blocks any more.
    pub(crate) fn run(self) {
        let mut outputs: Vec<Option<OpenFile>> = Vec::new();
        outputs.resize_with(self.sizes.len(), || None);
        // Compressed blocks arrive as they are done; never more of them than the pool has.
        let mut early = BTreeMap::new();
        let mut next = 0;
        while let Ok(block) = self.inbox.recv() {
            early.insert(block.sequence, block);
            while let Some(mut block) = early.remove(&next) {
                next += 1;
                self.take(&mut outputs, &mut block);
                self.progress.dequeue();
                self.pool.give(block);
            }
        }
        if self.outcomes.failed() {
            self.abandon(&mut outputs);
        }
    }

    fn take(&self, outputs: &mut [Option<OpenFile>], block: &mut Block) {
        if self.outcomes.failed() {
            self.abandon(outputs);
            return self.outcomes.lost(&block.counts);
        }
        let output = block.output;
        let stored = self.store(&mut outputs[output], block);
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
            self.outcomes.fail(kind, message);
            self.outcomes.lost(&block.counts);
            self.abandon(outputs);
        }
    }

    /// Puts the block into its file; an error comes with the file's name.
    fn store(
        &self,
        output: &mut Option<OpenFile>,
        block: &mut Block,
    ) -> Result<(), (String, io::Error)> {
        if let Some(head) = block.open.take() {
            let name = head.name.clone();
            let file = self.open(*head).map_err(|error| (name, error))?;
            self.sizes[block.output].set(0, 0);
            self.sizes[block.output]
                .file
                .store(file.sequence, Ordering::Release);
            *output = Some(file);
        }
        let Some(file) = output else {
            let error = io::Error::other("a block arrived that belongs to no file");
            return Err((String::new(), error));
        };
        let before = file.length;
        let begun = Instant::now();
        match file.append(block, &self.outcomes) {
            Ok(packets) => {
                self.progress.add_write(begun.elapsed());
                let bytes = file.length - before;
                self.progress.add_written(packets, bytes);
                self.sizes[block.output].set(file.raw, file.length);
            }
            Err(error) => return Err((file.name.clone(), error)),
        }
        if let Some(end) = block.close.take()
            && let Some(file) = output.take()
        {
            self.sizes[block.output].set(0, 0);
            let closed = file.close(block.output, end.reason, end.link_types, end.ledger);
            // The finalizer outlives the writer.
            let _ = self.finalizer.send(FinalizeTask::Closed(Box::new(closed)));
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
            let follow = GrowingFile {
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
            waiting: PendingPackets::default(),
            held: Span::default(),
        })
    }

    /// After a failure: keeps of each open file what is whole.
    fn abandon(&self, outputs: &mut [Option<OpenFile>]) {
        let reason = self
            .outcomes
            .failure()
            .map_or(FileEndReason::WriteError, |failure| failure.kind.into());
        for (output, file) in outputs.iter_mut().enumerate() {
            let Some(file) = file.take() else { continue };
            self.outcomes.lost(&file.waiting.counts);
            let part = format!("{}{PART}", file.name);
            let (whole, _) = file.whole;
            if whole == 0 {
                let _ = self.directory.remove(&part);
            } else if file.file.set_len(whole).is_ok() {
                let closed = file.close(output, reason, Vec::new(), Vec::new());
                let _ = self.finalizer.send(FinalizeTask::Closed(Box::new(closed)));
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
    waiting: PendingPackets,
    /// Packets on disk.
    held: Span,
}

impl OpenFile {
    /// Appends a block and returns how many packets more are on disk now.
    fn append(&mut self, block: &mut Block, outcomes: &Outcomes) -> io::Result<u64> {
        match self.stage.take() {
            None => self.append_plain(block, outcomes),
            Some(mut stage) => {
                let appended = self.append_staged(&mut stage, block, outcomes);
                self.stage = Some(stage);
                appended
            }
        }
    }

    /// An uncompressed block goes to disk as it is, over the end of the one before it.
    fn append_plain(&mut self, block: &mut Block, outcomes: &Outcomes) -> io::Result<u64> {
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
        outcomes.written(&block.counts);
        self.held.merge(block.span);
        Ok(block.span.packets)
    }

    /// A compressed block has any length: what is behind the last aligned piece stays in the stage,
    /// unless readers shall see it. A block counts as written when all of it is.
    fn append_staged(
        &mut self,
        stage: &mut AlignedBuffer,
        block: &Block,
        outcomes: &Outcomes,
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
            packets += self.settle(outcomes);
        }
        self.waiting.add(block);
        self.length += compressed as u64;
        self.raw += block.raw as u64;
        if on_disk >= self.length {
            packets += self.settle(outcomes);
        }
        Ok(packets)
    }

    /// What waited is on disk.
    fn settle(&mut self, outcomes: &Outcomes) -> u64 {
        outcomes.written(&self.waiting.counts);
        let span = self.waiting.take();
        self.held.merge(span);
        self.whole = (self.length, self.raw);
        span.packets
    }

    fn close(
        self,
        output: usize,
        reason: FileEndReason,
        link_types: Vec<u16>,
        interfaces: Vec<InterfaceLedger>,
    ) -> ClosedFile {
        let known = self.held.packets > 0;
        let (bytes, raw) = self.whole;
        self.growth.finish(bytes);
        ClosedFile {
            output,
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

/// Packets that wait for the rest of their block to reach the disk.
#[derive(Debug, Default)]
struct PendingPackets {
    counts: Vec<u64>,
    span: Span,
}

impl PendingPackets {
    fn add(&mut self, block: &Block) {
        if self.counts.len() < block.counts.len() {
            self.counts.resize(block.counts.len(), 0);
        }
        for (sum, count) in self.counts.iter_mut().zip(&block.counts) {
            *sum += count;
        }
        self.span.merge(block.span);
    }

    /// Hands over how many packets they were and begins anew.
    fn take(&mut self) -> Span {
        self.counts.fill(0);
        std::mem::take(&mut self.span)
    }
}
