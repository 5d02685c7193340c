//! Files of tasks in a directory: `ID/input/0`, `ID/attempt-1/report.json`. Files have the mode 0600, directories
//! 0700, and a file is renamed to its name after it was synced.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::{fs::File, io::AsyncWriteExt as _, task::spawn_blocking};
use tokio_util::io::ReaderStream;

use super::{Found, Key, ObjectError, ObjectReader, attempt_name, attempt_number, is_id};

const READ_BYTES: usize = 256 << 10;

/// A directory with the files of tasks.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Uses a directory, which is created if needed.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn new(root: PathBuf) -> io::Result<Self> {
        create_private(&root)?;
        Ok(Self { root })
    }

    /// The path of a file.
    #[must_use]
    pub fn path(&self, key: &Key) -> PathBuf {
        self.root.join(key.parts().iter().collect::<PathBuf>())
    }

    pub(super) async fn create(&self, key: &Key) -> Result<Writer, ObjectError> {
        let path = self.path(key);
        let part = path.with_extension("part");
        let opened = blocking(move || {
            if let Some(parent) = part.parent() {
                create_private(parent)?;
            }
            let file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&part)?;
            Ok((file, part))
        });
        let (file, part) = opened.await.map_err(|error| ObjectError::io(key, &error))?;
        Ok(Writer {
            key: key.to_string(),
            file: File::from_std(file),
            part: Part(Some(part)),
            path,
        })
    }

    pub(super) async fn store(&self, key: &Key, file: &Path) -> Result<(), ObjectError> {
        let (path, file) = (self.path(key), file.to_owned());
        blocking(move || {
            fs::File::open(&file)?.sync_all()?;
            publish(&file, &path)
        })
        .await
        .map_err(|error| ObjectError::io(key, &error))
    }

    pub(super) async fn read(&self, key: &Key) -> Result<ObjectReader, ObjectError> {
        let failed = |error: io::Error| ObjectError::io(key, &error);
        let file = File::open(self.path(key)).await.map_err(failed)?;
        let bytes = file.metadata().await.map_err(failed)?.len();
        let key = key.to_string();
        let stream = ReaderStream::with_capacity(file, READ_BYTES)
            .map(move |bytes| bytes.map_err(|error| ObjectError::io(&key, &error)))
            .boxed();
        Ok(ObjectReader { bytes, stream })
    }

    pub(super) async fn remove_attempt(&self, task: &str, attempt: i64) -> Result<(), ObjectError> {
        let directory = self.root.join(task);
        blocking(move || {
            gone(fs::remove_dir_all(directory.join(attempt_name(attempt))))?;
            // Nothing else is in it if the task was removed meanwhile.
            let _ = fs::remove_dir(&directory);
            Ok(())
        })
        .await
        .map_err(|error| ObjectError::io(task, &error))
    }

    pub(super) async fn remove(&self, task: &str) -> Result<(), ObjectError> {
        let directory = self.root.join(task);
        blocking(move || gone(fs::remove_dir_all(directory)))
            .await
            .map_err(|error| ObjectError::io(task, &error))
    }

    pub(super) async fn tasks(&self) -> Result<Vec<Found>, ObjectError> {
        let root = self.root.clone();
        blocking(move || {
            let mut found = Vec::new();
            for entry in fs::read_dir(root)? {
                let entry = entry?;
                let id = entry.file_name().to_string_lossy().into_owned();
                if is_id(&id) {
                    let attempts = attempts(&entry.path())?;
                    found.push(Found { id, attempts });
                }
            }
            Ok(found)
        })
        .await
        .map_err(|error| ObjectError::io("files", &error))
    }

    pub(super) async fn ping(&self) -> Result<(), ObjectError> {
        let found = tokio::fs::metadata(&self.root).await;
        found
            .map(drop)
            .map_err(|error| ObjectError::io("files", &error))
    }
}

/// The attempts that have output in a task's directory.
fn attempts(directory: &Path) -> io::Result<Vec<i64>> {
    let entries = match fs::read_dir(directory) {
        // It was removed meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let numbers = entries.map(|entry| Ok(attempt_number(&entry?.file_name().to_string_lossy())));
    Ok(numbers
        .collect::<io::Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect())
}

/// A file that is being written under another name.
pub struct Writer {
    key: String,
    file: File,
    part: Part,
    path: PathBuf,
}

/// Removes the unfinished file.
struct Part(Option<PathBuf>);

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = fs::remove_file(path);
        }
    }
}

impl Writer {
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), ObjectError> {
        let written = self.file.write_all(&bytes).await;
        written.map_err(|error| ObjectError::io(&self.key, &error))
    }

    pub(super) async fn finish(mut self) -> Result<(), ObjectError> {
        let failed = |error: io::Error| ObjectError::io(&self.key, &error);
        self.file.flush().await.map_err(failed)?;
        self.file.sync_all().await.map_err(failed)?;
        let Some(part) = self.part.0.take() else {
            return Ok(());
        };
        let path = self.path;
        blocking(move || {
            publish(&part, &path).inspect_err(|_| {
                let _ = fs::remove_file(&part);
            })
        })
        .await
        .map_err(failed)
    }
}

/// Gives a synced file its name.
fn publish(file: &Path, path: &Path) -> io::Result<()> {
    let parent = path.parent().unwrap_or(path);
    create_private(parent)?;
    fs::rename(file, path)?;
    // The entries of the file and of its two directories.
    for directory in parent.ancestors().take(3) {
        fs::File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Creates a directory, and those above it, for this user only.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}
