//! Digests of files.

use std::{
    fmt,
    io::{self, ErrorKind, Read},
};

use capture_types::{Digest, DigestAlgorithm};
use sha2::{Digest as _, Sha256};
use twox_hash::xxhash3_128;

use crate::hex;

/// A digest that is being computed.
pub struct Hasher(State);

enum State {
    Xxh128(Box<xxhash3_128::Hasher>),
    Sha256(Box<Sha256>),
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

impl Hasher {
    /// The digest of no bytes.
    #[must_use]
    pub fn new(algorithm: DigestAlgorithm) -> Self {
        Self(match algorithm {
            DigestAlgorithm::Xxh128 => State::Xxh128(Box::new(xxhash3_128::Hasher::new())),
            DigestAlgorithm::Sha256 => State::Sha256(Box::new(Sha256::new())),
        })
    }

    /// How it is computed.
    #[must_use]
    pub const fn algorithm(&self) -> DigestAlgorithm {
        match self.0 {
            State::Xxh128(_) => DigestAlgorithm::Xxh128,
            State::Sha256(_) => DigestAlgorithm::Sha256,
        }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Xxh128(hash) => hash.write(bytes),
            State::Sha256(hash) => hash.update(bytes),
        }
    }

    /// Adds all bytes of the input, and returns their number.
    ///
    /// # Errors
    /// Reading failed.
    pub fn read(&mut self, mut input: impl Read) -> io::Result<u64> {
        let mut buffer = vec![0; 256 << 10];
        let mut length = 0;
        loop {
            match input.read(&mut buffer) {
                Ok(0) => return Ok(length),
                Ok(read) => {
                    self.update(&buffer[..read]);
                    length += read as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The digest of all bytes so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let digits = match &self.0 {
            State::Xxh128(hash) => hex(&hash.finish_128().to_be_bytes()),
            State::Sha256(hash) => hex(&hash.as_ref().clone().finalize()),
        };
        match Digest::new(self.algorithm(), digits) {
            Ok(digest) => digest,
            Err(_) => unreachable!("the algorithm defines the number of digits"),
        }
    }
}

/// The digest of all bytes of the input.
///
/// # Errors
/// Reading failed.
pub fn digest(input: impl Read, algorithm: DigestAlgorithm) -> io::Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    hasher.read(input)?;
    Ok(hasher.digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's example "abc", and the same input for `xxh128sum`.
    #[test]
    fn digests_are_those_of_the_usual_programs() {
        for (algorithm, expected) in [
            (
                DigestAlgorithm::Sha256,
                "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                DigestAlgorithm::Xxh128,
                "xxh128:06b05ab6733a618578af5f94892f3950",
            ),
        ] {
            assert_eq!(
                digest(&b"abc"[..], algorithm).unwrap().to_string(),
                expected
            );
            let mut pieces = Hasher::new(algorithm);
            for piece in [&b"a"[..], b"", b"bc"] {
                pieces.update(piece);
            }
            assert_eq!(pieces.digest().to_string(), expected);
        }
    }
}
