//! Compression of whole files: gzip members or zstd frames, one after the other.

use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, ErrorKind, Read},
};

use flate2::bufread::GzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

use crate::name::Codec;

/// RFC 1952, 2.3.1: ID1 and ID2.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// RFC 8878, 3.1.1: 0xFD2FB528, little-endian.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Larger windows are rejected: 2^27 bytes is the limit of `zstd` itself.
const LARGEST_WINDOW: u32 = 27;
/// Less than a reader asks for at once: what is not compressed is then read without another copy.
const BUFFER: usize = 64 << 10;

/// The decompressed bytes. Compression is detected by the first bytes, as a name can be wrong.
/// Consecutive members and frames are read as one stream.
///
/// # Errors
/// The first bytes cannot be read.
pub fn decoded<'a>(input: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut input = BufReader::with_capacity(BUFFER, input);
    let first = input.fill_buf()?;
    let codec = if first.starts_with(&GZIP) {
        Codec::Gzip
    } else if first.starts_with(&ZSTD) {
        Codec::Zstd
    } else {
        return Ok(Box::new(input));
    };
    Ok(Box::new(Decoded::new(codec, input)))
}

/// Decompresses, and reports where members end.
pub(crate) struct Decoded<R: BufRead> {
    codec: Codec,
    state: State<R>,
    /// Bytes returned so far.
    given: u64,
    /// Ends of members of a compressed file, each with a correct checksum, since the last call of
    /// [`Self::next_end`].
    ends: VecDeque<MemberEnd>,
}

/// Where a gzip member or zstd frame ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemberEnd {
    /// Bytes before compression.
    pub(crate) raw: u64,
    /// Bytes in the file.
    pub(crate) stored: u64,
}

enum State<R: BufRead> {
    Between(Counted<R>),
    Gzip(Box<GzDecoder<Counted<R>>>),
    Zstd(ZstdDecoder<'static, Counted<R>>),
    /// After an error.
    Broken,
}

impl<R: BufRead> Decoded<R> {
    pub(crate) const fn new(codec: Codec, input: R) -> Self {
        let input = Counted {
            inner: input,
            taken: 0,
        };
        Self {
            codec,
            state: State::Between(input),
            given: 0,
            ends: VecDeque::new(),
        }
    }

    /// The end of the next completely read member, if it is within this many bytes.
    pub(crate) fn next_end(&mut self, within: u64) -> Option<MemberEnd> {
        self.ends.pop_front_if(|end| end.raw <= within)
    }

    /// Ends a member.
    fn between(&mut self, input: Counted<R>) {
        self.ends.push_back(MemberEnd {
            raw: self.given,
            stored: input.taken,
        });
        self.state = State::Between(input);
    }
}

impl<R: BufRead> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.state {
                State::Between(input) if self.codec == Codec::Plain => input.read(buffer)?,
                State::Between(input) => {
                    if input.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    0
                }
                State::Gzip(decoder) => decoder.read(buffer)?,
                State::Zstd(decoder) => decoder.read(buffer)?,
                State::Broken => return Err(ErrorKind::UnexpectedEof.into()),
            };
            if read > 0 || buffer.is_empty() || self.codec == Codec::Plain {
                self.given += read as u64;
                return Ok(read);
            }
            match std::mem::replace(&mut self.state, State::Broken) {
                State::Between(input) if self.codec == Codec::Gzip => {
                    self.state = State::Gzip(Box::new(GzDecoder::new(input)));
                }
                State::Between(input) => {
                    let mut decoder = ZstdDecoder::with_buffer(input)?.single_frame();
                    decoder.window_log_max(LARGEST_WINDOW)?;
                    self.state = State::Zstd(decoder);
                }
                State::Gzip(decoder) => self.between(decoder.into_inner()),
                State::Zstd(decoder) => self.between(decoder.finish()),
                State::Broken => {}
            }
        }
    }
}

/// Counts the bytes taken from a reader.
struct Counted<R> {
    inner: R,
    taken: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.taken += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
        self.taken += amount as u64;
    }
}
