//! How the program ends: what its exit status says, and the messages that go with it.

use std::{io, process::ExitCode};

use thiserror::Error as ThisError;

use capture_client::{
    ClientError,
    contexts::ContextError,
    pull::{DownloadError, WorkspaceError},
    settings::SettingsError,
};
use capture_file::{MergeError, ReadError, WriteError};

use super::environment::EnvironmentError;

/// What the exit status says; the help names each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Done,
    Failed,
    Usage,
    NotFound,
    Unreachable,
    Denied,
    Damaged,
    Timeout,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotFound => 3,
            Exit::Unreachable => 4,
            Exit::Denied => 5,
            Exit::Damaged => 6,
            Exit::Timeout => 7,
        })
    }
}

impl Exit {
    /// Of two, when different things went wrong.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Done, one) | (one, Self::Done) => one,
            (one, other) if one == other => one,
            _ => Self::Failed,
        }
    }
}

/// Ends the program.
#[derive(Debug, ThisError)]
pub(super) enum Error {
    #[error("the output is closed")]
    OutputClosed,
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Failed(String),
    #[error("{0}")]
    Damaged(String),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    #[error(transparent)]
    Download(#[from] DownloadError),
    #[error(transparent)]
    Merge(MergeError),
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Io(error)
        }
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Io(error) => error.into(),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<MergeError> for Error {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::Write(error) => error.into(),
            other => Self::Merge(other),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        io::Error::from(error).into()
    }
}

impl Error {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::OutputClosed => Exit::Done,
            Self::Usage(_) | Self::Settings(_) | Self::Context(_) | Self::Environment(_) => {
                Exit::Usage
            }
            Self::Failed(_) | Self::Workspace(_) | Self::Io(_) => Exit::Failed,
            Self::Damaged(_) => Exit::Damaged,
            Self::Client(error) => of_client(error),
            Self::Download(DownloadError::Node { source, .. }) => of_client(source),
            Self::Download(DownloadError::Digest { .. }) => Exit::Damaged,
            Self::Download(_) => Exit::Failed,
            Self::Merge(MergeError::Read { source, .. }) => match source {
                ReadError::Io(_) => Exit::Failed,
                ReadError::Damaged { .. } | ReadError::Cut { .. } => Exit::Damaged,
            },
            Self::Merge(MergeError::Write(_)) => Exit::Failed,
        }
    }
}

fn of_client(error: &ClientError) -> Exit {
    match error {
        ClientError::NoDaemon { .. }
        | ClientError::Unreachable { .. }
        | ClientError::Tls(_)
        | ClientError::Broken(_) => Exit::Unreachable,
        ClientError::SocketDenied { .. } | ClientError::Denied(_) => Exit::Denied,
        ClientError::Files(_) => Exit::Usage,
        ClientError::NotFound(_) => Exit::NotFound,
        ClientError::Timeout { .. } => Exit::Timeout,
        ClientError::Damaged(_) => Exit::Damaged,
        ClientError::Refused(_) => Exit::Failed,
    }
}
