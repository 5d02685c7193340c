//! The digest of the whole part of a file, computed while the file is scanned, so that it is read only once.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, Read},
};

use capture_types::{Digest, DigestAlgorithm};

use crate::digest::Hasher;

/// Bytes are digested in pieces of about this size.
const PIECE: usize = 1 << 20;
/// No more bytes wait to be known as whole. A longer gzip member or zstd frame is written by no recorder; its file
/// is read a second time.
const MOST_WAITING: usize = 64 << 20;

/// The bytes that were read from a file, and the digest of those that are known to be whole.
#[derive(Debug)]
pub(super) struct WholeDigest {
    /// `None` if the file is not read from its start, and once too many bytes waited.
    hasher: Option<Hasher>,
    /// Bytes of the file in the digest.
    digested: u64,
    /// The bytes after those.
    waiting: Vec<u8>,
    /// Bytes that were read.
    read: u64,
}

impl WholeDigest {
    /// Whether the file is read from its start: there is no digest otherwise.
    pub(super) fn of_all(all: bool) -> Self {
        Self {
            hasher: all.then(|| Hasher::new(DigestAlgorithm::default())),
            digested: 0,
            waiting: Vec::new(),
            read: 0,
        }
    }

    /// Bytes that were read.
    pub(super) const fn read(&self) -> u64 {
        self.read
    }

    /// The file is whole up to this offset, which never decreases.
    pub(super) fn extend(&mut self, whole: u64) {
        if self.waiting.len() >= PIECE {
            self.update(whole);
        }
    }

    /// The digest of the bytes up to this offset.
    pub(super) fn finish(&mut self, whole: u64) -> Option<Digest> {
        self.update(whole);
        let hasher = self.hasher.as_ref();
        hasher
            .filter(|_| self.digested == whole)
            .map(Hasher::digest)
    }

    fn update(&mut self, whole: u64) {
        let Some(hasher) = &mut self.hasher else {
            return;
        };
        let more = usize::try_from(whole.saturating_sub(self.digested)).unwrap_or(usize::MAX);
        let more = more.min(self.waiting.len());
        hasher.update(&self.waiting[..more]);
        self.waiting.drain(..more);
        self.digested += more as u64;
    }

    fn add(&mut self, bytes: &[u8]) {
        self.read += bytes.len() as u64;
        if self.hasher.is_some() {
            self.waiting.extend_from_slice(bytes);
        }
        if self.waiting.len() > MOST_WAITING {
            self.hasher = None;
            self.waiting = Vec::new();
        }
    }
}

/// A file whose bytes are passed on to the digest as they are read.
#[derive(Debug)]
pub(super) struct Digested<'a> {
    pub(super) file: &'a File,
    pub(super) digest: &'a RefCell<WholeDigest>,
}

impl Read for Digested<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.digest.borrow_mut().add(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::digest;

    fn of(bytes: &[u8]) -> Digest {
        digest(bytes, DigestAlgorithm::default()).unwrap()
    }

    #[test]
    fn the_digest_is_that_of_the_whole_part_alone() {
        let bytes: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 251) as u8).collect();
        let mut whole = WholeDigest::of_all(true);
        let mut read = 0;
        for piece in bytes.chunks(300_000) {
            whole.add(piece);
            read += piece.len() as u64;
            whole.extend(read - 100);
            assert!(whole.waiting.len() < PIECE + 300_000);
        }
        assert_eq!(whole.finish(4_999_990), Some(of(&bytes[..4_999_990])));
        assert_eq!(WholeDigest::of_all(true).finish(0), Some(of(b"")));
    }

    #[test]
    fn bytes_that_are_not_known_to_be_whole_take_bounded_memory() {
        let mut whole = WholeDigest::of_all(true);
        let piece = vec![0; 1 << 20];
        for _ in 0..=64 {
            whole.add(&piece);
            whole.extend(0);
        }
        assert!(whole.waiting.is_empty());
        assert_eq!(whole.finish(65 << 20), None, "it is read a second time");
    }
}
