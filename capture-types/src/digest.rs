//! Digests of files.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::values::ValueError;

/// How the digest of a file is computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DigestAlgorithm {
    /// XXH3 with 128 bits and seed 0, as `xxh128sum` prints it: finds damage, at a small part of the cost of
    /// writing the file. It is no proof against a deliberate change.
    #[default]
    Xxh128,
    /// SHA-256 (FIPS 180-4), as `sha256sum` prints it: also finds deliberate changes.
    Sha256,
}

impl DigestAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 2] = [Self::Xxh128, Self::Sha256];

    /// Its name, as options, settings and manifests have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xxh128 => "xxh128",
            Self::Sha256 => "sha256",
        }
    }

    /// Bytes of a digest.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Xxh128 => 16,
            Self::Sha256 => 32,
        }
    }
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The digest of a file's bytes. As text it is `<algorithm>:<hexadecimal>`, for example
/// `xxh128:99aa06d3014798d86001c324468d497f`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: DigestAlgorithm,
    hexadecimal: String,
}

impl Digest {
    /// A digest from its lower-case hexadecimal digits.
    ///
    /// # Errors
    /// There are more or fewer digits than the algorithm's, or other characters.
    pub fn new(
        algorithm: DigestAlgorithm,
        hexadecimal: impl Into<String>,
    ) -> Result<Self, ValueError> {
        let hexadecimal = hexadecimal.into();
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hexadecimal.len() != 2 * algorithm.bytes() || !hexadecimal.bytes().all(is_digit) {
            return Err(ValueError::new(format!(
                "a digest of {algorithm} is {} lower-case hexadecimal digits",
                2 * algorithm.bytes()
            )));
        }
        Ok(Self {
            algorithm,
            hexadecimal,
        })
    }

    /// How it was computed.
    #[must_use]
    pub const fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }

    /// Its digits.
    #[must_use]
    pub fn hexadecimal(&self) -> &str {
        &self.hexadecimal
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.hexadecimal)
    }
}

impl FromStr for Digest {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = text.split_once(':').and_then(|(name, digits)| {
            let named = |algorithm: &DigestAlgorithm| algorithm.name() == name;
            Some((DigestAlgorithm::ALL.into_iter().find(named)?, digits))
        });
        match known {
            Some((algorithm, digits)) => Self::new(algorithm, digits),
            None => Err(ValueError::new(
                "a digest begins with xxh128: or sha256: and goes on with hexadecimal digits",
            )),
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_back_from_its_text_and_nothing_else_is_one() {
        let digits = "0123456789abcdef".repeat(2);
        let digest = Digest::new(DigestAlgorithm::Xxh128, digits.clone()).expect("32 digits");
        assert_eq!(digest.to_string(), format!("xxh128:{digits}"));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for wrong in [
            String::new(),
            digits.clone(),
            format!("md5:{digits}"),
            format!("sha256:{digits}"),
            format!("xxh128:{}", digits.to_uppercase()),
            format!("xxh128:{}\u{e9}", &digits[2..]),
        ] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }
}
