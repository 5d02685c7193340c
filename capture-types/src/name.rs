use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a capture. It becomes part of file names, so characters with a meaning in paths are
/// not allowed: 1 to 63 ASCII letters, digits, `-`, `_` and `.`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CaptureName(String);

/// Why a name cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "name {name:?} {reason}: use 1 to 63 of a-z, A-Z, 0-9, '-', '_' and '.', beginning with a \
     letter or digit"
)]
pub struct NameError {
    name: String,
    reason: &'static str,
}

const LONGEST: usize = 63;

impl CaptureName {
    /// Checks that the name can be part of a file name.
    pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        let name = name.into();
        match reason_against(&name) {
            None => Ok(Self(name)),
            Some(reason) => {
                let name = name.chars().take(LONGEST + 1).collect();
                Err(NameError { name, reason })
            }
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CaptureName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl From<CaptureName> for String {
    fn from(name: CaptureName) -> Self {
        name.0
    }
}

impl fmt::Display for CaptureName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn reason_against(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name.len() > LONGEST {
        Some("is too long")
    } else if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        Some("begins with neither a letter nor a digit")
    } else if name.contains("..") {
        Some("contains \"..\"")
    } else if !name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    {
        Some("contains a character that is not allowed")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::CaptureName;

    #[test]
    fn a_name_cannot_reach_outside_its_directory() {
        for name in [
            "", "a/b", "..", "a..b", "/etc", ".hidden", "-rf", "a b", "a\0b", "é",
        ] {
            assert!(CaptureName::new(name).is_err(), "{name:?} was taken");
        }
        assert!(CaptureName::new("x".repeat(64)).is_err());
        for name in ["a", "web-1", "pod.eth0_7", &"x".repeat(63)] {
            assert!(CaptureName::new(name).is_ok(), "{name:?} was refused");
        }
    }
}
