//! Checkpoints of growing files: what the writer knows at one becomes a small file beside the growing one. The
//! finalizer writes it, because the writer must not wait for names in a directory.

use std::{collections::BTreeSet, sync::Arc};

use super::progress::Progress;
use capture_file::{Directory, PartCheckpoint};
use capture_types::CaptureName;

/// When files get checkpoints.
#[derive(Debug, Clone)]
pub(crate) struct CheckpointRule {
    /// After this many bytes before compression: they, not the bytes on disk, are the work of a repair.
    pub(crate) every: u64,
    /// Identifies the time since the machine was started.
    pub(crate) boot: Arc<str>,
}

/// The checkpoints on disk.
pub(crate) struct Checkpoints {
    capture: CaptureName,
    /// Numbers of the files that have one.
    present: BTreeSet<u64>,
    /// Of those, the ones that are finished, and perhaps not in the manifest yet.
    finished: Vec<u64>,
    /// Whether one could not be written: that is told once.
    failed: bool,
}

impl Checkpoints {
    pub(crate) const fn new(capture: CaptureName) -> Self {
        Self {
            capture,
            present: BTreeSet::new(),
            finished: Vec::new(),
            failed: false,
        }
    }

    /// Replaces the checkpoint of a file. If that fails an earlier one stays, which is true as well.
    pub(crate) fn save(
        &mut self,
        sequence: u64,
        checkpoint: &PartCheckpoint,
        directory: &Directory,
        progress: &Progress,
    ) {
        match checkpoint.save(directory, &self.capture, sequence) {
            Ok(()) => {
                self.present.insert(sequence);
            }
            Err(error) if !self.failed => {
                self.failed = true;
                let directory = directory.path();
                progress.warn(format!(
                    "cannot write a checkpoint in {directory:?}: {error}; the capture is not affected, and should \
                     its daemon die, more of the file is read before the capture goes on"
                ));
            }
            Err(_) => {}
        }
    }

    /// A file grows no more; its checkpoint is kept until the manifest has the file.
    pub(crate) fn finish(&mut self, sequence: u64) {
        if self.present.remove(&sequence) {
            self.finished.push(sequence);
        }
    }

    /// The manifest has every finished file.
    pub(crate) fn remove_finished(&mut self, directory: &Directory) {
        for sequence in self.finished.drain(..) {
            PartCheckpoint::remove(directory, &self.capture, sequence);
        }
    }
}
