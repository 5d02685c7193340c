//! Compression after rotation: an OS thread that turns finished plain files into compressed ones
//! when nothing else wants the CPU.

use std::{
    fs::File,
    io::{self, Read as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crossbeam_channel::{Receiver, Sender};

use super::{
    buffer::{ALIGNMENT, AlignedBuffer},
    compress::{self, Codec},
    direct_file::{DirectFile, aligned_part, set_direct},
    messages::FinalizeTask,
    system,
};
use capture_file::{Directory, Hasher, Recompressed, name::PART};
use capture_types::{Digest, DigestAlgorithm};

/// What the thread needs.
pub(crate) struct Recompressor {
    pub(crate) directory: Arc<Directory>,
    /// Names of plain files.
    pub(crate) inbox: Receiver<String>,
    pub(crate) finalizer: Sender<FinalizeTask>,
    pub(crate) codec: Codec,
    pub(crate) digest: Option<DigestAlgorithm>,
    /// The codec's suffix for file names.
    pub(crate) suffix: &'static str,
    /// Set when the capture no longer waits: the remaining files stay plain.
    pub(crate) abort: Arc<AtomicBool>,
}

/// Bytes before compression in each gzip member or zstd frame.
const PIECE: usize = 1 << 20;

impl Recompressor {
    /// Runs until all senders of names are gone.
    pub(crate) fn run(mut self) {
        system::run_when_idle();
        while let Ok(plain) = self.inbox.recv() {
            if self.abort.load(Ordering::Relaxed) {
                continue;
            }
            match self.recompress(&plain) {
                // The finalizer outlives this thread.
                Ok(recompressed) => {
                    let _ = self
                        .finalizer
                        .send(FinalizeTask::Recompressed(recompressed));
                }
                Err(error) => {
                    let part = format!("{plain}{}{PART}", self.suffix);
                    let _ = self.directory.remove(&part);
                    match error.kind() {
                        // Retention has removed the file, or the capture no longer waits.
                        io::ErrorKind::NotFound | io::ErrorKind::Interrupted => {}
                        _ => tracing::warn!(file = plain, %error, "the file stays uncompressed"),
                    }
                }
            }
        }
    }

    fn recompress(&mut self, plain: &str) -> io::Result<Recompressed> {
        let mut input = self.directory.read(plain)?;
        let _ = set_direct(&input, true);
        let file = format!("{plain}{}", self.suffix);
        let part = format!("{file}{PART}");
        let mut output = Output::new(self.directory.create(&part)?, self.digest)?;
        let mut piece = AlignedBuffer::new(PIECE)?;
        let mut compressed = vec![0; compress::bound(PIECE)];
        loop {
            if self.abort.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let length = fill(&mut input, piece.whole_mut())?;
            if length == 0 {
                break;
            }
            let input = &piece.as_slice()[..length];
            let length = self.codec.compress(input, &mut compressed)?;
            output.append(&compressed[..length])?;
        }
        let (bytes, digest) = output.finish()?;
        self.directory.publish(&part, &file)?;
        Ok(Recompressed {
            plain: plain.to_owned(),
            file,
            bytes,
            digest,
        })
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(input: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => {
                filled += read;
                if !read.is_multiple_of(ALIGNMENT) {
                    // Only the end of a file is unaligned; after it `O_DIRECT` must not read.
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => set_direct(input, false)?,
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A compressed file being written.
struct Output {
    file: DirectFile,
    stage: AlignedBuffer,
    written: u64,
    hash: Option<Hasher>,
}

impl Output {
    fn new(file: File, digest: Option<DigestAlgorithm>) -> io::Result<Self> {
        Ok(Self {
            file: DirectFile::new(file),
            stage: AlignedBuffer::new(compress::bound(PIECE) + ALIGNMENT)?,
            written: 0,
            hash: digest.map(Hasher::new),
        })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        self.stage.fill(bytes);
        let ready = aligned_part(self.stage.len());
        self.write(ready)
    }

    fn write(&mut self, length: usize) -> io::Result<()> {
        self.file.write(&mut self.stage, length, self.written)?;
        self.stage.discard_front(length);
        self.written += length as u64;
        Ok(())
    }

    fn finish(mut self) -> io::Result<(u64, Option<Digest>)> {
        let rest = self.stage.len();
        self.write(rest)?;
        self.file.into_inner().sync_all()?;
        Ok((self.written, self.hash.map(|hash| hash.digest())))
    }
}
