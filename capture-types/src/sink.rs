use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::values::ValueError;

/// The name of a sink of an exporter: 1 to 40 of `a-z`, `0-9` and `-`. It is part of file names and a label of
/// metrics.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SinkName(String);

/// Sinks that an exporter has, and that a capture names, at most.
pub const MAX_SINKS: usize = 32;

const LONGEST: usize = 40;

impl SinkName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SinkName {
    type Err = ValueError;

    fn from_str(name: &str) -> Result<Self, ValueError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if (1..=LONGEST).contains(&name.len()) && name.chars().all(plain) {
            return Ok(Self(name.to_owned()));
        }
        Err(ValueError::new(
            "give the name of a sink: 1 to 40 of a-z, 0-9 and '-'",
        ))
    }
}

impl TryFrom<String> for SinkName {
    type Error = ValueError;

    fn try_from(name: String) -> Result<Self, ValueError> {
        name.parse()
    }
}

impl From<SinkName> for String {
    fn from(name: SinkName) -> Self {
        name.0
    }
}

impl fmt::Display for SinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The names of a list, each once, in order.
///
/// # Errors
/// There are more than [`MAX_SINKS`].
pub fn distinct_sinks(names: Vec<SinkName>) -> Result<Vec<SinkName>, ValueError> {
    let mut names = names;
    names.sort();
    names.dedup();
    if names.len() > MAX_SINKS {
        return Err(ValueError::new(format!(
            "{} sinks are named: name at most {MAX_SINKS}",
            names.len()
        )));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_sink_cannot_reach_outside_a_directory() {
        for bad in ["", "a/b", "..", "A", "a b", "a_b", "é", &"x".repeat(41)] {
            assert!(bad.parse::<SinkName>().is_err(), "{bad:?} was taken");
            assert!(SinkName::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        for good in ["a", "site-a", "7", &"x".repeat(40)] {
            assert!(good.parse::<SinkName>().is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn each_sink_is_named_once_and_not_too_many() {
        let names = |texts: &[String]| {
            texts
                .iter()
                .map(|text| text.parse().expect("name"))
                .collect()
        };
        let two = distinct_sinks(names(&["b".into(), "a".into(), "b".into()])).expect("few");
        assert_eq!(
            two.iter().map(SinkName::as_str).collect::<Vec<_>>(),
            ["a", "b"]
        );
        let many: Vec<String> = (0..33).map(|number| format!("s{number}")).collect();
        assert!(distinct_sinks(names(&many)).is_err());
    }
}
