//! Memory that a file can be written from without a copy.

use std::io;

use memmap2::{Advice, MmapMut};

/// The alignment that `O_DIRECT` requires of addresses, offsets and lengths: the page size, which
/// no file system on the supported machines exceeds (open(2), "NOTES, `O_DIRECT`").
pub(crate) const ALIGNMENT: usize = 4096;

/// A block that starts at a huge-page boundary is handed to the disk in few large pieces.
const HUGE_PAGE: usize = 2 << 20;

/// Bytes at an address that is a multiple of [`ALIGNMENT`]. The size is fixed at creation: the
/// buffer never moves and never grows.
#[derive(Debug)]
pub(crate) struct AlignedBuffer {
    memory: MmapMut,
    /// Offset of the first byte in the memory.
    start: usize,
    size: usize,
    /// Bytes in use.
    length: usize,
}

impl AlignedBuffer {
    /// A buffer for `size` bytes, rounded up to a multiple of [`ALIGNMENT`]. The system provides
    /// the memory on first write.
    pub(crate) fn new(size: usize) -> io::Result<Self> {
        let size = size.next_multiple_of(ALIGNMENT);
        let alignment = if size < HUGE_PAGE {
            ALIGNMENT
        } else {
            HUGE_PAGE
        };
        let memory = MmapMut::map_anon(size + alignment)?;
        let start = memory.as_ptr().align_offset(alignment);
        if size >= HUGE_PAGE {
            // The kernel then looks up one page instead of 512 when the memory goes to disk; where
            // huge pages are unavailable, small ones are used (MADV_HUGEPAGE, madvise(2)).
            let _ = memory.advise_range(Advice::HugePage, start, size);
        }
        Ok(Self {
            memory,
            start,
            size,
            length: 0,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Bytes that still fit.
    pub(crate) fn room(&self) -> usize {
        self.size - self.length
    }

    pub(crate) fn clear(&mut self) {
        self.length = 0;
    }

    pub(crate) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// The free bytes, and the length, which the caller raises by the number of bytes it writes.
    pub(crate) fn open(&mut self) -> (&mut [u8], &mut usize) {
        let begin = self.start + self.length;
        let end = self.start + self.size;
        (&mut self.memory[begin..end], &mut self.length)
    }

    /// The next `length` bytes, to be overwritten by the caller, who has checked that there is
    /// room; until then they contain data of an earlier use.
    #[inline]
    pub(crate) fn claim(&mut self, length: usize) -> &mut [u8] {
        let begin = self.start + self.length;
        self.length += length;
        &mut self.memory[begin..begin + length]
    }

    /// Appends as much of `bytes` as fits and returns its length.
    pub(crate) fn fill(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        self.claim(taken).copy_from_slice(&bytes[..taken]);
        taken
    }

    /// Pads with zeros to a multiple of [`ALIGNMENT`].
    pub(crate) fn pad(&mut self) {
        let padding = self.length.next_multiple_of(ALIGNMENT) - self.length;
        self.claim(padding).fill(0);
    }

    /// Drops the first `count` bytes and moves the rest to the front, which is aligned.
    pub(crate) fn discard_front(&mut self, count: usize) {
        let (start, end) = (self.start, self.start + self.length);
        self.memory.copy_within(start + count..end, start);
        self.length -= count;
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.memory[self.start..][..self.length]
    }

    /// The whole buffer as memory to write into, whatever its content; call [`Self::truncate`]
    /// afterwards.
    pub(crate) fn whole_mut(&mut self) -> &mut [u8] {
        self.length = self.size;
        &mut self.memory[self.start..][..self.size]
    }
}

#[cfg(test)]
mod tests {
    use super::{ALIGNMENT, AlignedBuffer};

    #[test]
    fn a_buffer_stays_where_it_is_however_often_it_is_filled() {
        for size in [1, ALIGNMENT, 3 * ALIGNMENT + 1, 1 << 20, 4 << 20] {
            let mut buffer = AlignedBuffer::new(size).expect("memory");
            let address = buffer.as_slice().as_ptr();
            assert_eq!(address.align_offset(ALIGNMENT), 0);
            for _ in 0..3 {
                let room = buffer.room();
                assert!(room >= size);
                assert_eq!(buffer.fill(&vec![7; room + 10]), room);
                assert_eq!(buffer.room(), 0);
                assert_eq!(buffer.as_slice().as_ptr(), address);
                buffer.discard_front(room - 5);
                assert_eq!(buffer.as_slice(), [7; 5]);
                buffer.pad();
                assert_eq!(buffer.len(), ALIGNMENT);
                assert!(buffer.as_slice()[5..].iter().all(|byte| *byte == 0));
                buffer.truncate(5);
                buffer.claim(3).copy_from_slice(&[8; 3]);
                assert_eq!(buffer.as_slice(), [7, 7, 7, 7, 7, 8, 8, 8]);
                assert_eq!(buffer.whole_mut().len(), room);
                assert_eq!(buffer.as_slice().as_ptr(), address);
                buffer.clear();
            }
        }
    }
}
