//! The memory of a BPF ring buffer as user space sees it (`kernel/bpf/ringbuf.c`, Linux 5.8).
//!
//! aya's reader tells the kernel of each record that it is done with. That position stands in a cache
//! line that the programs read for each packet, so it would travel between the CPUs for each packet,
//! at the cost of both sides. This one tells it of many records at once.
#![expect(
    unsafe_code,
    reason = "memory that is shared with the kernel is reached by pointers"
)]

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
};

use memmap2::{MmapOptions, MmapRaw};

/// What stands before each record: its length with two flags, and an offset that is the kernel's own.
const HEADER: usize = 8;
/// The record is still being filled (`BPF_RINGBUF_BUSY_BIT`).
const BUSY: u32 = 1 << 31;
/// The record is to be skipped (`BPF_RINGBUF_DISCARD_BIT`).
const DISCARDED: u32 = 1 << 30;

/// Reads records in the order of their reservation.
pub(super) struct Records {
    /// A page with the position up to which records are done with, which is ours to write.
    consumer: MmapRaw,
    /// A page with the position up to which records are reserved, then the data, twice in a row, so
    /// that a record that reaches across the end can be read in one piece.
    producer: MmapRaw,
    page: usize,
    size: usize,
    /// Where the next record begins. Positions only grow; an offset is a position modulo the size.
    position: usize,
    /// What the kernel was told of it.
    told: usize,
    /// What is known of the producer's position.
    reserved: usize,
    /// So many bytes are done with before the kernel is told of it.
    step: usize,
}

impl Records {
    /// Maps the ring buffer `map` with `size` bytes of data, a power of two and of pages.
    pub(super) fn new(map: &OwnedFd, size: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        if !size.is_power_of_two() || !size.is_multiple_of(page) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let consumer = MmapOptions::new().len(page).map_raw(map.as_raw_fd())?;
        let producer = MmapOptions::new()
            .offset(page as u64)
            .len(page + 2 * size)
            .map_raw_read_only(map.as_raw_fd())?;
        let mut records = Self {
            consumer,
            producer,
            page,
            size,
            position: 0,
            told: 0,
            reserved: 0,
            step: (size / 64).clamp(1, 64 << 10),
        };
        records.position = position(&records.consumer).load(Ordering::Acquire);
        records.told = records.position;
        records.reserved = records.position;
        Ok(records)
    }

    /// The next record; `None` if there is none, or if it is still being filled. When this is called,
    /// the record before is done with.
    #[inline]
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        if self.position.wrapping_sub(self.told) >= self.step {
            self.tell();
        }
        loop {
            if self.position == self.reserved {
                self.reserved = position(&self.producer).load(Ordering::Acquire);
                if self.position == self.reserved {
                    self.tell();
                    return None;
                }
            }
            let offset = self.page + (self.position & (self.size - 1));
            let start = self.producer.as_mut_ptr().wrapping_add(offset);
            // SAFETY: the offset is within the data, whose records are aligned to 8 bytes, and the
            // kernel has written this header before it moved the producer's position past it; from
            // then on it changes it only as a whole (`bpf_ringbuf_commit`).
            let header = unsafe { AtomicU32::from_ptr(start.cast()) }.load(Ordering::Acquire);
            if header & BUSY != 0 {
                self.tell();
                return None;
            }
            let length = (header & !DISCARDED) as usize;
            self.position = self
                .position
                .wrapping_add((HEADER + length).next_multiple_of(8));
            if header & DISCARDED == 0 && length <= self.size {
                // SAFETY: the data is mapped twice in a row, so `length` bytes behind the header are
                // mapped. The record is not busy, so the kernel writes to it again only when it was
                // told that it is done with, which takes `&mut self` and so the end of this borrow.
                return Some(unsafe {
                    std::slice::from_raw_parts(start.wrapping_add(HEADER), length)
                });
            }
        }
    }

    /// Gives the kernel back the room of all records that are done with.
    fn tell(&mut self) {
        if self.told != self.position {
            position(&self.consumer).store(self.position, Ordering::Release);
            self.told = self.position;
        }
    }
}

/// The position at the beginning of either mapping, an `unsigned long`.
fn position(mapping: &MmapRaw) -> &AtomicUsize {
    // SAFETY: the mapping is at least a page and lives as long as the borrow; the kernel accesses the
    // position as a whole only.
    unsafe { AtomicUsize::from_ptr(mapping.as_mut_ptr().cast()) }
}
