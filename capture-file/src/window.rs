//! The part of a stream in memory: as long as the current record and not much longer.

use std::io::{self, ErrorKind, Read};

use crate::error::ReadError;

/// Bytes of one read.
const STEP: usize = 256 << 10;

pub(crate) struct Window<R> {
    input: R,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes taken from the front so far.
    taken: u64,
    /// Maximum length of a record.
    largest: usize,
}

impl<R: Read> Window<R> {
    pub(crate) fn new(input: R, largest: usize) -> Self {
        Self {
            input,
            bytes: vec![0; STEP],
            start: 0,
            end: 0,
            taken: 0,
            largest,
        }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn take(&mut self, count: usize) {
        self.start += count;
        self.taken += count as u64;
    }

    /// Reads more; false at the end.
    pub(crate) fn fill(&mut self) -> Result<bool, ReadError> {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.bytes.len() {
            // A record may begin anywhere in the bytes of one read.
            if self.bytes.len() >= self.largest + STEP {
                return Err(ReadError::Damaged {
                    offset: self.taken,
                    problem: format!("a record of more than {} bytes", self.largest),
                });
            }
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
        loop {
            match self.input.read(&mut self.bytes[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A codec that ends in the middle of a member or frame.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(self.cut()),
                Err(error) => return Err(self.unreadable(error)),
            }
        }
    }

    fn unreadable(&self, error: io::Error) -> ReadError {
        match error.kind() {
            // A read error of the system is not damage of the file.
            _ if error.raw_os_error().is_some() => ReadError::Io(error),
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::Other => {
                ReadError::Damaged {
                    offset: self.taken,
                    problem: error.to_string(),
                }
            }
            _ => ReadError::Io(error),
        }
    }
}

impl<R> Window<R> {
    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }

    pub(crate) const fn input_mut(&mut self) -> &mut R {
        &mut self.input
    }

    pub(crate) const fn cut(&self) -> ReadError {
        ReadError::Cut { offset: self.taken }
    }
}
