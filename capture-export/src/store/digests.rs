//! The digests of a file that is to be stored, by one reading.

use std::io::{self, ErrorKind, Read};

use capture_file::Hasher;
use capture_types::{Digest, DigestAlgorithm};

/// The SHA-256 of the input, and its digest by another algorithm if one is given.
pub(super) fn read(
    mut input: impl Read,
    other: Option<DigestAlgorithm>,
) -> io::Result<(Digest, Option<Digest>)> {
    let mut sha256 = Hasher::new(DigestAlgorithm::Sha256);
    let mut other = other.map(Hasher::new);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok((sha256.digest(), other.map(|hasher| hasher.digest()))),
            Ok(read) => {
                sha256.update(&buffer[..read]);
                if let Some(other) = &mut other {
                    other.update(&buffer[..read]);
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
