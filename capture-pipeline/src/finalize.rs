//! The finalizer: an OS thread that gives files their names, keeps the manifest and applies retention
//! while the writer continues with the next file.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::{
    checkpoints::Checkpoints,
    exported::Exported,
    file_size::FileSize,
    messages::{ClosedFile, FinalizeTask},
    outcome::{FailureKind, Outcomes},
    progress::Progress,
    retain::{self, Usage},
};
use capture_file::{Directory, FileIndex, Recompressed, manifest::FileEntry, name::PART};
use capture_types::Retention;

/// What the finalizer needs.
pub(crate) struct Finalizer {
    pub(crate) directory: Arc<Directory>,
    pub(crate) inbox: Receiver<FinalizeTask>,
    /// Receives the names of finished files whose digest is wanted.
    pub(crate) digester: Option<Sender<String>>,
    /// Receives the names of plain files that are to be compressed.
    pub(crate) recompressor: Option<Sender<String>>,
    pub(crate) outcomes: Arc<Outcomes>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) sizes: Arc<[FileSize]>,
    pub(crate) retention: Retention,
    /// What an exporter has of the files, if retention prefers these.
    pub(crate) exported: Option<Exported>,
    pub(crate) files: FileIndex,
    pub(crate) checkpoints: Checkpoints,
    /// The newest plain file of each output, which stays plain.
    pub(crate) newest: BTreeMap<usize, String>,
    /// Since when the file system has had too little free space with no file left to remove.
    pub(crate) helpless: Option<Instant>,
    /// Bytes of a block; the queue contains blocks on their way to the disk.
    pub(crate) block: usize,
    /// Bytes written when retention was last applied.
    pub(crate) written: u64,
}

/// How often retention is applied while packets are written.
const BUSY: Duration = Duration::from_millis(200);

/// How often it is applied otherwise: other programs may fill the file system.
const QUIET: Duration = Duration::from_secs(2);

