//! Errors as gRPC has them: here, and nowhere else.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::{
    attach::AttachError, manager::ManagerError, pipeline::recorder::RecorderError,
    session::SessionError,
};
use capture_file::DirectoryError;

/// What is wrong with the fields of a request; all of it, not only the first.
#[derive(Debug, Default)]
pub(super) struct Violations(Vec<FieldViolation>);

impl Violations {
    /// Notes what is wrong with a field, by its path in the request.
    pub(super) fn add(&mut self, field: impl Into<String>, description: impl ToString) {
        self.0
            .push(FieldViolation::new(field, description.to_string()));
    }

    /// The value, or a note of what is wrong with it.
    pub(super) fn take<T, E: ToString>(
        &mut self,
        field: impl Into<String>,
        value: Result<T, E>,
    ) -> Option<T> {
        value
            .map_err(|error| self.add(field, error.to_string()))
            .ok()
    }

    /// Notes a text that is longer than it may be.
    pub(super) fn at_most(&mut self, field: &str, text: &str, bytes: usize) {
        if text.len() > bytes {
            self.add(
                field,
                format!("{} bytes: at most {bytes} are allowed", text.len()),
            );
        }
    }

    /// Fails if anything is wrong.
    pub(super) fn check(self) -> Result<(), Status> {
        if self.0.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = self
            .0
            .iter()
            .map(|one| format!("{}: {}", one.field, one.description))
            .collect();
        let details = ErrorDetails::with_bad_request(self.0);
        Err(Status::with_error_details(
            Code::InvalidArgument,
            lines.join("; "),
            details,
        ))
    }
}

/// One wrong field.
pub(super) fn invalid(field: &str, description: impl ToString) -> Status {
    let mut violations = Violations::default();
    violations.add(field, description);
    match violations.check() {
        Err(status) => status,
        Ok(()) => Status::invalid_argument(field),
    }
}

impl From<ManagerError> for Status {
    fn from(error: ManagerError) -> Self {
        let code = match &error {
            ManagerError::NotFound(_) | ManagerError::NoFile { .. } => Code::NotFound,
            ManagerError::Exists { .. } | ManagerError::RequestReused { .. } => Code::AlreadyExists,
            ManagerError::Exhausted(_) => Code::ResourceExhausted,
            ManagerError::Ended { .. }
            | ManagerError::Active { .. }
            | ManagerError::Growing { .. } => Code::FailedPrecondition,
            ManagerError::Generation { .. } => Code::Aborted,
            ManagerError::ShuttingDown => Code::Unavailable,
            ManagerError::Session(error) => session(error),
            ManagerError::Io { source, .. } => io(source),
            ManagerError::Internal => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

fn session(error: &SessionError) -> Code {
    match error {
        SessionError::Filter(_) => Code::InvalidArgument,
        SessionError::Ended | SessionError::Features(_) | SessionError::Interface(_) => {
            Code::FailedPrecondition
        }
        SessionError::Attach(error) if AttachError::is_interface_gone(error) => {
            Code::FailedPrecondition
        }
        SessionError::Recorder(RecorderError::Directory(DirectoryError::Busy { .. })) => {
            Code::FailedPrecondition
        }
        SessionError::System { source, .. } => io(source),
        _ => Code::Internal,
    }
}

fn io(error: &std::io::Error) -> Code {
    match error.kind() {
        std::io::ErrorKind::NotFound => Code::NotFound,
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::OutOfMemory => {
            Code::ResourceExhausted
        }
        _ => Code::Internal,
    }
}
