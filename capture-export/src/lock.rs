//! One exporter per state directory.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

/// A locked state directory, until it is dropped.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It cannot be made or written.
    #[error("state_dir {path}: {source}; name a directory that this user may write to")]
    Io {
        /// The directory.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// Another exporter uses it.
    #[error("state_dir {path}: another capture-export uses it; give each its own")]
    Busy {
        /// The directory.
        path: String,
    },
}

/// Makes the directory (0700) unless it exists, and locks it.
///
/// # Errors
/// See [`LockError`].
pub fn lock(directory: &Path) -> Result<StateLock, LockError> {
    let path = directory.display().to_string();
    let failed = |source| LockError::Io {
        path: path.clone(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(failed)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(directory.join("lock")).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(StateLock { _file: file }),
        Err(Errno::WOULDBLOCK) => Err(LockError::Busy { path }),
        Err(error) => Err(failed(error.into())),
    }
}
