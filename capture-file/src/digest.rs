//! Digests of files.

use std::io::{self, ErrorKind, Read};

use sha2::{Digest as _, Sha256};

use crate::hex;

/// The SHA-256 of all bytes of the input, in hexadecimal.
///
/// # Errors
/// Reading failed.
pub fn sha256(mut input: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
