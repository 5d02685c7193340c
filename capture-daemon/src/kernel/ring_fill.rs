//! How full a BPF ring buffer is, looked at from beside its reader.

use std::{
    io,
    os::fd::BorrowedFd,
    ptr::{NonNull, null_mut},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The positions of a ring buffer's reader and of its writers, mapped to be read only: two pages,
/// each of which begins with one position (`struct bpf_ringbuf` in kernel/bpf/ringbuf.c, Linux 5.8).
#[derive(Debug)]
pub struct RingFill {
    pages: NonNull<u8>,
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
        // SAFETY: the kernel chooses where, so nothing that is mapped already is replaced.
        #[expect(unsafe_code, reason = "mmap(2)")]
        let pages = unsafe {
            let flags = MapFlags::SHARED;
            mmap(null_mut(), 2 * page, ProtFlags::READ, flags, ring, 0)?
        };
        let pages = NonNull::new(pages.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
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
        let word = unsafe { AtomicU64::from_ptr(self.pages.as_ptr().add(offset).cast()) };
        word.load(Relaxed)
    }
}

// SAFETY: the mapping belongs to the process, and is only read, as atomic words.
#[expect(unsafe_code, reason = "a pointer to memory that any thread may read")]
unsafe impl Send for RingFill {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "a pointer to memory that any thread may read")]
unsafe impl Sync for RingFill {}

impl Drop for RingFill {
    fn drop(&mut self) {
        // SAFETY: it is what was mapped, and no reference into it outlives this.
        #[expect(unsafe_code, reason = "munmap(2)")]
        let _ = unsafe { munmap(self.pages.as_ptr().cast(), 2 * self.page) };
    }
}
