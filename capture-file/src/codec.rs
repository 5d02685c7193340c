//! Compression of whole files, as the first bytes tell it: a name can be wrong.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

/// RFC 1952, 2.3.1: ID1 and ID2.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// RFC 8878, 3.1.1: 0xFD2FB528, little-endian.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A window larger than this is refused: 2 to the power of 27 bytes is what `zstd` itself allows.
const LARGEST_WINDOW: u32 = 27;
const BUFFER: usize = 64 << 10;

/// The bytes behind the compression, if there is any. Members and frames one after the other are read
/// as one.
///
/// # Errors
/// The first bytes cannot be read.
pub fn decoded<'a>(input: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut input = BufReader::with_capacity(BUFFER, input);
    let first = input.fill_buf()?;
    if first.starts_with(&GZIP) {
        return Ok(Box::new(MultiGzDecoder::new(input)));
    }
    if first.starts_with(&ZSTD) {
        let mut decoder = zstd::Decoder::with_buffer(input)?;
        decoder.window_log_max(LARGEST_WINDOW)?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(input))
}
