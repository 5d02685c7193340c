//! The account at Malcolm.

use std::path::PathBuf;

use crate::secret::{Secret, SecretError};

/// A user, and where the password is.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) file: Option<PathBuf>,
}

impl Login {
    /// The password; the file is read again each time, as passwords change.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn password(&self) -> Result<Secret, SecretError> {
        match &self.file {
            Some(path) => Secret::read(path),
            None => Ok(Secret::new(
                std::env::var("MALCOLM_PASSWORD").unwrap_or_default(),
            )),
        }
    }
}
