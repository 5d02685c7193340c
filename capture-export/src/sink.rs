//! What a sink is: a place that takes finished files, and says what it has.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use futures_util::future::BoxFuture;

use crate::file::FinishedFile;

/// A place that takes finished files. Each sink has a task of its own, which delivers one file after the other;
/// no sink waits for another.
pub trait Sink: fmt::Debug + Send + Sync {
    /// Whether the sink takes files now. Asked before each file; must cost little, and end by itself.
    fn ready(&self) -> BoxFuture<'_, Result<(), NotReady>>;

    /// Delivers a file. A repeat of a file that was delivered, in part or as a whole, must be harmless: a process can
    /// end between the delivery and the checkpoint. Whoever awaits this gives up when `progress` stands still for
    /// long, and may drop the future at any time.
    fn deliver<'a>(
        &'a self,
        file: &'a FinishedFile,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Receipt, Failure>>;

    /// Whether files that were delivered are also indexed by what is behind the sink, where that can be asked.
    fn indexed<'a>(&'a self, receipt: &'a Receipt) -> BoxFuture<'a, Indexed> {
        let _ = receipt;
        Box::pin(async { Indexed::Unknown })
    }
}

/// Whether what was delivered can be searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indexed {
    /// It can.
    Yes,
    /// Not yet.
    No,
    /// The sink cannot be asked.
    Unknown,
}

/// What a sink says of a file that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Where the file is now: the name of an object, an upload, an index. No secrets.
    pub place: String,
    /// Whether the sink has read the file back and compared it; else it has only acknowledged it.
    pub verified: bool,
}

/// The sink takes no files now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotReady {
    /// Why; no secrets.
    pub reason: String,
    /// When to ask again, if the sink said so.
    pub after: Option<Duration>,
}

impl NotReady {
    /// Not ready for a reason, without a time to ask again.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            after: None,
        }
    }
}

/// A file was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It may succeed later.
    #[error("{reason}")]
    Retry {
        /// When to try again, if the sink said so.
        after: Option<Duration>,
        /// Why; no secrets.
        reason: String,
    },
    /// The sink will never take this file: it is put aside until somebody says `retry` or `skip`.
    #[error("{reason}")]
    Reject {
        /// Why; no secrets.
        reason: String,
    },
    /// The file does not exist any more, or was replaced by one of another name or size.
    #[error("{reason}")]
    Gone {
        /// What was found instead.
        reason: String,
    },
}

impl Failure {
    /// To be tried again, at a time that the caller chooses.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry {
            after: None,
            reason: reason.into(),
        }
    }

    /// Never to be tried again by itself.
    pub fn reject(reason: impl Into<String>) -> Self {
        Self::Reject {
            reason: reason.into(),
        }
    }

    /// The failure that an error of the local file means.
    #[must_use]
    pub fn of_file(error: &std::io::Error) -> Self {
        let reason = error.to_string();
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::Gone { reason },
            std::io::ErrorKind::InvalidInput => Self::Reject { reason },
            _ => Self::Retry {
                after: None,
                reason,
            },
        }
    }
}

/// How far the delivery of one file is. The sink adds; others read.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    moved: AtomicU64,
}

impl Progress {
    /// Bytes of the file that are done.
    pub fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Relaxed);
        self.alive();
    }

    /// Something has moved, without bytes of the file being done: an answer came, a packet was read.
    pub fn alive(&self) {
        self.moved.fetch_add(1, Relaxed);
    }

    /// Bytes of the file that are done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done.load(Relaxed)
    }

    /// A number that changes whenever something moves.
    #[must_use]
    pub fn moved(&self) -> u64 {
        self.moved.load(Relaxed)
    }
}
