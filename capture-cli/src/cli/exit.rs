//! How the program ends: what its exit status says, and the messages that go with it.

use std::{io, process::ExitCode};

use thiserror::Error as ThisError;

use capture_args::FilterFileError;
use capture_client::{
    ClientError,
    contexts::ContextError,
    pull::{DownloadError, WorkspaceError},
    settings::SettingsError,
};
use capture_file::{MergeError, ReadError, WriteError};

use super::environment::EnvironmentError;

/// How a command ended, as its exit status says.
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

/// Every way to end, in the order of its exit status from 0 on, with its meaning.
const MEANINGS: [(Exit, &str); 8] = [
    (Exit::Done, "done"),
    (
        Exit::Failed,
        "failed, or several nodes failed in different ways",
    ),
    (Exit::Usage, "wrong command line or configuration"),
    (Exit::NotFound, "no such capture or file"),
    (Exit::Unreachable, "a node cannot be reached"),
    (Exit::Denied, "not allowed"),
    (Exit::Damaged, "damaged or incomplete"),
    (Exit::Timeout, "no answer in time"),
];

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        let status = (0..).zip(MEANINGS).find(|(_, (of, _))| *of == exit);
        status.map_or(Self::FAILURE, |(status, _)| Self::from(status))
    }
}

/// The exit statuses, one a line, for the help.
pub(super) fn meanings() -> String {
    let lines = MEANINGS.iter().enumerate();
    lines
        .map(|(status, (_, meaning))| format!("  {status}  {meaning}\n"))
        .collect()
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
    NotFound(String),
    #[error("{0}")]
    Damaged(String),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error(transparent)]
    Filter(#[from] FilterFileError),
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
    /// What to type instead; to be put behind the message.
    pub(super) fn hint(&self) -> String {
        let client = match self {
            Self::Client(error) | Self::Download(DownloadError::Node { source: error, .. }) => {
                error
            }
            Self::Settings(SettingsError::NoCertificates(_)) => {
                return "; the options are --cacert, --cert and --key, or --insecure".to_owned();
            }
            _ => return String::new(),
        };
        match client {
            ClientError::NoDaemon { socket } => format!(
                ": start one with `captured serve --socket {}` as root, or name nodes with --node \
                 HOST:PORT",
                socket.display()
            ),
            ClientError::SocketDenied { .. } => {
                ": run capturectl as the user that the daemon runs as, \
                                                 which is usually root"
                    .to_owned()
            }
            ClientError::Timeout { .. } => ": give it longer with --timeout".to_owned(),
            _ => String::new(),
        }
    }

    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::OutputClosed => Exit::Done,
            Self::Usage(_)
            | Self::Settings(_)
            | Self::Context(_)
            | Self::Environment(_)
            | Self::Filter(_) => Exit::Usage,
            Self::Failed(_) | Self::Workspace(_) | Self::Io(_) => Exit::Failed,
            Self::NotFound(_) => Exit::NotFound,
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
        ClientError::Refused { .. } => Exit::Failed,
    }
}
