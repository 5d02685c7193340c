//! The finalizer: an OS thread that gives files their names, keeps the manifest and applies retention,
//! beside the writer, which goes on with the next file meanwhile.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::{
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
    /// Where plain files go to be compressed, when they are to be.
    pub(crate) recompressor: Option<Sender<String>>,
    pub(crate) outcomes: Arc<Outcomes>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) sizes: Arc<[FileSize]>,
    pub(crate) retention: Retention,
    pub(crate) files: FileIndex,
    /// The newest plain file of each output, which stays plain.
    pub(crate) newest: BTreeMap<usize, String>,
    /// Since when the file system has had too little left, with nothing left to remove.
    pub(crate) helpless: Option<Instant>,
}

/// How often retention looks.
const LOOK: Duration = Duration::from_millis(200);

impl Finalizer {
    /// Works until nobody can send anything any more, and returns the files that this capture
    /// finished and that are still there.
    pub(crate) fn run(mut self) -> Vec<FileEntry> {
        loop {
            match self.inbox.recv_timeout(LOOK) {
                Ok(task) => self.take(task),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.retain();
            self.files.save_when_due(&self.directory);
        }
        let failure = self.outcomes.failure().map(ToString::to_string);
        self.files.end(&self.directory, failure);
        self.files.into_own_files()
    }

    fn take(&mut self, task: FinalizeTask) {
        match task {
            FinalizeTask::Closed(closed) => self.close(*closed),
            FinalizeTask::Digest { file, sha256 } => self.files.set_digest(&file, sha256),
            FinalizeTask::Recompressed(recompressed) => self.recompressed(recompressed),
            FinalizeTask::End => self.recompressor = None,
        }
    }

    fn close(&mut self, closed: ClosedFile) {
        let ClosedFile {
            output,
            mut entry,
            interfaces,
            file,
        } = closed;
        let name = entry.file.clone();
        if let Err(error) = self.finish(&file, &name) {
            let directory = self.directory.path();
            self.outcomes.fail(
                FailureKind::WriteError,
                format!(
                    "cannot finish {name:?} in {directory:?}: {error}; what it holds is in \
                     {name}{PART}"
                ),
            );
            return;
        }
        self.progress.add_file();
        if !interfaces.is_empty() {
            entry.ledger = Some(capture_file::manifest::total(&interfaces));
        }
        self.files.add(entry, interfaces);
        if let Some(recompressor) = &self.recompressor
            && let Some(plain) = self.newest.insert(output, name)
        {
            // It outlives this sender.
            let _ = recompressor.send(plain);
        }
    }

    /// A file gets its name when all of it is on disk.
    fn finish(&self, file: &File, name: &str) -> io::Result<()> {
        file.sync_all()?;
        self.directory.publish(&format!("{name}{PART}"), name)
    }

    fn recompressed(&mut self, recompressed: Recompressed) {
        let Recompressed { plain, file, .. } = &recompressed;
        let (keep, remove) = if self.files.holds(plain) {
            (file, plain)
        } else {
            // Retention has removed the plain file meanwhile: its content is not wanted any more.
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
            Ok(space) => Usage::new(self.open_bytes(), &space),
            Err(error) => {
                tracing::warn!(%error, "cannot ask the file system what it has left");
                return;
            }
        };
        let sizes = self.files.sizes();
        let surplus = retain::surplus(&self.retention, usage, &sizes);
        for _ in 0..surplus {
            self.files.remove_oldest(&self.directory);
        }
        let missing = retain::missing(&self.retention, usage);
        if missing == 0 || surplus > 0 {
            self.helpless = None;
        } else {
            self.give_up(missing);
        }
    }

    /// Space that was freed may take a moment to show, when somebody still reads a removed file.
    fn give_up(&mut self, missing: u64) {
        const PATIENCE: Duration = Duration::from_secs(1);
        let since = *self.helpless.get_or_insert_with(Instant::now);
        if since.elapsed() >= PATIENCE && !self.outcomes.failed() {
            let directory = self.directory.path();
            self.outcomes.fail(
                FailureKind::DiskFull,
                format!(
                    "the file system of {directory:?} is below --min-free by {missing} bytes and \
                     this capture has no finished file left to remove; make room, or lower \
                     --min-free"
                ),
            );
        }
    }

    fn open_bytes(&self) -> u64 {
        self.sizes
            .iter()
            .map(|size| size.stored.load(Ordering::Relaxed))
            .sum()
    }
}
