//! The part of a stream that is looked at: as long as the block in it and not much longer.

use std::io::{self, ErrorKind, Read};

use super::read::ReadError;

/// What is read at once.
const STEP: usize = 64 << 10;
/// No block of a capture file comes near this; a length beyond it is damage.
const LARGEST: usize = 16 << 20;

pub(super) struct Window<R> {
    input: R,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// How many bytes were taken from the front so far.
    taken: u64,
}

impl<R: Read> Window<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            bytes: vec![0; STEP],
            start: 0,
            end: 0,
            taken: 0,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(super) const fn taken(&self) -> u64 {
        self.taken
    }

    pub(super) fn take(&mut self, count: usize) {
        self.start += count;
        self.taken += count as u64;
    }

    /// Reads more; false at the end.
    pub(super) fn fill(&mut self) -> Result<bool, ReadError> {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.bytes.len() {
            if self.bytes.len() >= LARGEST {
                return Err(ReadError::Damaged {
                    offset: self.taken,
                    problem: format!("a block of more than {LARGEST} bytes"),
                });
            }
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
        loop {
            match self.input.read(&mut self.bytes[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(read) => {
                    self.end += read;
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A codec that ends in the middle of a member or frame.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Err(self.cut());
                }
                Err(error) => return Err(self.unreadable(error)),
            }
        }
    }

    pub(super) fn cut(&self) -> ReadError {
        ReadError::Cut { offset: self.taken }
    }

    fn unreadable(&self, error: io::Error) -> ReadError {
        match error.kind() {
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
