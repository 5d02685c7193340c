//! A number, or a text with a unit.

use std::{borrow::Cow, time::Duration};

use capture_types::values::{self, ValueError};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Bytes or seconds as a bare number, or with a unit, as in `100MiB` or `10m`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Amount {
    /// In bytes or in seconds.
    Number(u64),
    /// With its unit.
    Text(String),
}

impl Amount {
    /// Bytes.
    ///
    /// # Errors
    /// Says what would be right.
    pub fn bytes(&self) -> Result<u64, ValueError> {
        match self {
            Self::Number(bytes) => values::size(&format!("{bytes}B")),
            Self::Text(text) => match text.trim().parse::<u64>() {
                Ok(bytes) => values::size(&format!("{bytes}B")),
                Err(_) => values::size(text),
            },
        }
    }

    /// A length of time.
    ///
    /// # Errors
    /// Says what would be right.
    pub fn duration(&self) -> Result<Duration, ValueError> {
        match self {
            Self::Number(seconds) => values::interval(&format!("{seconds}s")),
            Self::Text(text) => match text.trim().parse::<u64>() {
                Ok(seconds) => values::interval(&format!("{seconds}s")),
                Err(_) => values::interval(text),
            },
        }
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl JsonSchema for Amount {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_number_is_bytes_or_seconds_and_a_text_has_its_unit() {
        let text = |text: &str| Amount::Text(text.to_owned());
        assert_eq!(Amount::Number(4096).bytes(), Ok(4096));
        assert_eq!(text("10MiB").bytes(), Ok(10 << 20));
        assert_eq!(text("4096").bytes(), Ok(4096));
        assert_eq!(Amount::Number(90).duration(), Ok(Duration::from_secs(90)));
        assert_eq!(text("24h").duration(), Ok(Duration::from_secs(86_400)));
        assert!(Amount::Number(0).bytes().is_err());
        assert!(Amount::Number(0).duration().is_err());
        assert!(text("10 bananas").bytes().is_err());
        assert!(text("soon").duration().is_err());
    }
}
