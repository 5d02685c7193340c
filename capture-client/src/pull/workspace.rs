//! The directory next to the output, and how the output gets its name.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

/// Why a pull cannot use its directory.
#[derive(Debug, Error)]
pub enum WorkspaceError {
    /// Another pull is writing the output.
    #[error("another pull is writing {}: wait for it, or choose another name", output.display())]
    Busy {
        /// The output.
        output: PathBuf,
    },
    /// A file or directory cannot be made, written or renamed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The directory next to an output, locked by one process at a time.
#[derive(Debug)]
pub struct Workspace {
    output: PathBuf,
    directory: PathBuf,
    _lock: File,
}

impl Workspace {
    /// Creates it, or opens an existing one.
    ///
    /// # Errors
    /// See [`WorkspaceError`].
    pub fn open(output: &Path) -> Result<Self, WorkspaceError> {
        let mut name = output.as_os_str().to_owned();
        name.push(".pull");
        let directory = PathBuf::from(name);
        make(&directory)?;
        let path = directory.join("lock");
        let lock = private()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(at(&path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(WorkspaceError::Busy {
                    output: output.to_owned(),
                });
            }
            Err(error) => return Err(at(&path)(error.into())),
        }
        Ok(Self {
            output: output.to_owned(),
            directory,
            _lock: lock,
        })
    }

    /// Its path.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory for a node's files.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn node(&self, label: &str) -> Result<PathBuf, WorkspaceError> {
        let path = self.directory.join(file_name(label));
        make(&path)?;
        Ok(path)
    }

    /// Creates an empty file for the output.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn begin_output(&self) -> Result<File, WorkspaceError> {
        let path = self.unfinished();
        private()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(at(&path))
    }

    /// Renames the output once it is on disk, and removes the rest.
    ///
    /// # Errors
    /// It cannot be synced or renamed.
    pub fn finish(self, file: &File) -> Result<(), WorkspaceError> {
        let path = self.unfinished();
        file.sync_all().map_err(at(&path))?;
        fs::rename(&path, &self.output).map_err(at(&self.output))?;
        sync_directory_of(&self.output)?;
        fs::remove_dir_all(&self.directory).map_err(at(&self.directory))
    }

    /// Removes it, after the output was written elsewhere.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn discard(self) -> Result<(), WorkspaceError> {
        fs::remove_dir_all(&self.directory).map_err(at(&self.directory))
    }

    /// Removes it if nothing has been received; else returns its path, for a later pull to resume.
    #[must_use]
    pub fn leave(self) -> Option<PathBuf> {
        let Self { directory, .. } = self;
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            // Only empty directories are removed.
            let _ = fs::remove_dir(entry.path());
        }
        let is_empty = fs::read_dir(&directory)
            .map(|entries| entries.flatten().all(|entry| entry.file_name() == "lock"));
        if matches!(is_empty, Ok(true)) && fs::remove_dir_all(&directory).is_ok() {
            return None;
        }
        Some(directory)
    }

    /// The path of the output until it is renamed.
    #[must_use]
    pub fn unfinished(&self) -> PathBuf {
        self.directory.join("output")
    }
}

/// Makes a rename or a new file durable.
///
/// # Errors
/// The directory cannot be opened or written.
pub(super) fn sync_directory_of(path: &Path) -> Result<(), WorkspaceError> {
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(at(parent))
}

/// Packets are private data: 0600.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// A valid file name for a label: a node may have any name.
#[must_use]
pub fn file_name(label: &str) -> String {
    let name: String = label
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    if name.trim_matches('.').is_empty() {
        return format!("_{name}");
    }
    name
}

fn make(path: &Path) -> Result<(), WorkspaceError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(at(path)(error)),
        _ => Ok(()),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> WorkspaceError {
    move |source| WorkspaceError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_output_has_its_name_only_when_it_is_whole_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("out.pcapng");
        fs::write(&output, "older").unwrap();
        let workspace = Workspace::open(&output).unwrap();
        fs::write(workspace.node("n:1").unwrap().join("f.part"), "half").unwrap();
        let mut file = workspace.begin_output().unwrap();
        file.write_all(b"newer").unwrap();
        assert_eq!(fs::read(&output).unwrap(), b"older");
        workspace.finish(&file).unwrap();
        assert_eq!(fs::read(&output).unwrap(), b"newer");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_what_has_arrived_is_left_for_a_later_pull() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("out.pcapng");
        let workspace = Workspace::open(&output).unwrap();
        workspace.node("n").unwrap();
        assert_eq!(workspace.leave(), None);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        let workspace = Workspace::open(&output).unwrap();
        fs::write(workspace.node("n").unwrap().join("f.part"), "half").unwrap();
        let left = workspace.leave().unwrap();
        assert!(left.join("n").join("f.part").is_file());
    }

    #[test]
    fn two_pulls_into_one_output_do_not_mix() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("out.pcapng");
        let first = Workspace::open(&output).unwrap();
        assert!(matches!(
            Workspace::open(&output),
            Err(WorkspaceError::Busy { .. })
        ));
        drop(first);
        assert!(
            Workspace::open(&output).is_ok(),
            "a pull that ended is taken up"
        );
    }

    #[test]
    fn no_name_of_a_node_leads_out_of_the_directory() {
        for label in ["..", "../../etc", "/etc/x", "[::1]:9443", ".", ""] {
            let name = file_name(label);
            assert!(!name.contains('/') && !name.is_empty(), "{label}: {name}");
            assert!(!matches!(name.as_str(), "." | ".."), "{label}: {name}");
        }
    }
}
