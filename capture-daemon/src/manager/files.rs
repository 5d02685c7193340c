//! The files of captures: listing, opening and removing them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _},
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, fstat, fsync, openat, unlinkat},
    io::Errno,
};

use super::{Capture, Manager, ManagerError};
use capture_file::{
    FileName, PartCheckpoint,
    manifest::{FileEntry, Manifest, Removed},
};
use capture_types::CaptureName;

/// A file of a capture.
#[derive(Debug, Clone)]
pub struct StoredFile {
    /// Its properties; for a file that is being written, only name, number and size.
    pub entry: FileEntry,
    /// Its status.
    pub status: FileStatus,
    /// Its name on disk, which ends in `.part` while it is written.
    pub stored_as: String,
}

/// The status of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileStatus {
    /// It is being written.
    Growing,
    /// It is complete.
    Finished,
    /// It was cut short by a crash and contains all whole packets.
    Recovered,
}

/// The files of a capture, the oldest first, and totals of removed ones.
#[derive(Debug, Default)]
pub struct CaptureFiles {
    /// Existing files.
    pub files: Vec<StoredFile>,
    /// Removed files.
    pub removed: Removed,
}

impl Manager {
    /// The files of a capture, the oldest first.
    pub async fn files(&self, capture: &Arc<Capture>) -> Result<CaptureFiles, ManagerError> {
        let name = capture.record().name;
        let directory = self.directory(&name);
        blocking(move || list(&directory, &name)).await
    }

    /// One file of a capture.
    pub async fn file(
        &self,
        capture: &Arc<Capture>,
        file: &str,
    ) -> Result<StoredFile, ManagerError> {
        let files = self.files(capture).await?.files;
        files
            .into_iter()
            .find(|stored| stored.entry.file == file)
            .ok_or_else(|| ManagerError::NoFile {
                capture: capture.record().name.to_string(),
                file: file.to_owned(),
            })
    }

    /// Opens a file of a capture, also one that is finished and renamed at this moment. Also returns
    /// its size in bytes.
    pub async fn open_file(
        &self,
        capture: &Arc<Capture>,
        file: &StoredFile,
    ) -> Result<(File, u64), ManagerError> {
        let name = capture.name();
        let (directory, stored) = (self.directory(&name), file.stored_as.clone());
        let finished = file.entry.file.clone();
        blocking(move || {
            let directory = own_directory(&directory)?.ok_or_else(|| ManagerError::NoFile {
                capture: name.to_string(),
                file: finished.clone(),
            })?;
            let opened = match own_file(&directory, &stored)? {
                Some(opened) => Some(opened),
                None => own_file(&directory, &finished)?,
            };
            opened.ok_or_else(|| ManagerError::NoFile {
                capture: name.to_string(),
                file: finished,
            })
        })
        .await
    }

    /// Removes a finished file.
    pub async fn delete_file(
        &self,
        capture: &Arc<Capture>,
        file: &str,
    ) -> Result<StoredFile, ManagerError> {
        let stored = self.file(capture, file).await?;
        if stored.status == FileStatus::Growing {
            return Err(ManagerError::Growing {
                capture: capture.record().name.to_string(),
                file: file.to_owned(),
            });
        }
        let name = capture.name();
        let (directory, file) = (self.directory(&name), stored.stored_as.clone());
        blocking(move || {
            let gone = || ManagerError::NoFile {
                capture: name.to_string(),
                file: file.clone(),
            };
            let directory = own_directory(&directory)?.ok_or_else(gone)?;
            match unlinkat(&directory, &file, AtFlags::empty()) {
                Err(Errno::NOENT) => return Err(gone()),
                Err(error) => return Err(io_error("removing", Path::new(&file))(error.into())),
                Ok(()) => {}
            }
            fsync(&directory).map_err(|error| io_error("syncing", Path::new(&file))(error.into()))
        })
        .await?;
        Ok(stored)
    }

    /// Removes files that are older than their captures keep them.
    pub(super) async fn remove_aged(&self) {
        for capture in self.list() {
            let record = capture.record();
            let Some(keep_for) = record.request.keep_for else {
                continue;
            };
            let directory = self.directory(&record.name);
            let removed = blocking(move || remove_aged(&directory, &record.name, keep_for)).await;
            if let Err(error) = removed {
                tracing::warn!("old files could not be removed: {error}");
            }
        }
    }

    /// Removes what a capture has left on disk; returns the number of capture files.
    pub(super) async fn remove_files(&self, capture: &Arc<Capture>) -> Result<u64, ManagerError> {
        let name = capture.record().name;
        let directory = self.directory(&name);
        blocking(move || remove_all(&directory, &name)).await
    }
}

/// Runs a file operation on a thread for blocking calls, as file systems can block for long.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ManagerError> + Send + 'static,
) -> Result<T, ManagerError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| ManagerError::Internal)?
}

pub(super) fn io_error<'a>(
    doing: &'a str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> ManagerError + 'a {
    move |source| ManagerError::Io {
        // Clients must not see paths of the node.
        doing: format!("{doing} {:?}", path.file_name().unwrap_or(path.as_os_str())),
        source,
    }
}

/// Larger than a manifest of a million files.
const LARGEST_MANIFEST: u64 = 1 << 30;

/// Opens the directory of a capture, which must not be a link and must belong to the daemon; `None` if
/// it does not exist.
fn own_directory(path: &Path) -> Result<Option<OwnedFd>, ManagerError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let foreign = || ManagerError::Foreign {
        name: file_name(path),
        kind: "directory",
    };
    let directory = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP | Errno::NOTDIR) => return Err(foreign()),
        Err(error) => return Err(io_error("opening", path)(error.into())),
    };
    let status = fstat(&directory).map_err(|error| io_error("opening", path)(error.into()))?;
    if status.st_uid != rustix::process::geteuid().as_raw() {
        return Err(foreign());
    }
    Ok(Some(directory))
}