impl Finalizer {
    /// Runs until all senders are gone, and returns the files that this capture finished and that
    /// still exist.
    pub(crate) fn run(mut self) -> Vec<FileEntry> {
        loop {
            let interval = self.interval();
            match self.inbox.recv_timeout(interval) {
                Ok(task) => self.take(task),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.retain();
            self.resume();
            self.files.set_export(self.progress.export());
            self.files.save_when_due(&self.directory);
            if !self.files.has_changed() {
                self.checkpoints.remove_finished(&self.directory);
            }
        }
        if self.directory.is_removed().unwrap_or(true) {
            let directory = self.directory.path();
            self.outcomes.fail(
                FailureKind::WriteError,
                format!(
                    "directory {directory:?} was removed by somebody else while the capture ran, and its files \
                     with it"
                ),
            );
        }
        let failure = match self.outcomes.failure() {
            Some(failure) => Some(failure.to_string()),
            None => self
                .outcomes
                .suspended()
                .map(|fault| fault.failure.to_string()),
        };
        self.files.end(&self.directory, failure);
        self.checkpoints.remove_finished(&self.directory);
        self.files.into_own_files()
    }

    /// Until retention is applied next, if nothing happens before.
    fn interval(&mut self) -> Duration {
        let before = std::mem::replace(&mut self.written, self.progress.bytes());
        let quiet = self.written == before
            && self.helpless.is_none()
            && !self.files.has_changed()
            && self.outcomes.suspended().is_none()
            && self.progress.rest_finalizer(before);
        if quiet { QUIET } else { BUSY }
    }

    fn take(&mut self, task: FinalizeTask) {
        match task {
            FinalizeTask::Closed(closed) => self.close(*closed),
            FinalizeTask::Checkpoint(file, checkpoint) => {
                self.checkpoints
                    .save(file, &checkpoint, &self.directory, &self.progress);
            }
            FinalizeTask::Abandoned(file) => self.checkpoints.finish(file),
            FinalizeTask::Digest { file, digest } => self.files.set_digest(&file, digest),
            FinalizeTask::Recompressed(recompressed) => self.recompressed(recompressed),
            FinalizeTask::Busy => {}
            FinalizeTask::End => self.end(),
        }
    }

    /// No more files will be closed: digests of files that stay plain are final.
    fn end(&mut self) {
        if self.recompressor.take().is_some()
            && let Some(digester) = &self.digester
        {
            for plain in self.newest.values() {
                let _ = digester.send(plain.clone());
            }
        }
        self.digester = None;
    }

    fn close(&mut self, closed: ClosedFile) {
        let ClosedFile {
            output,
            mut entry,
            interfaces,
            file,
            counts,
        } = closed;
        let name = entry.file.clone();
        self.checkpoints.finish(entry.sequence);
        if let Err(error) = self.finish(&file, &name) {
            let directory = self.directory.path();
            let lost: u64 = counts.iter().sum();
            if error.kind() == io::ErrorKind::AlreadyExists {
                self.progress.warn(format!(
                    "{name:?} in {directory:?} is somebody else's file: the capture's own one stays as {name}{PART}"
                ));
                entry.file = format!("{name}{PART}");
            } else {
                let message = format!(
                    "cannot finish {name:?} in {directory:?}: {error}; its {lost} packets count as write_error, \
                     and the capture goes on in a new file"
                );
                self.progress.warn(message.clone());
                self.outcomes.retract(&counts);
                self.progress.retract(lost);
                self.outcomes
                    .suspend(FailureKind::WriteError, message, Duration::ZERO);
                return;
            }
        }
        self.progress.add_file();
        if !interfaces.is_empty() {
            entry.ledger = Some(capture_file::manifest::total(&interfaces));
        }
        let name = entry.file.clone();
        self.files.add(entry, interfaces);
        // The receivers outlive these senders.
        if let Some(recompressor) = &self.recompressor {
            if let Some(plain) = self.newest.insert(output, name) {
                let _ = recompressor.send(plain);
            }
        } else if let Some(digester) = &self.digester {
            let _ = digester.send(name);
        }
    }

    /// A file gets its final name when all of it is on disk and it still exists.
    fn finish(&self, file: &File, name: &str) -> io::Result<()> {
        file.sync_all()?;
        let part = format!("{name}{PART}");
        if !self.directory.holds(&part, &file.metadata()?)? {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "it was removed or renamed",
            ));
        }
        self.directory.publish(&part, name)
    }

    fn recompressed(&mut self, recompressed: Recompressed) {
        let Recompressed { plain, file, .. } = &recompressed;
        let (keep, remove) = if self.files.holds(plain) {
            (file, plain)
        } else {
            // Retention has removed the plain file meanwhile: its compressed copy is not wanted any
            // more.
            (plain, file)
        };
        if let Err(error) = self.directory.remove(remove) {
            tracing::warn!(file = remove, kept = keep, %error, "cannot remove");
        }
        self.files.replace(recompressed);
    }

    fn retain(&mut self) {
        if self.retention == Retention::default() {
            return;
        }
        let usage = match self.directory.space() {
            Ok(space) => Usage::new(self.open_bytes(), self.coming(), &space),
            Err(error) => {
                tracing::warn!(%error, "cannot read the free space of the file system");
                return;
            }
        };
        let usage = match self.outcomes.suspended_kind() {
            Some(FailureKind::DiskFull) => retain::with_room(usage),
            _ => usage,
        };
        let sizes = self.files.sizes();
        let surplus = retain::surplus(&self.retention, usage, &sizes);
        if surplus > 0 {
            self.remove(surplus, usage);
        }
        let missing = retain::missing(&self.retention, usage);
        if missing == 0 || surplus > 0 {
            self.helpless = None;
        } else {
            self.give_up();
        }
    }

    /// Removes the oldest files, this many. Where an exporter's files are preferred, as many of them as are needed.
    fn remove(&mut self, surplus: usize, usage: Usage) {
        let Some(exported) = &mut self.exported else {
            for _ in 0..surplus {
                self.files.remove_oldest(&self.directory);
            }
            return;
        };
        let order = exported.order(self.files.entries());
        let sizes: Vec<u64> = order.iter().map(|file| file.bytes).collect();
        let surplus = retain::surplus(&self.retention, usage, &sizes);
        let mut missed = 0;
        for file in order.iter().take(surplus) {
            self.files.remove(&file.file, &self.directory);
            missed += u64::from(!file.exported);
        }
        if missed > 0 {
            self.progress.add_unexported(missed);
            self.progress.warn(format!(
                "files are removed that sink {:?} does not have, or has not compared: it is behind, and the limits \
                 of the disk come first; see capture-export status",
                exported.sink()
            ));
        }
    }

    /// Freed space may show with a delay, when somebody still has a removed file open.
    fn give_up(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(1);
        let since = *self.helpless.get_or_insert_with(Instant::now);
        if since.elapsed() >= PATIENCE && self.outcomes.suspended().is_none() {
            let directory = self.directory.path();
            let message = format!(
                "the file system of {directory:?} is below --min-free and this capture has no finished file left \
                 to remove; make room, or lower --min-free. Packets are counted as disk_full until there is room"
            );
            self.progress.warn(message.clone());
            self.outcomes
                .suspend(FailureKind::DiskFull, message, PATIENCE);
        }
    }

    /// Resumes writing if it was suspended long enough and there is room.
    fn resume(&mut self) {
        let Some(fault) = self.outcomes.suspended() else {
            return;
        };
        if Instant::now() < fault.retry_at {
            return;
        }
        let room = fault.failure.kind == FailureKind::WriteError
            || self.directory.space().is_ok_and(|space| {
                let usage = Usage::new(self.open_bytes(), self.coming(), &space);
                retain::has_room(&self.retention, usage)
            });
        if room {
            self.outcomes.resume();
        }
    }

    /// Upper bound of the bytes that are on their way to the disk.
    fn coming(&self) -> u64 {
        (self.progress.queued() * self.block) as u64
    }

    fn open_bytes(&self) -> u64 {
        self.sizes
            .iter()
            .map(|size| size.stored.load(Ordering::Relaxed))
            .sum()
    }
}
