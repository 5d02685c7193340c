//! Errors between client and node, with what to do about them.

use std::{error::Error as _, path::PathBuf, time::Duration};

use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::tls;

/// A request that failed.
#[derive(Debug, Clone, Error)]
pub enum ClientError {
    /// Nothing listens at the socket.
    #[error("no daemon answers at {}", socket.display())]
    NoDaemon {
        /// The socket.
        socket: PathBuf,
    },
    /// The socket is another user's.
    #[error("the socket {} may not be opened by this user", socket.display())]
    SocketDenied {
        /// The socket.
        socket: PathBuf,
    },
    /// Connecting failed.
    #[error("{node} cannot be reached: {problem}")]
    Unreachable {
        /// The node, as it was named.
        node: String,
        /// Why.
        problem: String,
    },
    /// The node's certificate is rejected.
    #[error("{0}")]
    Tls(String),
    /// Files with certificates or keys that cannot be used.
    #[error("{0}")]
    Files(String),
    /// The answer took too long.
    #[error("no answer within {}", humantime::format_duration(*timeout))]
    Timeout {
        /// The time limit.
        timeout: Duration,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// Nothing has this name.
    #[error("{0}")]
    NotFound(String),
    /// The client's certificate is rejected, or its role does not allow the request.
    #[error("{0}")]
    Denied(String),
    /// The node rejects the request.
    #[error("{message}")]
    Refused {
        /// The kind of rejection.
        refusal: Refusal,
        /// The reason, and the error of each field.
        message: String,
    },
    /// The data is damaged.
    #[error("{0}")]
    Damaged(String),
}

/// Why a node rejects a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A field of the request is not valid.
    Invalid,
    /// A capture of this name exists already.
    AlreadyExists,
    /// Not possible in the current state.
    Precondition,
    /// The capture has changed since the generation that the request expects.
    Conflict,
    /// A limit of the node or of the request is reached.
    Exhausted,
    /// The node does not support this call, or what it requests.
    Unsupported,
    /// An internal error of the node.
    Internal,
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        match code {
            Code::InvalidArgument | Code::OutOfRange => Self::Invalid,
            Code::AlreadyExists => Self::AlreadyExists,
            Code::FailedPrecondition => Self::Precondition,
            Code::Aborted => Self::Conflict,
            Code::ResourceExhausted => Self::Exhausted,
            Code::Unimplemented => Self::Unsupported,
            _ => Self::Internal,
        }
    }
}

impl ClientError {
    /// Whether the same request may succeed a little later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::NoDaemon { .. }
            | Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Broken(_) => true,
            Self::SocketDenied { .. }
            | Self::Tls(_)
            | Self::Files(_)
            | Self::NotFound(_)
            | Self::Denied(_)
            | Self::Refused { .. }
            | Self::Damaged(_) => false,
        }
    }
}

/// Maps a status to an error; the only place that inspects statuses.
pub(super) fn from_status(status: &Status, timeout: Option<Duration>) -> ClientError {
    // If the client's certificate is rejected, its first request fails.
    if let Some(refusal) = status.source().and_then(tls::refusal) {
        return refusal;
    }
    let message = message(status);
    match status.code() {
        Code::NotFound => ClientError::NotFound(message),
        Code::PermissionDenied | Code::Unauthenticated => ClientError::Denied(message),
        Code::DeadlineExceeded => ClientError::Timeout {
            timeout: timeout.unwrap_or_default(),
        },
        // A deadline that this side notices first.
        Code::Cancelled if timeout.is_some() && message.contains("Timeout") => {
            ClientError::Timeout {
                timeout: timeout.unwrap_or_default(),
            }
        }
        Code::DataLoss => ClientError::Damaged(message),
        // A node that uses TLS answers like this, read as HTTP/2.
        _ if message.contains("frame with invalid size") => {
            ClientError::Broken(format!("{message}: does the node want TLS?"))
        }
        Code::Unavailable | Code::Cancelled => ClientError::Broken(message),
        // A transport that breaks in mid-stream cannot always be distinguished from an error of the
        // node.
        Code::Unknown | Code::Internal if status.source().is_some() => ClientError::Broken(message),
        code => ClientError::Refused {
            refusal: code.into(),
            message,
        },
    }
}

/// The message, and the error of each field.
fn message(status: &Status) -> String {
    let mut text = status.message().to_owned();
    if text.is_empty() {
        text = status.code().description().to_owned();
    }
    if let Some(details) = status.get_details_bad_request() {
        for violation in details.field_violations {
            if !text.contains(&violation.description) {
                text.push_str(&format!(
                    "\n  {}: {}",
                    violation.field, violation.description
                ));
            }
        }
    }
    let mut source = status.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(&format!(": {cause_text}"));
        }
        source = cause.source();
    }
    text
}

/// The innermost cause, which is the most specific: "connection refused" and not "transport error".
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// The kind of the system's error among the causes, if there is one.
pub(super) fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<std::io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return Some(error.kind());
        }
        next = error.source();
    }
    None
}
