//! Reads from a store what the exporter has put there.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path as FilePath,
    sync::Arc,
};

use capture_types::Digest;
use futures_util::StreamExt as _;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt as _, path::Path};

use super::{LINE, line::ObjectLine};
use crate::redact::Redactor;

/// Files that are listed at most.
const MOST_FILES: usize = 100_000;
/// Longer than any line.
const LONGEST_LINE: u64 = 64 << 10;
/// Bytes of an object that are fetched by one request.
const PIECE: u64 = 8 << 20;

/// Reads what is in a store below a prefix.
#[derive(Debug)]
pub struct StoreReader {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
    pub(super) redactor: Redactor,
}

/// Why something cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadStoreError {
    /// The store failed.
    #[error("{0}")]
    Store(String),
    /// What is in the store is not what the exporter wrote.
    #[error("{key}: {problem}: it is damaged, or somebody else wrote it")]
    Damaged {
        /// The name of the object.
        key: String,
        /// What is wrong.
        problem: String,
    },
    /// There is too much.
    #[error(
        "more than {MOST_FILES} files: give a longer prefix, for example that of a node or a day"
    )]
    TooMany,
    /// A local file cannot be written.
    #[error("{path}: {source}")]
    Local {
        /// The file.
        path: String,
        /// The system's error.
        source: io::Error,
    },
}

impl StoreReader {
    /// The complete files, by name of the object: all of them, or those of one capture.
    ///
    /// # Errors
    /// See [`ReadStoreError`].
    pub async fn list(&self, capture: Option<&str>) -> Result<Vec<ObjectLine>, ReadStoreError> {
        let prefix = Some(&self.prefix).filter(|prefix| !prefix.is_root());
        let mut objects = self.store.list(prefix);
        let mut lines = Vec::new();
        while let Some(object) = objects.next().await {
            let object = object.map_err(|error| self.failed(&error))?;
            if !object.location.as_ref().ends_with(LINE) {
                continue;
            }
            let line = self.line(&object.location, object.size).await?;
            if capture.is_some_and(|capture| capture != line.capture) {
                continue;
            }
            if lines.len() == MOST_FILES {
                return Err(ReadStoreError::TooMany);
            }
            lines.push(line);
        }
        lines.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(lines)
    }

    async fn line(&self, location: &Path, size: u64) -> Result<ObjectLine, ReadStoreError> {
        let damaged = |problem| ReadStoreError::Damaged {
            key: location.to_string(),
            problem,
        };
        if size > LONGEST_LINE {
            return Err(damaged(format!("it has {size} bytes")));
        }
        let found = self
            .store
            .get(location)
            .await
            .map_err(|error| self.failed(&error))?;
        let text = found.bytes().await.map_err(|error| self.failed(&error))?;
        ObjectLine::parse(&text, location.as_ref()).map_err(damaged)
    }

    /// Fetches an object into a new file, and compares its digest. The file is removed if that fails.
    ///
    /// # Errors
    /// See [`ReadStoreError`].
    pub async fn fetch(
        &self,
        line: &ObjectLine,
        to: &FilePath,
        mut progress: impl FnMut(u64),
    ) -> Result<(), ReadStoreError> {
        let local = |source| ReadStoreError::Local {
            path: to.display().to_string(),
            source,
        };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(to).map_err(local)?;
        let written = self.write(line, &mut file, &mut progress, &local).await;
        let checked = written.and_then(|()| {
            file.sync_all().map_err(local)?;
            let expected = line.entry.digest.as_ref();
            let algorithm = expected.map(Digest::algorithm).unwrap_or_default();
            let digest = File::open(to)
                .and_then(|file| capture_file::digest(file, algorithm))
                .map_err(local)?;
            if Some(&digest) == expected {
                return Ok(());
            }
            Err(ReadStoreError::Damaged {
                key: line.key.clone(),
                problem: format!("its digest is {digest}"),
            })
        });
        if checked.is_err() {
            // It would only be in the way of the next attempt.
            let _ = std::fs::remove_file(to);
        }
        checked
    }

    async fn write(
        &self,
        line: &ObjectLine,
        file: &mut File,
        progress: &mut impl FnMut(u64),
        local: &impl Fn(io::Error) -> ReadStoreError,
    ) -> Result<(), ReadStoreError> {
        let location = Path::from(line.key.as_str());
        let mut at = 0;
        while at < line.entry.bytes {
            let end = line.entry.bytes.min(at + PIECE);
            let options = GetOptions {
                range: Some((at..end).into()),
                ..GetOptions::default()
            };
            let found = self.store.get_opts(&location, options).await;
            let found = found.map_err(|error| self.failed(&error))?;
            let piece = found.bytes().await.map_err(|error| self.failed(&error))?;
            if piece.len() as u64 != end - at {
                return Err(ReadStoreError::Damaged {
                    key: line.key.clone(),
                    problem: format!("it has fewer than {end} bytes"),
                });
            }
            file.write_all(&piece).map_err(local)?;
            progress(piece.len() as u64);
            at = end;
        }
        Ok(())
    }

    fn failed(&self, error: &object_store::Error) -> ReadStoreError {
        ReadStoreError::Store(self.redactor.error(error))
    }
}
