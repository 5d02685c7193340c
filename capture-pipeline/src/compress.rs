//! Compression: each block becomes a separate gzip member or zstd frame, so that a file can be read
//! up to its last block whatever happens later, and blocks can be compressed in parallel.

use std::{io, sync::Arc};

use crossbeam_channel::{Receiver, Sender};
use flate2::{Compress, FlushCompress, Status};

use super::{
    block::Block,
    buffer::AlignedBuffer,
    outcome::{FailureKind, Outcomes},
};
use capture_types::Compression;

/// A codec with its working memory, which is reused for every block.
pub(crate) enum Codec {
    Gzip(Box<Compress>),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Codec {
    /// `None` for no compression. A level that the codec does not have is replaced by the nearest
    /// one.
    pub(crate) fn new(compression: Compression) -> io::Result<Option<Self>> {
        /// log2 of deflate's largest window, 32 KiB.
        const WINDOW_BITS: u8 = 15;
        Ok(match compression {
            Compression::None => None,
            Compression::Gzip(level) => {
                let level = flate2::Compression::new(level.min(9));
                Some(Self::Gzip(Box::new(Compress::new_gzip(level, WINDOW_BITS))))
            }
            Compression::Zstd(level) => {
                let mut codec = zstd::bulk::Compressor::new(level.clamp(1, 22))?;
                codec.include_checksum(true)?;
                Some(Self::Zstd(codec))
            }
        })
    }

    /// Compresses `input` into `output`, which has at least [`bound`] bytes, and returns the
    /// compressed length.
    pub(crate) fn compress(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(codec) => {
                codec.reset();
                match codec.compress(input, output, FlushCompress::Finish)? {
                    Status::StreamEnd => {
                        Ok(usize::try_from(codec.total_out()).unwrap_or(usize::MAX))
                    }
                    Status::Ok | Status::BufError => Err(io::Error::other(
                        "a compressed block is larger than expected",
                    )),
                }
            }
            Self::Zstd(codec) => codec.compress_to_buffer(input, output),
        }
    }
}

/// Upper bound for incompressible bytes: some levels of `zlib-rs` only use deflate's fixed codes,
/// with up to 9 bits for each byte.
pub(crate) const fn bound(length: usize) -> usize {
    length + length / 8 + 4096
}

/// Upper bound of a codec's working memory in bytes, for blocks of 1 MiB: about 300 KiB for
/// `zlib-rs`, for zstd a fifth more than 1.5.4 and 1.5.7 report for their contexts, because the system's version is used.
pub(crate) const fn working_memory(compression: Compression) -> usize {
    let mebibytes = match compression {
        Compression::None => 0,
        Compression::Gzip(_) => 1,
        Compression::Zstd(..=3) => 2,
        Compression::Zstd(..=6) => 5,
        Compression::Zstd(..=8) => 8,
        Compression::Zstd(..=12) => 16,
        Compression::Zstd(_) => 21,
    };
    mebibytes << 20
}

/// A compression thread.
pub(crate) struct Worker {
    pub(crate) codec: Codec,
    pub(crate) inbox: Receiver<Box<Block>>,
    pub(crate) outbox: Sender<Box<Block>>,
    /// A spare buffer as large as a block's; the two are swapped.
    pub(crate) spare: AlignedBuffer,
    pub(crate) outcomes: Arc<Outcomes>,
}

impl Worker {
    /// Compresses until all senders of blocks are gone.
    pub(crate) fn run(mut self) {
        while let Ok(mut block) = self.inbox.recv() {
            // A file without any bytes gets a member too: an empty file is not a gzip file.
            if block.raw > 0 || block.open.is_some() {
                self.compress(&mut block);
            }
            // The writer's inbox has room for every block, and the writer outlives this thread.
            let _ = self.outbox.send(block);
        }
    }

    fn compress(&mut self, block: &mut Block) {
        let output = self.spare.whole_mut();
        match self.codec.compress(block.buffer.as_slice(), output) {
            Ok(length) => {
                self.spare.truncate(length);
                std::mem::swap(&mut block.buffer, &mut self.spare);
            }
            // The block is passed on to the writer, which counts its packets as lost.
            Err(error) => self.outcomes.fail(
                FailureKind::WriteError,
                format!("cannot compress: {error}; use another codec or level with --compress"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::{Codec, bound, working_memory};
    use capture_types::Compression;

    #[test]
    fn what_was_compressed_is_read_back_at_every_level() {
        let text: Vec<u8> = (0..200_000_u32).map(|n| (n / 7 % 251) as u8).collect();
        let mut state = 1_u64;
        let noise: Vec<u8> = (0..1 << 20)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        let levels = (0..=9)
            .map(Compression::Gzip)
            .chain([1, 3, 9, 19, 22].map(Compression::Zstd));
        for compression in levels {
            let mut codec = Codec::new(compression).expect("codec").expect("not none");
            let mut file = Vec::new();
            for input in [&text, &noise, &vec![0], &text] {
                let mut output = vec![0; bound(input.len())];
                let length = codec.compress(input, &mut output).expect("compress");
                file.extend_from_slice(&output[..length]);
            }
            let mut read = Vec::new();
            match compression {
                Compression::Zstd(_) => zstd::stream::copy_decode(&file[..], &mut read),
                _ => flate2::read::MultiGzDecoder::new(&file[..])
                    .read_to_end(&mut read)
                    .map(|_| ()),
            }
            .expect("decompress");
            assert!(
                read == [&text[..], &noise[..], &[0], &text[..]].concat(),
                "{compression:?}"
            );
        }
    }

    #[test]
    fn no_level_of_zstd_takes_more_memory_than_is_planned_for() {
        let noise: Vec<u8> = (0..1_u32 << 20)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let mut output = vec![0; bound(noise.len())];
        for level in 1..=22 {
            let compression = Compression::Zstd(level);
            let mut codec = Codec::new(compression).expect("codec").expect("not none");
            codec.compress(&noise, &mut output).expect("compress");
            let Codec::Zstd(codec) = &mut codec else {
                panic!("it was asked for");
            };
            let taken = codec.context_mut().sizeof();
            assert!(taken <= working_memory(compression), "{level}: {taken}");
        }
    }
}
