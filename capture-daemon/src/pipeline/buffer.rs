//! Memory that a file can be written from without a copy.

use bytes::BytesMut;

use super::system;

/// What `O_DIRECT` asks of addresses, offsets and lengths: the page size, which no file system on
/// the supported machines exceeds (open(2), "NOTES, `O_DIRECT`").
pub(crate) const ALIGNMENT: usize = 4096;

/// A block that begins where a huge page can is handed to the disk in few large pieces.
const HUGE_PAGE: usize = 2 << 20;

/// Bytes at an address that is a multiple of [`ALIGNMENT`], of a size fixed when made: it never
/// moves and never grows.
#[derive(Debug)]
pub(crate) struct AlignedBuffer {
    bytes: BytesMut,
    size: usize,
}

impl AlignedBuffer {
    /// A buffer for `size` bytes, rounded up to a multiple of [`ALIGNMENT`]. The memory is taken
    /// from the system as it is first written.
    pub(crate) fn new(size: usize) -> Self {
        let size = size.next_multiple_of(ALIGNMENT);
        let alignment = if size < HUGE_PAGE {
            ALIGNMENT
        } else {
            HUGE_PAGE
        };
        let mut bytes = BytesMut::with_capacity(size + alignment);
        let skip = bytes.as_ptr().align_offset(alignment);
        // What is in front is given up without being touched.
        let mut bytes = bytes.split_off(skip);
        if size > ALIGNMENT {
            system::use_huge_pages(&mut bytes.spare_capacity_mut()[..size]);
        }
        Self { bytes, size }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that still fit.
    pub(crate) fn room(&self) -> usize {
        self.size - self.bytes.len()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(crate) fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// Takes as much of `bytes` as fits and returns how much that is.
    pub(crate) fn fill(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        self.bytes.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// Adds zeros up to a multiple of [`ALIGNMENT`].
    pub(crate) fn pad(&mut self) {
        let padded = self.len().next_multiple_of(ALIGNMENT);
        self.bytes.resize(padded, 0);
    }

    /// Drops the first `count` bytes and moves the others to the front, where they are aligned.
    pub(crate) fn discard_front(&mut self, count: usize) {
        let kept = self.len() - count;
        self.bytes.copy_within(count.., 0);
        self.bytes.truncate(kept);
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole buffer as memory to write into, whatever it held; [`Self::truncate`] afterwards.
    pub(crate) fn whole_mut(&mut self) -> &mut [u8] {
        self.bytes.resize(self.size, 0);
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{ALIGNMENT, AlignedBuffer};

    #[test]
    fn a_buffer_stays_where_it_is_however_often_it_is_filled() {
        for size in [1, ALIGNMENT, 3 * ALIGNMENT + 1, 1 << 20] {
            let mut buffer = AlignedBuffer::new(size);
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
                assert_eq!(buffer.whole_mut().len(), room);
                assert_eq!(buffer.as_slice().as_ptr(), address);
                buffer.clear();
            }
        }
    }
}
