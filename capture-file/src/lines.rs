//! Text files with one line for each packet.

use std::io::Read;

use crate::{codec::decoded, error::ReadError, window::Window};

/// No line of a packet is nearly as long.
const LARGEST: usize = 1 << 20;

/// Reads a text file of lines.
pub struct LineReader<R = Box<dyn Read + Send>> {
    window: Window<R>,
    /// Bytes of the line that was returned last.
    given: usize,
}

impl<'a> LineReader<Box<dyn Read + Send + 'a>> {
    /// Starts reading, decompressing if necessary.
    ///
    /// # Errors
    /// The first bytes cannot be read.
    pub fn new(input: impl Read + Send + 'a) -> Result<Self, ReadError> {
        Ok(LineReader::plain(decoded(input)?))
    }
}

impl<R: Read> LineReader<R> {
    /// Starts reading bytes that are not compressed.
    pub fn plain(input: R) -> Self {
        Self {
            window: Window::new(input, LARGEST),
            given: 0,
        }
    }

    /// The next line without its end; `None` at the end.
    ///
    /// # Errors
    /// See [`ReadError`]; after an error reading ends.
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

    /// The uncompressed offset of the end of the line that was returned last.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.window.taken() + self.given as u64
    }

    /// The input.
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
