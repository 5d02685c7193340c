//! Secrets: they come from files and the environment, and are never printed.

use std::{
    fmt,
    io::{self, Read as _},
    path::Path,
};

/// Longer than any token or key.
const LONGEST: u64 = 64 << 10;

/// A secret. It is not printed, also not by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("{path}: {source}; name a file that this user may read")]
    Read {
        /// The file.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// The file is empty, too long, or has control characters within.
    #[error("{path}: no secret is in it: write one line of at most 64 KiB")]
    Content {
        /// The file.
        path: String,
    },
}

impl Secret {
    /// A secret from the environment.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Reads a secret from a file; white space around it is removed. The file is read each time, as secrets are
    /// rotated.
    ///
    /// # Errors
    /// See [`SecretError`]; the content of the file is in none of them.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let name = path.display().to_string();
        let mut text = String::new();
        let read = std::fs::File::open(path)
            .and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
        if let Err(source) = read {
            return Err(SecretError::Read { path: name, source });
        }
        let secret = text.trim();
        if secret.is_empty() || text.len() as u64 > LONGEST || secret.contains(char::is_control) {
            return Err(SecretError::Content { path: name });
        }
        Ok(Self(secret.to_owned()))
    }

    /// The secret itself, for the request that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_is_read_without_its_line_end_and_never_printed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "s3cret\n").unwrap();
        let secret = Secret::read(&path).unwrap();
        assert_eq!(secret.expose(), "s3cret");
        assert!(!format!("{secret:?}").contains("s3cret"));
        for text in ["", " \n", "two\nlines", "nul\0"] {
            std::fs::write(&path, text).unwrap();
            let error = Secret::read(&path).unwrap_err().to_string();
            assert!(
                error.contains("token") && !error.contains("lines"),
                "{error}"
            );
        }
    }
}
