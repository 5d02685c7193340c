//! Files that have a line for each packet.

use std::io::Read;

use crate::{codec::decoded, error::ReadError, window::Window};

/// No line of a packet comes near this.
const LARGEST: usize = 1 << 20;

/// Reads a file of lines.
pub struct LineReader<R = Box<dyn Read + Send>> {
    window: Window<R>,
    /// Bytes of the line that was given last.
    given: usize,
}

impl<'a> LineReader<Box<dyn Read + Send + 'a>> {
    /// Begins to read, decompressing what is compressed.
    ///
    /// # Errors
    /// The first bytes cannot be read.
    pub fn new(input: impl Read + Send + 'a) -> Result<Self, ReadError> {
        Ok(LineReader::plain(decoded(input)?))
    }
}

impl<R: Read> LineReader<R> {
    /// Begins to read bytes that are not compressed.
    pub fn plain(input: R) -> Self {
        Self {
            window: Window::new(input, LARGEST),
            given: 0,
        }
    }

    /// The next line without its end; `None` at the end.
    ///
    /// # Errors
    /// See [`ReadError`]; after one there is nothing more to read.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, ReadError> {
        self.window.take(self.given);
        self.given = 0;
        let mut searched = 0;
        loop {
            let bytes = &self.window.bytes()[searched..];
            if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
                self.given = searched + end + 1;
                return Ok(Some(&self.window.bytes()[..self.given - 1]));
            }
            searched += bytes.len();
            if !self.window.fill()? {
                return if searched == 0 {
                    Ok(None)
                } else {
                    Err(self.window.cut())
                };
            }
        }
    }

    /// How many bytes, uncompressed, end with the line that was given last.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.window.taken() + self.given as u64
    }

    /// What is read from.
    pub(crate) const fn input_mut(&mut self) -> &mut R {
        self.window.input_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::LineReader;
    use crate::ReadError;

    #[test]
    fn lines_come_one_by_one_and_a_torn_one_is_told() {
        let mut reader = LineReader::new(&b"one\n\ntw"[..]).unwrap();
        assert_eq!(reader.next_line().unwrap(), Some(&b"one"[..]));
        assert_eq!(reader.next_line().unwrap(), Some(&b""[..]));
        assert_eq!(reader.offset(), 5);
        assert!(matches!(
            reader.next_line(),
            Err(ReadError::Cut { offset: 5 })
        ));
        let endless = vec![b'x'; 4 << 20];
        let mut reader = LineReader::new(&endless[..]).unwrap();
        assert!(matches!(
            reader.next_line(),
            Err(ReadError::Damaged { offset: 0, .. })
        ));
    }
}
