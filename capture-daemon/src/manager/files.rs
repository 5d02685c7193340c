//! The files of captures: which there are, and removing them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{Capture, Manager, ManagerError};
use capture_file::{
    FileName,
    manifest::{FileEntry, Manifest, Removed},
};
use capture_types::CaptureName;

/// A file of a capture.
#[derive(Debug, Clone)]
pub struct StoredFile {
    /// What is known of it. Of a file that is being written, only name, number and size.
    pub entry: FileEntry,
    /// Where it is in its life.
    pub status: FileStatus,
    /// Where it is on disk.
    pub path: PathBuf,
}

/// Where a file is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileStatus {
    /// It is being written.
    Growing,
    /// It has its last byte.
    Finished,
    /// It was cut short and holds all that was whole.
    Recovered,
}

/// The files of a capture, the oldest first, and what retention has removed.
#[derive(Debug, Default)]
pub struct CaptureFiles {
    /// Those that are there.
    pub files: Vec<StoredFile>,
    /// Those that are not.
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
        let path = stored.path.clone();
        blocking(move || {
            fs::remove_file(&path).map_err(io_error("removing", &path))?;
            sync_parent(&path)
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

    /// Removes what a capture has left on disk; how many capture files that were.
    pub(super) async fn remove_files(&self, capture: &Arc<Capture>) -> Result<u64, ManagerError> {
        let name = capture.record().name;
        let directory = self.directory(&name);
        blocking(move || remove_all(&directory, &name)).await
    }
}

/// File systems can block for long; the tasks of others go on meanwhile.
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
        doing: format!("{doing} {}", path.display()),
        source,
    }
}

fn list(directory: &Path, name: &CaptureName) -> Result<CaptureFiles, ManagerError> {
    // The manifest first: a file that is finished after it was read is then at least found by name.
    let path = directory.join(format!("{name}.manifest.jsonl"));
    let manifest = match fs::read_to_string(&path) {
        Ok(text) => Manifest::parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Manifest::default(),
        Err(error) => return Err(io_error("reading", &path)(error)),
    };
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
            path: entry.path(),
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
        let age = fs::metadata(&file.path).and_then(|metadata| metadata.modified());
        let age = age.ok().and_then(|modified| modified.elapsed().ok());
        if file.status != FileStatus::Growing && age.is_some_and(|age| age > keep_for) {
            fs::remove_file(&file.path).map_err(io_error("removing", &file.path))?;
        }
    }
    Ok(())
}

fn remove_all(directory: &Path, name: &CaptureName) -> Result<u64, ManagerError> {
    let mut removed = 0;
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
        if capture_file || beside.iter().any(|own| own == file) {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("removing", &entry.path())(error));
                }
                _ => removed += u64::from(capture_file),
            }
        }
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            tracing::warn!("{} holds files of others and stays", directory.display());
        }
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
