//! Errors of the manager.

use super::{budget::Exhausted, state::State};
use capture_session::SessionError;

/// Why the manager rejects a request.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// There is no such capture.
    #[error("there is no capture named {0:?}; list the captures to see their names")]
    NotFound(String),
    /// The name is in use.
    #[error(
        "there is a capture named {name:?} already ({state}); choose another name, or delete it"
    )]
    Exists {
        /// The name.
        name: String,
        /// The state of the capture that has it.
        state: State,
    },
    /// A request id was used before with another request.
    #[error(
        "request_id {id:?} was used to start capture {name:?}; use a new id for another request"
    )]
    RequestReused {
        /// The id.
        id: String,
        /// The capture that it started.
        name: String,
    },
    /// The budget does not allow it.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The capture has ended.
    #[error("capture {name:?} has ended ({state}); start another one")]
    Ended {
        /// Its name.
        name: String,
        /// Its state.
        state: State,
    },
    /// The capture has not ended.
    #[error("capture {name:?} is {state}; stop it first, or ask for it to be stopped")]
    Active {
        /// Its name.
        name: String,
        /// Its state.
        state: State,
    },
    /// The capture was started without pods.
    #[error("capture {name:?} was started without pods; start another one with pods")]
    NoPods {
        /// Its name.
        name: String,
    },
    /// The capture makes no files.
    #[error("capture {name:?} makes no files that could be exported; start another one with files")]
    NoFiles {
        /// Its name.
        name: String,
    },
    /// The capture was changed meanwhile.
    #[error("capture {name:?} is of generation {actual}, not {expected}; read it again")]
    Generation {
        /// Its name.
        name: String,
        /// The expected generation.
        expected: u64,
        /// Its generation.
        actual: u64,
    },
    /// The capture could not be started.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// There is no such file.
    #[error("capture {capture:?} has no file {file:?}; list its files to see their names")]
    NoFile {
        /// The capture.
        capture: String,
        /// The file.
        file: String,
    },
    /// The file is being written.
    #[error("file {file:?} of capture {capture:?} is being written; wait until it is finished")]
    Growing {
        /// The capture.
        capture: String,
        /// The file.
        file: String,
    },
    /// The state of the capture cannot be saved.
    #[error(
        "the state of the capture could not be saved, and a crash would lose it: {0}; make room in \
         state_dir, or repair its file system"
    )]
    State(std::io::Error),
    /// A file or a directory does not belong to the daemon.
    #[error("{name:?} is not a {kind} of the daemon's own; remove it from the data directory")]
    Foreign {
        /// Its name.
        name: String,
        /// What it should be.
        kind: &'static str,
    },
    /// A disk operation failed.
    #[error("{doing}: {source}")]
    Io {
        /// The operation.
        doing: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The daemon is shutting down.
    #[error("the daemon is shutting down; try again in a moment")]
    ShuttingDown,
    /// A task of the daemon is gone, which only a bug can cause.
    #[error("internal error; see the daemon's log")]
    Internal,
}
