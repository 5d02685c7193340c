//! The catalog: an OS thread that finishes files and keeps account of them, beside the writer, which
//! goes on with the next file meanwhile.

use std::{fs::File, io, sync::Arc};

use crossbeam_channel::Receiver;

use super::{
    directory::Directory,
    manifest::{FileEntry, InterfaceLedger},
    name::PART,
    progress::Progress,
    tally::{FailureKind, Tally},
};

/// What the catalog is told.
#[derive(Debug)]
pub(crate) enum Task {
    /// The writer is done with a file.
    Closed(Box<Closed>),
}

/// A file that has its last byte and not yet its name.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) entry: FileEntry,
    pub(crate) interfaces: Vec<InterfaceLedger>,
    pub(crate) file: File,
}

/// What the catalog needs.
pub(crate) struct Catalog {
    pub(crate) directory: Arc<Directory>,
    pub(crate) inbox: Receiver<Task>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) progress: Arc<Progress>,
}

impl Catalog {
    /// Works until nobody can send anything any more, and returns the capture's files.
    pub(crate) fn run(self) -> Vec<FileEntry> {
        let mut files = Vec::new();
        while let Ok(task) = self.inbox.recv() {
            match task {
                Task::Closed(closed) => {
                    tracing::debug!(
                        file = closed.entry.file,
                        interfaces = closed.interfaces.len()
                    );
                    let name = closed.entry.file.clone();
                    match self.finish(&closed.file, &name) {
                        Ok(()) => {
                            self.progress.add_file();
                            files.push(closed.entry);
                        }
                        Err(error) => self.tally.fail(
                            FailureKind::WriteError,
                            format!(
                                "cannot finish {name:?} in {:?}: {error}; what it holds is in \
                                 {name}{PART}",
                                self.directory.path()
                            ),
                        ),
                    }
                }
            }
        }
        files
    }

    /// A file gets its name when all of it is on disk.
    fn finish(&self, file: &File, name: &str) -> io::Result<()> {
        file.sync_all()?;
        self.directory.publish(&format!("{name}{PART}"), name)
    }
}
