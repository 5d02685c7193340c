//! How full a BPF ring buffer is, looked at from beside its reader.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use memmap2::{MmapOptions, MmapRaw};

/// The positions of a ring buffer's reader and of its writers, mapped to be read only: two pages,
/// each of which begins with one position (`struct bpf_ringbuf` in kernel/bpf/ringbuf.c, Linux 5.8).
#[derive(Debug)]
pub struct RingFill {
    pages: MmapRaw,
    page: usize,
    size: u32,
}

impl RingFill {
    /// Maps the positions of a ring buffer of `size` bytes. The mapping keeps the buffer alive.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn new(ring: BorrowedFd<'_>, size: u32) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let pages = MmapOptions::new()
            .len(2 * page)
            .map_raw_read_only(ring.as_raw_fd())?;
        Ok(Self { pages, page, size })
    }

    /// Bytes of the buffer.
    #[must_use]
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// Bytes that are taken: records that wait, and those that are being written.
    #[must_use]
    pub fn used(&self) -> u64 {
        let (reader, writers) = (self.position(0), self.position(self.page));
        // The reader may have gone on between the two looks.
        writers.saturating_sub(reader).min(u64::from(self.size))
    }

    fn position(&self, offset: usize) -> u64 {
        // SAFETY: both pages are mapped as long as this lives, each begins with an aligned word that
        // the kernel changes as a whole, and nobody here writes.
        #[expect(unsafe_code, reason = "memory that is shared with the kernel")]
        let word = unsafe { AtomicU64::from_ptr(self.pages.as_mut_ptr().add(offset).cast()) };
        word.load(Relaxed)
    }
}
