//! The writer: an OS thread that puts blocks into files, in order. When a file cannot be written any more,
//! its whole packets are kept, and writing continues in a new file as soon as possible.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender};

use super::{
    block::{Block, FileHead, Pool},
    buffer::AlignedBuffer,
    checkpoints::CheckpointRule,
    file_size::FileSize,
    messages::FinalizeTask,
    open_file::{Damage, OpenFile},
    outcome::{FailureKind, Outcomes},
    progress::Progress,
};
use capture_file::{Directory, manifest::FileEndReason, name::PART};

/// What the writer needs.
pub(crate) struct Writer {
    pub(crate) directory: Arc<Directory>,
    pub(crate) inbox: Receiver<Box<Block>>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) finalizer: Sender<FinalizeTask>,
    pub(crate) outcomes: Arc<Outcomes>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) sizes: Arc<[FileSize]>,
    /// Size of the stage for compressed data, per output; `None` when blocks are written as they
    /// are.
    pub(crate) stage: Option<usize>,
    pub(crate) checkpoints: Option<CheckpointRule>,
}

/// How long writing pauses after the system has refused a write.
const RETRY: Duration = Duration::from_secs(1);

impl Writer {
    /// Writes until all senders of blocks are gone.
    pub(crate) fn run(self) {
        let mut outputs: Vec<Option<OpenFile>> = Vec::new();
        outputs.resize_with(self.sizes.len(), || None);
        // Compressed blocks arrive out of order; never more of them than the pool has.
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
        if self.progress.wake_finalizer() {
            let _ = self.finalizer.send(FinalizeTask::Busy);
        }
        if self.outcomes.failed() {
            self.abandon(outputs);
            return self.outcomes.lost(&block.counts);
        }
        let output = &mut outputs[block.output];
        if let Some(head) = block.open.take() {
            let (name, sequence) = (head.name.clone(), head.sequence);
            match self.open(*head) {
                Ok(file) => {
                    self.sizes[block.output].set(0, 0);
                    self.sizes[block.output]
                        .file
                        .store(sequence, Ordering::Release);
                    *output = Some(file);
                }
                Err(error) => {
                    self.sizes[block.output].set_broken(sequence);
                    self.suspend(&name, &error);
                }
            }
        } else if let Some(file) = output
            && let Some(damage) = file.damage(&self.directory).unwrap_or_default()
        {
            self.rescue(output, block.output, damage);
        }
        // Without a file the block belongs to one that was given up.
        let Some(file) = output else {
            return self.outcomes.lost(&block.counts);
        };
        if let Err(error) = self.store(file, block) {
            let name = file.name.clone();
            self.suspend(&name, &error);
            self.outcomes.lost(&block.counts);
            self.give_up(output, block.output);
        } else if let Some(end) = block.close.take()
            && let Some(file) = output.take()
        {
            self.sizes[block.output].set(0, 0);
            let closed = file.close(block.output, end.reason, end.link_types, end.ledger);
            // The finalizer outlives the writer.
            let _ = self.finalizer.send(FinalizeTask::Closed(Box::new(closed)));
        }
    }

    /// Passes on a checkpoint if one is due. A finalizer that is behind gets none: another one follows.
    fn checkpoint(&self, file: &mut OpenFile) {
        let sequence = file.sequence;
        match file.checkpoint() {
            Ok(None) => {}
            Ok(Some(checkpoint)) => {
                let task = FinalizeTask::Checkpoint(sequence, Box::new(checkpoint));
                let _ = self.finalizer.try_send(task);
            }
            Err(error) => tracing::warn!(file = file.name, %error, "no checkpoint"),
        }
    }

    /// Puts the block into its file.
    fn store(&self, file: &mut OpenFile, block: &mut Block) -> io::Result<()> {
        let before = file.length;
        let begun = Instant::now();
        let packets = file.append(block, &self.outcomes)?;
        self.progress.add_write(begun.elapsed());
        self.progress.add_written(packets, file.length - before);
        self.sizes[block.output].set(file.raw, file.length);
        if block.close.is_none() {
            self.checkpoint(file);
        }
        Ok(())
    }

