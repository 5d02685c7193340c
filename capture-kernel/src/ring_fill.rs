//! The fill level of a capture's BPF ring buffers, read outside the drain thread.

use std::{
    io,
    os::fd::AsRawFd as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use memmap2::{MmapOptions, MmapRaw};

use super::rings::{RingMap, RingMaps};

/// The fill level of a capture's rings.
#[derive(Debug)]
pub struct RingFill(Vec<Positions>);

/// The positions of a ring buffer's reader and of its writers, mapped read-only: two pages, each of
/// which begins with one position (`struct bpf_ringbuf` in kernel/bpf/ringbuf.c, Linux 5.8).
#[derive(Debug)]
struct Positions {
    pages: MmapRaw,
    page: usize,
    size: u32,
}

impl RingFill {
    /// Maps the positions of the rings. The mappings keep the rings alive.
    ///
    /// # Errors
    ///
    /// The error of mmap(2).
    pub fn new(rings: &RingMaps) -> io::Result<Self> {
        let positions: io::Result<_> = rings.iter().map(Positions::new).collect();
        Ok(Self(positions?))
    }

    /// Bytes of the rings.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.iter().map(|ring| u64::from(ring.size)).sum()
    }

    /// Bytes in use: records that wait for the reader, and those being written.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.iter().map(Positions::used).sum()
    }
}

impl Positions {
    fn new(ring: &RingMap) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let pages = MmapOptions::new()
            .len(2 * page)
            .map_raw_read_only(ring.descriptor.as_raw_fd())?;
        Ok(Self {
            pages,
            page,
            size: ring.size,
        })
    }

    fn used(&self) -> u64 {
        let (reader, writers) = (self.position(0), self.position(self.page));
        // The reader may have advanced between the two loads.
        writers.saturating_sub(reader).min(u64::from(self.size))
    }

    fn position(&self, offset: usize) -> u64 {
        // SAFETY: both pages are mapped as long as `self` lives, each begins with an aligned word
        // that the kernel changes as a whole, and nobody here writes.
        #[expect(unsafe_code, reason = "memory that is shared with the kernel")]
        let word = unsafe { AtomicU64::from_ptr(self.pages.as_mut_ptr().add(offset).cast()) };
        word.load(Relaxed)
    }
}
