//! Files of tasks: uploads and reports, in a directory or in object storage. Every file belongs to a task and is
//! stored under its id; a file appears under its name only when it is complete.

mod bucket;
mod directory;

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures_util::stream::BoxStream;

pub use bucket::Bucket;
pub use directory::Directory;
pub(crate) use directory::create_private;

/// Why a file was not stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// There is no such file.
    #[error("{0} is not there")]
    Missing(String),
    /// The disk is full.
    #[error("no room for {0}: the disk is full")]
    Full(String),
    /// The storage fails.
    #[error("{key}: {problem}")]
    Failed {
        /// The file.
        key: String,
        /// The reason.
        problem: String,
    },
}

impl ObjectError {
    fn io(key: impl std::fmt::Display, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing(key.to_string()),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full(key.to_string())
            }
            _ => Self::Failed {
                key: key.to_string(),
                problem: error.to_string(),
            },
        }
    }
}

/// The name of a file in the storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A file of an upload.
    Input {
        /// The task.
        task: String,
        /// Its number.
        number: usize,
    },
    /// A file of a report. Each attempt has its own: one that lost its lease spoils nothing.
    Output {
        /// The task.
        task: String,
        /// The attempt.
        attempt: i64,
        /// Which one.
        file: OutputFile,
    },
}

/// A file of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFile {
    /// `capture.report/v1`.
    Report,
    /// One page.
    Html,
}

impl OutputFile {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Report, Self::Html];

    /// The file's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Report => "report.json",
            Self::Html => "report.html",
        }
    }
}

impl Key {
    /// The parts of the path: the task, the directory, the file.
    fn parts(&self) -> [String; 3] {
        match self {
            Self::Input { task, number } => [task.clone(), "input".to_owned(), number.to_string()],
            Self::Output {
                task,
                attempt,
                file,
            } => [task.clone(), attempt_name(*attempt), file.name().to_owned()],
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.parts().join("/"))
    }
}

fn attempt_name(attempt: i64) -> String {
    format!("attempt-{attempt}")
}

/// The number in the name of an attempt's directory.
fn attempt_number(name: &str) -> Option<i64> {
    name.strip_prefix("attempt-")?.parse().ok()
}

/// Whether a name is the id of a task. Names from outside never become paths.
#[must_use]
pub fn is_id(name: &str) -> bool {
    name.len() == 32
        && name
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// A file that is being stored. Without [`ObjectWriter::finish`] nothing stays.
pub enum ObjectWriter {
    /// In a directory.
    Directory(directory::Writer),
    /// In object storage.
    Bucket(Box<bucket::Writer>),
}

impl ObjectWriter {
    /// Adds bytes.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), ObjectError> {
        match self {
            Self::Directory(writer) => writer.write(bytes).await,
            Self::Bucket(writer) => writer.write(bytes).await,
        }
    }

    /// Gives the file its name, once it is safe.
    pub async fn finish(self) -> Result<(), ObjectError> {
        match self {
            Self::Directory(writer) => writer.finish().await,
            Self::Bucket(writer) => writer.finish().await,
        }
    }
}

/// A file that is read: its size and its bytes.
pub struct ObjectReader {
    /// Its size.
    pub bytes: u64,
    /// Its bytes.
    pub stream: BoxStream<'static, Result<Bytes, ObjectError>>,
}

/// A task that has files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub id: String,
    /// The attempts that have output.
    pub attempts: Vec<i64>,
}

/// The storage.
#[derive(Debug, Clone)]
pub enum Objects {
    /// A directory.
    Directory(Directory),
    /// Object storage.
    Bucket(Bucket),
}

impl Objects {
    /// Begins a file.
    pub async fn create(&self, key: &Key) -> Result<ObjectWriter, ObjectError> {
        match self {
            Self::Directory(directory) => directory.create(key).await.map(ObjectWriter::Directory),
            Self::Bucket(bucket) => Ok(ObjectWriter::Bucket(Box::new(bucket.create(key).await?))),
        }
    }

    /// Stores a file that is there already; it may be moved.
    pub async fn store(&self, key: &Key, file: &Path) -> Result<(), ObjectError> {
        match self {
            Self::Directory(directory) => directory.store(key, file).await,
            Self::Bucket(bucket) => bucket.store(key, file).await,
        }
    }

    /// Opens a file.
    pub async fn read(&self, key: &Key) -> Result<ObjectReader, ObjectError> {
        match self {
            Self::Directory(directory) => directory.read(key).await,
            Self::Bucket(bucket) => bucket.read(key).await,
        }
    }

    /// The path of a file for a program that reads files: in the directory itself, or of a copy in `scratch`.
    pub async fn local(&self, key: &Key, scratch: &Path) -> Result<PathBuf, ObjectError> {
        match self {
            Self::Directory(directory) => Ok(directory.path(key)),
            Self::Bucket(bucket) => bucket.local(key, scratch).await,
        }
    }

    /// Removes the output of one attempt.
    pub async fn remove_attempt(&self, task: &str, attempt: i64) -> Result<(), ObjectError> {
        match self {
            Self::Directory(directory) => directory.remove_attempt(task, attempt).await,
            Self::Bucket(bucket) => bucket.remove_attempt(task, attempt).await,
        }
    }

    /// Removes all files of a task; none is fine.
    pub async fn remove(&self, task: &str) -> Result<(), ObjectError> {
        match self {
            Self::Directory(directory) => directory.remove(task).await,
            Self::Bucket(bucket) => bucket.remove(task).await,
        }
    }

    /// The tasks that have files.
    pub async fn tasks(&self) -> Result<Vec<Found>, ObjectError> {
        match self {
            Self::Directory(directory) => directory.tasks().await,
            Self::Bucket(bucket) => bucket.tasks().await,
        }
    }

    /// Whether it answers.
    pub async fn ping(&self) -> Result<(), ObjectError> {
        match self {
            Self::Directory(directory) => directory.ping().await,
            Self::Bucket(bucket) => bucket.ping().await,
        }
    }
}
