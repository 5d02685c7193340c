//! A file written in large aligned pieces past the page cache.
//!
//! Through the page cache, writing a packet costs ten times the CPU and evicts the host's other
//! files. Where a file system refuses `O_DIRECT`, pages are written back and dropped from the cache
//! once the writer is past them.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use rustix::{fs::OFlags, io::Errno};

use capture_file::{PartCheckpoint, Position, Tail};

use super::{
    buffer::{ALIGNMENT, AlignedBuffer},
    system,
};

/// A file that grows in pieces that begin at multiples of [`ALIGNMENT`].
#[derive(Debug)]
pub(crate) struct DirectFile {
    file: File,
    direct: bool,
    /// Bytes whose writeback was started and not waited for yet.
    behind: Option<(u64, u64)>,
}

impl DirectFile {
    pub(crate) fn new(file: File) -> Self {
        let direct = set_direct(&file, true).is_ok();
        Self {
            file,
            direct,
            behind: None,
        }
    }

    /// Writes the first `length` bytes of the buffer at `offset`. The offset is a multiple of
    /// [`ALIGNMENT`], and so is the length unless it is all of the buffer. Replaces the file's
    /// content from the offset on; the file ends after the written bytes.
    pub(crate) fn write(
        &mut self,
        buffer: &mut AlignedBuffer,
        length: usize,
        offset: u64,
    ) -> io::Result<()> {
        if self.direct {
            match self.write_direct(buffer, length, offset) {
                Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                    // `O_DIRECT` was accepted at open, but does not suit the block size of this
                    // device.
                    set_direct(&self.file, false)?;
                    self.direct = false;
                }
                other => return other,
            }
        }
        self.file
            .write_all_at(&buffer.as_slice()[..length], offset)?;
        self.write_behind(offset, length as u64);
        Ok(())
    }

    fn write_direct(
        &self,
        buffer: &mut AlignedBuffer,
        length: usize,
        offset: u64,
    ) -> io::Result<()> {
        if length.is_multiple_of(ALIGNMENT) {
            return self.file.write_all_at(&buffer.as_slice()[..length], offset);
        }
        buffer.pad();
        let written = self.file.write_all_at(buffer.as_slice(), offset);
        buffer.truncate(length);
        written?;
        self.file.set_len(offset + length as u64)
    }

    /// Starts writeback of this piece, waits for that of the previous one and drops the previous
    /// one from memory: the page cache contains at most two pieces.
    fn write_behind(&mut self, offset: u64, length: u64) {
        system::start_writeback(&self.file, offset, length);
        if let Some((offset, length)) = self.behind.replace((offset, length)) {
            system::finish_writeback(&self.file, offset, length);
        }
    }

    /// Truncates the file.
    pub(crate) fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    /// The file's metadata.
    pub(crate) fn metadata(&self) -> io::Result<std::fs::Metadata> {
        self.file.metadata()
    }

    /// A checkpoint of the file.
    pub(crate) fn checkpoint(
        &self,
        boot: &str,
        position: Position,
        tail: Tail,
    ) -> io::Result<PartCheckpoint> {
        PartCheckpoint::new(boot, &self.file, position, tail)
    }

    pub(crate) fn into_inner(self) -> File {
        self.file
    }
}

/// Turns `O_DIRECT` on or off; fails where the file system does not support it.
pub(crate) fn set_direct(file: &File, direct: bool) -> io::Result<()> {
    let mut flags = rustix::fs::fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, direct);
    Ok(rustix::fs::fcntl_setfl(file, flags)?)
}

/// The largest multiple of [`ALIGNMENT`] that is at most `length`.
pub(crate) const fn aligned_part(length: usize) -> usize {
    length / ALIGNMENT * ALIGNMENT
}

#[cfg(test)]
mod tests {
    use super::{ALIGNMENT, AlignedBuffer, DirectFile, aligned_part};

    /// Appends pieces of many lengths as the recorder does, with and without `O_DIRECT`.
    #[test]
    fn a_file_holds_what_was_written_whatever_the_lengths() {
        let data: Vec<u8> = (0..60_000_u32)
            .map(|value| value.to_le_bytes()[0] ^ 5)
            .collect();
        for direct in [true, false] {
            for step in [1000, ALIGNMENT, ALIGNMENT + 1, 3 * ALIGNMENT - 1] {
                let path = tempfile::NamedTempFile::new().expect("tempfile");
                let mut file = DirectFile::new(path.reopen().expect("open"));
                if !direct {
                    super::set_direct(&file.file, false).expect("fcntl");
                    file.direct = false;
                }
                let mut buffer = AlignedBuffer::new(8 * ALIGNMENT).expect("memory");
                let mut offset = 0;
                for piece in data.chunks(step) {
                    assert_eq!(buffer.fill(piece), piece.len());
                    let length = buffer.len();
                    file.write(&mut buffer, length, offset as u64)
                        .expect("write");
                    let length = std::fs::metadata(path.path()).expect("exists").len();
                    assert_eq!(length, (offset + buffer.len()) as u64);
                    let whole = aligned_part(buffer.len());
                    buffer.discard_front(whole);
                    offset += whole;
                }
                assert_eq!(std::fs::read(path.path()).expect("read"), data);
            }
        }
    }
}
