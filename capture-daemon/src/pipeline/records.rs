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
    os::fd::AsRawFd as _,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
};

use memmap2::{MmapOptions, MmapRaw};

use crate::kernel::rings::RingMap;

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
    /// The length of the record there, once it was found to be filled.
    ready: Option<usize>,
    /// What the kernel was told of the position.
    told: usize,
    /// What is known of the producer's position.
    reserved: usize,
    /// So many bytes are done with before the kernel is told of it.
    step: usize,
}

/// What there is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// A record.
    Ready,
    /// A record that is still being filled.
    Busy,
    /// Nothing.
    Empty,
}

impl Records {
    /// Maps a ring buffer, whose size is a power of two and of pages.
    pub(super) fn new(map: &RingMap) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let size = map.size as usize;
        if !size.is_power_of_two() || !size.is_multiple_of(page) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let descriptor = map.descriptor.as_raw_fd();
        let consumer = MmapOptions::new().len(page).map_raw(descriptor)?;
        let producer = MmapOptions::new()
            .offset(page as u64)
            .len(page + 2 * size)
            .map_raw_read_only(descriptor)?;
        let mut records = Self {
            consumer,
            producer,
            page,
            size,
            position: 0,
            ready: None,
            told: 0,
            reserved: 0,
            step: (size / 64).clamp(1, 64 << 10),
        };
        records.position = position(&records.consumer).load(Ordering::Acquire);
        records.told = records.position;
        records.reserved = records.position;
        Ok(records)
    }

    /// Where the next record begins.
    #[inline]
    pub(super) const fn position(&self) -> usize {
        self.position
    }

    /// What stands there. When this is called, the records before are done with.
    #[inline]
    pub(super) fn head(&mut self) -> Head {
        if self.ready.is_some() {
            return Head::Ready;
        }
        if self.position.wrapping_sub(self.told) >= self.step {
            self.tell();
        }
        loop {
            if self.position == self.reserved {
                self.reserved = position(&self.producer).load(Ordering::Acquire);
                if self.position == self.reserved {
                    self.tell();
                    return Head::Empty;
                }
            }
            // SAFETY: the offset is within the data, whose records are aligned to 8 bytes, and the
            // kernel has written this header before it moved the producer's position past it; from
            // then on it changes it only as a whole (`bpf_ringbuf_commit`).
            let header =
                unsafe { AtomicU32::from_ptr(self.start().cast()) }.load(Ordering::Acquire);
            if header & BUSY != 0 {
                self.tell();
                return Head::Busy;
            }
            let length = (header & !DISCARDED) as usize;
            if header & DISCARDED == 0 && length <= self.size {
                self.ready = Some(length);
                return Head::Ready;
            }
            self.go_on(length);
        }
    }

    /// The record that [`Self::head`] has found to be ready.
    #[inline]
    pub(super) fn peek(&self) -> Option<&[u8]> {
        // SAFETY: see `bytes`; whoever moves the position or tells the kernel has `&mut self`.
        self.ready
            .map(|length| unsafe { bytes(self.start(), length) })
    }

    /// The same, and the next record is the one behind it.
    #[inline]
    pub(super) fn take(&mut self) -> Option<&[u8]> {
        let length = self.ready.take()?;
        let start = self.start();
        self.go_on(length);
        // SAFETY: see `bytes`; the kernel is told of it in a later call.
        Some(unsafe { bytes(start, length) })
    }

    /// The header of the next record.
    #[inline]
    fn start(&self) -> *mut u8 {
        let offset = self.page + (self.position & (self.size - 1));
        self.producer.as_mut_ptr().wrapping_add(offset)
    }

    #[inline]
    fn go_on(&mut self, length: usize) {
        self.position = self
            .position
            .wrapping_add((HEADER + length).next_multiple_of(8));
    }

    /// Gives the kernel back the room of all records that are done with.
    fn tell(&mut self) {
        if self.told != self.position {
            position(&self.consumer).store(self.position, Ordering::Release);
            self.told = self.position;
        }
    }
}

/// The bytes of a record, which do not change until the kernel is told that they are done with.
///
/// # Safety
///
/// A record that is filled and `length` bytes long begins at `start`, and the kernel is not told of
/// it as long as the bytes are borrowed.
#[inline]
unsafe fn bytes<'a>(start: *mut u8, length: usize) -> &'a [u8] {
    // SAFETY: the caller's promise; the data is mapped twice in a row, so as many bytes behind the
    // header are mapped.
    unsafe { std::slice::from_raw_parts(start.wrapping_add(HEADER), length) }
}

/// The position at the beginning of either mapping, an `unsigned long`.
fn position(mapping: &MmapRaw) -> &AtomicUsize {
    // SAFETY: the mapping is at least a page and lives as long as the borrow; the kernel accesses the
    // position as a whole only.
    unsafe { AtomicUsize::from_ptr(mapping.as_mut_ptr().cast()) }
}
