//! Reads a capture file piece by piece: as it is, or member by member of its compression.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek as _},
};

use super::packets::{Kind, Walker, Whole};

const BUFFER: usize = 1 << 18;

/// How far a file is whole; its name says what is in it.
pub(super) fn whole(file: &File, name: &str) -> io::Result<Whole> {
    let mut file = file;
    file.rewind()?;
    let (name, gzip, zstd) = match (name.strip_suffix(".gz"), name.strip_suffix(".zst")) {
        (Some(name), _) => (name, true, false),
        (_, Some(name)) => (name, false, true),
        _ => (name, false, false),
    };
    let walker = Walker::new(Kind::of(name));
    let input = Counted {
        inner: BufReader::with_capacity(BUFFER, file),
        taken: 0,
    };
    if gzip {
        members(walker, input, |input| {
            Ok(Box::new(flate2::bufread::GzDecoder::new(input)))
        })
    } else if zstd {
        members(walker, input, |input| {
            Ok(Box::new(
                zstd::stream::read::Decoder::with_buffer(input)?.single_frame(),
            ))
        })
    } else {
        plain(walker, input)
    }
}

fn plain(mut walker: Walker, mut input: impl Read) -> io::Result<Whole> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = input.read(&mut buffer)?;
        if read == 0 || !walker.take(&buffer[..read]) {
            break;
        }
    }
    let mut whole = walker.whole;
    whole.stored = whole.raw;
    Ok(whole)
}

/// Each member is decompressed to its end, where its checksum is looked at.
fn members<R>(
    mut walker: Walker,
    mut input: Counted<R>,
    decoder: impl for<'r> Fn(&'r mut Counted<R>) -> io::Result<Box<dyn Read + 'r>>,
) -> io::Result<Whole>
where
    R: BufRead,
{
    let mut whole = Whole::default();
    let mut buffer = vec![0; BUFFER];
    while !input.fill_buf()?.is_empty() {
        let mut member = decoder(&mut input)?;
        let ended = loop {
            match member.read(&mut buffer) {
                Ok(0) => break true,
                Ok(read) if walker.take(&buffer[..read]) => {}
                // The disk cannot be read: nothing must be cut off for that.
                Err(error) if error.raw_os_error().is_some() => return Err(error),
                // Cut short, or not what we have written: it ends here.
                Ok(_) | Err(_) => break false,
            }
        };
        drop(member);
        if !ended {
            break;
        }
        if walker.at_boundary() {
            whole = Whole {
                stored: input.taken,
                ..walker.whole.clone()
            };
        }
    }
    Ok(whole)
}

/// Counts what is taken from a reader.
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