    fn open(&self, head: FileHead) -> io::Result<OpenFile> {
        let stage = self.stage.map(AlignedBuffer::new).transpose()?;
        let file = match head.file {
            Some(file) => file,
            None => self.directory.create(&format!("{}{PART}", head.name))?,
        };
        self.progress.begin(&head.name);
        Ok(OpenFile::new(
            head.name,
            head.sequence,
            file,
            stage,
            self.checkpoints.clone(),
        ))
    }

    /// Suspends writing until a later attempt.
    fn suspend(&self, file: &str, error: &io::Error) {
        let (kind, way_out) = match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => (
                FailureKind::DiskFull,
                "make room, or bound the capture with --max-bytes or --min-free",
            ),
            _ => (
                FailureKind::WriteError,
                "see the system's log for the cause",
            ),
        };
        // Another name can be tried at once; other causes take time to go away.
        let wait = match error.kind() {
            io::ErrorKind::AlreadyExists => Duration::ZERO,
            _ => RETRY,
        };
        let directory = self.directory.path();
        let message = format!(
            "cannot write {file:?} in {directory:?}: {error}; {way_out}. Packets that cannot be written are \
             counted, and the capture goes on in a new file when it can"
        );
        self.progress.warn(message.clone());
        self.outcomes.suspend(kind, message, wait);
    }

    /// Somebody has truncated or removed the file: lost packets are counted, whole ones are kept.
    fn rescue(&self, output: &mut Option<OpenFile>, index: usize, damage: Damage) {
        let Some(file) = output else { return };
        let (kept, what) = match damage {
            Damage::Truncated(bytes) => (bytes, "truncated"),
            Damage::Removed => (0, "removed or renamed"),
        };
        let counts = file.keep(kept);
        let lost: u64 = counts.iter().sum();
        self.outcomes.retract(&counts);
        self.progress.retract(lost);
        let directory = self.directory.path();
        let name = format!("{}{PART}", file.name);
        let message = format!(
            "file {name:?} in {directory:?} was {what} by somebody else while it was written: {lost} packets that \
             were in it count as write_error, and the capture goes on in a new file"
        );
        self.progress.warn(message.clone());
        self.outcomes
            .suspend(FailureKind::WriteError, message, Duration::ZERO);
        match damage {
            Damage::Truncated(_) => self.give_up(output, index),
            // Nothing is left to finish under its name, and a file that has the name now belongs to
            // somebody else.
            Damage::Removed => {
                self.outcomes.lost(file.waiting());
                self.sizes[index].set_broken(file.sequence);
                let _ = self.finalizer.send(FinalizeTask::Abandoned(file.sequence));
                *output = None;
            }
        }
    }

    /// Keeps the whole packets of a file, and writes nothing more to it.
    fn give_up(&self, output: &mut Option<OpenFile>, index: usize) {
        let Some(mut file) = output.take() else {
            return;
        };
        let kind = match (self.outcomes.failure(), self.outcomes.suspended()) {
            (Some(failure), _) => failure.kind,
            (None, Some(fault)) => fault.failure.kind,
            (None, None) => FailureKind::WriteError,
        };
        self.sizes[index].set_broken(file.sequence);
        self.sizes[index].set(0, 0);
        self.outcomes.lost(file.waiting());
        match file.cut() {
            Ok(true) => {
                let closed = file.close(index, FileEndReason::from(kind), Vec::new(), Vec::new());
                let _ = self.finalizer.send(FinalizeTask::Closed(Box::new(closed)));
            }
            Ok(false) => {
                let _ = self.directory.remove(&format!("{}{PART}", file.name));
                let _ = self.finalizer.send(FinalizeTask::Abandoned(file.sequence));
            }
            Err(error) => {
                let name = &file.name;
                self.progress.warn(format!(
                    "file {name:?} cannot be truncated after its last whole packet: {error}; it stays as \
                     {name}{PART}"
                ));
            }
        }
    }

    /// After a permanent failure.
    fn abandon(&self, outputs: &mut [Option<OpenFile>]) {
        for (index, output) in outputs.iter_mut().enumerate() {
            self.give_up(output, index);
        }
    }
}
