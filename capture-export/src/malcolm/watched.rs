//! A directory that Malcolm watches: a file is written elsewhere on the same file system, and renamed.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::{convert::Converted, moving::while_moving};
use crate::{
    checkpoint::sync_directory,
    sink::{Failure, NotReady, Progress},
};

/// Malcolm reads files as a member of the directory's group.
const MODE: u32 = 0o640;

/// A directory that Malcolm watches.
#[derive(Debug)]
pub(super) struct Watched {
    directory: PathBuf,
    staging: PathBuf,
}

impl Watched {
    /// `staging`: a directory on the same file system that is not watched.
    pub(super) fn new(directory: &Path, staging: Option<&str>) -> Self {
        Self {
            directory: directory.to_owned(),
            staging: directory.join(staging.unwrap_or(".capture-export")),
        }
    }

    pub(super) fn ready(&self) -> Result<(), NotReady> {
        if self.directory.is_dir() {
            return Ok(());
        }
        Err(NotReady::new(format!(
            "{} is no directory: make it, or mount it",
            self.directory.display()
        )))
    }

    /// Puts a file there under a name. A file of this name, which Malcolm has not taken yet, is replaced.
    ///
    /// # Errors
    /// The file system's error.
    pub(super) async fn put(
        &self,
        converted: &Converted,
        name: &str,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let from = converted.file.reopen();
        let mut from = from.map_err(|error| Failure::retry(error.to_string()))?;
        let (directory, staging) = (self.directory.clone(), self.staging.clone());
        let (part, to) = (staging.join(name), directory.join(name));
        let written = part.clone();
        let work = tokio::task::spawn_blocking(move || {
            let put = write(&mut from, &staging, &part).and_then(|()| {
                fs::rename(&part, &to)?;
                sync_directory(&directory)
            });
            put.inspect_err(|_| {
                // On a full disk it would only be in the way.
                let _ = fs::remove_file(&part);
            })
        });
        let mut known = 0;
        let done = while_moving(work, progress, || {
            let now = fs::metadata(&written).map_or(0, |metadata| metadata.len());
            std::mem::replace(&mut known, now) != now
        });
        let done = done
            .await
            .map_err(|error| Failure::retry(error.to_string()))?;
        done.map_err(|error| Failure::retry(format!("{}: {error}", self.directory.display())))
    }
}

fn write(from: &mut File, staging: &Path, part: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(staging)?;
    // What an exporter that died has left; a link would lead elsewhere.
    match fs::remove_file(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(part)?;
    io::copy(from, &mut file)?;
    file.set_permissions(fs::Permissions::from_mode(MODE))?;
    file.sync_all()
}