/// Opens a regular file that belongs to the daemon, without following links or blocking on a pipe; also
/// returns its size. `None` if it does not exist.
fn own_file(directory: &OwnedFd, name: &str) -> Result<Option<(File, u64)>, ManagerError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let foreign = || ManagerError::Foreign {
        name: name.to_owned(),
        kind: "regular file",
    };
    let file = match openat(directory, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP | Errno::NXIO) => return Err(foreign()),
        Err(error) => return Err(io_error("opening", Path::new(name))(error.into())),
    };
    let metadata = file
        .metadata()
        .map_err(io_error("opening", Path::new(name)))?;
    if !metadata.is_file() || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(foreign());
    }
    Ok(Some((file, metadata.len())))
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

fn list(directory: &Path, name: &CaptureName) -> Result<CaptureFiles, ManagerError> {
    let Some(opened) = own_directory(directory)? else {
        return Ok(CaptureFiles::default());
    };
    // The manifest first: a file that is finished after it was read is at least found by name.
    let manifest_name = format!("{name}.manifest.jsonl");
    let mut text = Vec::new();
    let read = match own_file(&opened, &manifest_name) {
        Ok(Some((file, _))) => file.take(LARGEST_MANIFEST).read_to_end(&mut text).map(drop),
        Ok(None) => Ok(()),
        Err(error) => Err(io::Error::other(error)),
    };
    if let Err(error) = read {
        // The manifest's details are missing then; the files themselves are listed.
        tracing::warn!("capture {name}: {manifest_name} cannot be read: {error}");
    }
    let manifest = Manifest::parse(&String::from_utf8_lossy(&text));
    let mut known: BTreeMap<String, FileEntry> = manifest
        .files
        .into_iter()
        .map(|entry| (entry.file.clone(), entry))
        .collect();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(CaptureFiles::default()),
        Err(error) => return Err(io_error("listing", directory)(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_error("listing", directory))?;
        let Some(parsed) = entry
            .file_name()
            .to_str()
            .and_then(|file| FileName::parse(name, file))
        else {
            continue;
        };
        // It may have got its final name, or been removed, since the listing.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        // Links, pipes and files of other users are not the capture's.
        if !metadata.is_file() || metadata.uid() != rustix::process::geteuid().as_raw() {
            continue;
        }
        let Ok(stored_as) = entry.file_name().into_string() else {
            continue;
        };
        let entry_of_file = match known.remove(&parsed.finished) {
            Some(entry) if !parsed.part => entry,
            _ => FileEntry::unknown(parsed.finished.clone(), parsed.sequence, metadata.len()),
        };
        let status = match entry_of_file.ended {
            _ if parsed.part => FileStatus::Growing,
            Some(ended) if ended.is_recovered() => FileStatus::Recovered,
            _ => FileStatus::Finished,
        };
        files.push(StoredFile {
            entry: entry_of_file,
            status,
            stored_as,
        });
    }
    files.sort_by_key(|file| file.entry.sequence);
    Ok(CaptureFiles {
        files,
        removed: manifest
            .capture
            .map(|capture| capture.removed)
            .unwrap_or_default(),
    })
}

fn remove_aged(
    directory: &Path,
    name: &CaptureName,
    keep_for: Duration,
) -> Result<(), ManagerError> {
    for file in list(directory, name)?.files {
        let path = directory.join(&file.stored_as);
        let age = fs::symlink_metadata(&path).and_then(|metadata| metadata.modified());
        let age = age.ok().and_then(|modified| modified.elapsed().ok());
        if file.status != FileStatus::Growing && age.is_some_and(|age| age > keep_for) {
            fs::remove_file(&path).map_err(io_error("removing", &path))?;
        }
    }
    Ok(())
}

fn remove_all(directory: &Path, name: &CaptureName) -> Result<u64, ManagerError> {
    let mut removed = 0;
    match own_directory(directory) {
        Ok(Some(_)) => {}
        Ok(None) => return Ok(0),
        Err(ManagerError::Foreign { .. }) => {
            tracing::warn!(
                "{} does not belong to the daemon and is kept",
                directory.display()
            );
            return Ok(0);
        }
        Err(error) => return Err(error),
    }
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(io_error("listing", directory)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(io_error("listing", directory))?;
        let file = entry.file_name();
        let file = file.to_str().unwrap_or_default();
        let capture_file = FileName::parse(name, file).is_some();
        let beside = [
            format!("{name}.manifest.jsonl"),
            format!("{name}.manifest.jsonl.part"),
            format!(".{name}.lock"),
        ];
        let is_beside = beside.iter().any(|own| own == file)
            || PartCheckpoint::parse_name(name, file).is_some();
        if capture_file || is_beside {
            match fs::remove_file(entry.path()) {
                // A directory of that name is not a capture file; it keeps the capture's directory
                // from being removed.
                Err(error) if error.kind() == io::ErrorKind::IsADirectory => {}
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("removing", &entry.path())(error));
                }
                _ => removed += u64::from(capture_file),
            }
        }
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            tracing::warn!(
                "{} contains files of others and is not removed",
                directory.display()
            );
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_error("removing", directory)(error)),
        Ok(()) => sync_parent(directory)?,
    }
    Ok(removed)
}

fn sync_parent(path: &Path) -> Result<(), ManagerError> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    File::open(parent)
        .and_then(|parent| parent.sync_all())
        .map_err(io_error("syncing", parent))
}
