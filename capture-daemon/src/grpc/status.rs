//! The mapping from errors to gRPC statuses, in one place.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use super::bounds;
use crate::{cut::cut, manager::ManagerError};
use capture_file::DirectoryError;
use capture_filter::FilterError;
use capture_pipeline::recorder::RecorderError;
use capture_session::{SessionError, attach::AttachError};

/// All invalid fields of a request; if there are many, the first few and their number.
#[derive(Debug, Default)]
pub(super) struct Violations {
    kept: Vec<FieldViolation>,
    more: usize,
}

impl Violations {
    /// Adds a violation for a field, by its path in the request.
    pub(super) fn add(&mut self, field: impl Into<String>, description: impl ToString) {
        if self.kept.len() >= bounds::VIOLATIONS {
            self.more += 1;
            return;
        }
        let field = field.into();
        let field = cut(&field, bounds::VIOLATION);
        let description = description.to_string();
        let description = cut(&description, bounds::STATUS);
        self.kept.push(FieldViolation::new(field, description));
    }

    /// The value, or `None` and a violation.
    pub(super) fn take<T, E: ToString>(
        &mut self,
        field: impl Into<String>,
        value: Result<T, E>,
    ) -> Option<T> {
        value
            .map_err(|error| self.add(field, error.to_string()))
            .ok()
    }

    /// Whether a text has at most this many bytes; adds a violation otherwise.
    pub(super) fn at_most(&mut self, field: &str, text: &str, bytes: usize) -> bool {
        let fits = text.len() <= bytes;
        if !fits {
            let length = text.len();
            self.add(
                field,
                format!("{length} bytes: at most {bytes} are allowed"),
            );
        }
        fits
    }

    /// Whether a field has at most this many elements; adds a violation otherwise.
    pub(super) fn at_most_elements(&mut self, field: &str, count: usize, most: usize) -> bool {
        let fits = count <= most;
        if !fits {
            self.add(
                field,
                format!("{count} elements: at most {most} are allowed"),
            );
        }
        fits
    }

    /// Whether there are no violations so far.
    pub(super) const fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Fails if there are violations.
    pub(super) fn check(mut self) -> Result<(), Status> {
        /// Violations in the message; the details have the others.
        const IN_MESSAGE: usize = 3;
        if self.kept.is_empty() {
            return Ok(());
        }
        if self.kept.len() > 1 {
            for one in &mut self.kept {
                one.description = cut(&one.description, bounds::VIOLATION).into_owned();
            }
        }
        let mut message = String::new();
        for one in self.kept.iter().take(IN_MESSAGE) {
            if !message.is_empty() {
                message.push_str("; ");
            }
            message.push_str(&format!("{}: {}", one.field, one.description));
        }
        let more = self.more + self.kept.len().saturating_sub(IN_MESSAGE);
        if more > 0 {
            message.push_str(&format!("; and {more} more"));
        }
        let details = ErrorDetails::with_bad_request(self.kept);
        Err(Status::with_error_details(
            Code::InvalidArgument,
            message,
            details,
        ))
    }
}

/// A status for one invalid field.
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
            | ManagerError::NoPods { .. }
            | ManagerError::NoFiles { .. }
            | ManagerError::Foreign { .. }
            | ManagerError::Growing { .. } => Code::FailedPrecondition,
            ManagerError::Generation { .. } => Code::Aborted,
            ManagerError::ShuttingDown => Code::Unavailable,
            ManagerError::Session(error) => session(error),
            ManagerError::Io { source, .. } => io(source),
            ManagerError::State(_) => Code::Unavailable,
            ManagerError::Internal => Code::Internal,
        };
        Self::new(code, cut(&error.to_string(), bounds::STATUS))
    }
}

fn session(error: &SessionError) -> Code {
    match error {
        SessionError::Filter(FilterError::Compiler(_)) => Code::Internal,
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
        std::io::ErrorKind::StorageFull
        | std::io::ErrorKind::QuotaExceeded
        | std::io::ErrorKind::OutOfMemory => Code::ResourceExhausted,
        std::io::ErrorKind::PermissionDenied
        | std::io::ErrorKind::ReadOnlyFilesystem
        | std::io::ErrorKind::NotADirectory => Code::FailedPrecondition,
        // EMFILE and ENFILE.
        _ if matches!(error.raw_os_error(), Some(23 | 24)) => Code::ResourceExhausted,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_many_violations_fits_into_the_trailers_of_stock_clients() {
        let mut wrong = Violations::default();
        for at in 0..1000 {
            wrong.add(format!("spec.targets[{at}]"), "\u{e9}".repeat(10_000));
        }
        let status = wrong.check().expect_err("all of them are wrong");
        let violations = status.get_details_bad_request().expect("details");
        assert_eq!(violations.field_violations.len(), bounds::VIOLATIONS);
        assert!(status.message().ends_with("and 997 more"), "{status}");
        let headers = status.into_http::<tonic::body::Body>().headers().clone();
        let bytes: usize = headers.values().map(|value| value.len()).sum();
        assert!(bytes < 8 << 10, "{bytes} bytes");
    }
}
