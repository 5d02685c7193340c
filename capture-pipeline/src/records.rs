//! The memory of a BPF ring buffer as user space sees it (`kernel/bpf/ringbuf.c`, Linux 5.8).
//!
//! aya's reader reports each consumed record to the kernel. That position is in a cache line that the
//! programs read for each packet, so the line would travel between the CPUs for each packet, at the
//! cost of both sides. This reader reports many records at once.
#![expect(
    unsafe_code,
    reason = "memory that is shared with the kernel is reached by pointers"
)]

use std::{
    io,
    os::fd::AsRawFd as _,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
};

use capture_common::{MAX_CAPTURED_LENGTH, RECORD_DATA, RecordHeader, SPILL_HEAD, decode_record};
use memmap2::{MmapOptions, MmapRaw};

use capture_kernel::rings::RingMap;

/// The header before each record: its length with two flags, and an offset for the kernel's use.
const HEADER: usize = 8;
/// The record is still being filled (`BPF_RINGBUF_BUSY_BIT`).
const BUSY: u32 = 1 << 31;
/// The record is to be skipped (`BPF_RINGBUF_DISCARD_BIT`).
const DISCARDED: u32 = 1 << 30;

/// The longest record that the programs make.
const LONGEST: usize = SPILL_HEAD + RECORD_DATA + MAX_CAPTURED_LENGTH as usize;

/// Reads records in the order of their reservation.
pub(super) struct Records {
    /// The page with the position up to which records are consumed, written by this reader.
    consumer: MmapRaw,
    /// A page with the position up to which records are reserved, then the data, and a second mapping of its
    /// start, as long as a record can reach across the end, so that each record can be read in one piece.
    /// The kernel allows mapping all of it twice, but each mapped page costs time when a capture begins and
    /// ends.
    producer: MmapRaw,
    page: usize,
    size: usize,
    /// Where the next record begins. Positions only grow; an offset is a position modulo the size.
    position: usize,
    /// The position last reported to the kernel.
    acknowledged: usize,
    /// The producer's position as last read.
    reserved: usize,
    /// Bytes to consume before the position is reported to the kernel.
    step: usize,
}

/// The next record of a spill ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spilled {
    /// The record belongs after this position of the front ring.
    Behind(usize),
    /// The record is still being filled.
    Busy,
    /// There is no record.
    Nothing,
}

impl Records {
    /// Maps a ring buffer; its size is a power of two and a multiple of the page size.
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
            .len(page + size + (HEADER + LONGEST).next_multiple_of(page).min(size))
            .map_raw_read_only(descriptor)?;
        let mut records = Self {
            consumer,
            producer,
            page,
            size,
            position: 0,
            acknowledged: 0,
            reserved: 0,
            step: (size / 64).clamp(1, 64 << 10),
        };
        records.position = position(&records.consumer).load(Ordering::Acquire);
        records.acknowledged = records.position;
        records.reserved = records.position;
        Ok(records)
    }

    /// Where the next record begins.
    #[inline]
    pub(super) const fn position(&self) -> usize {
        self.position
    }

    /// The position up to which records can be taken. Also reports consumed records to the kernel
    /// when due: all records before the current position must be done with.
    pub(super) fn look(&mut self) -> usize {
        if self.position - self.acknowledged >= self.step {
            self.tell();
        }
        if self.position == self.reserved {
            self.reserved = position(&self.producer).load(Ordering::Acquire);
        }
        self.reserved.min(self.position + self.step)
    }

    /// Returns the room of all consumed records to the kernel.
    pub(super) fn tell(&mut self) {
        if self.acknowledged != self.position {
            position(&self.consumer).store(self.position, Ordering::Release);
            self.acknowledged = self.position;
        }
    }

    /// The next record of a spill ring.
    pub(super) fn spilled(&mut self) -> Spilled {
        let until = self.look();
        let mut run = self.run(until);
        let next = match run.head() {
            Head::Ready(record) => Spilled::Behind(behind(record)),
            Head::Busy => Spilled::Busy,
            Head::Nothing => Spilled::Nothing,
        };
        // Discarded records were passed over.
        run.settle();
        next
    }

    /// The records up to a position returned by [`Self::look`].
    #[inline(always)]
    pub(super) fn run(&mut self, until: usize) -> Run<'_> {
        Run {
            data: self.producer.as_mut_ptr().wrapping_add(self.page),
            mask: self.size - 1,
            position: self.position,
            next: self.position,
            until,
            begins_with_position: false,
            front: usize::MAX,
            records: self,
        }
    }

    /// The records of a spill ring up to such a position, as long as they belong after no more of the
    /// front ring than was taken.
    #[inline(always)]
    pub(super) fn spilled_run(&mut self, until: usize, front: usize) -> Run<'_> {
        let mut run = self.run(until);
        run.begins_with_position = true;
        run.front = front;
        run
    }
}

/// Records one after the other, with no lookups or reports in between, so that the state can stay in
/// registers. What was taken counts when [`Run::settle`] is called.
#[must_use = "what was taken counts only when it is settled"]
pub(super) struct Run<'a> {
    records: &'a mut Records,
    data: *mut u8,
    mask: usize,
    position: usize,
    /// Position of the record after the current one.
    next: usize,
    until: usize,
    /// The records are of a spill ring.
    begins_with_position: bool,
    /// The front ring's records are taken up to this position.
    front: usize,
}

enum Head<'a> {
    Ready(&'a [u8]),
    Busy,
    Nothing,
}

impl<'a> Run<'a> {
    /// The next packet, until [`Self::advance`] is called; `None` when the run is over, or if the packet is
    /// still being copied. The bytes are valid until the ring is asked for another run.
    #[inline(always)]
    pub(super) fn packet(&mut self) -> Option<(RecordHeader, &'a [u8])> {
        loop {
            let Head::Ready(mut record) = self.head() else {
                return None;
            };
            if self.begins_with_position {
                if behind(record) > self.front {
                    return None;
                }
                record = record.get(SPILL_HEAD..)?;
            }
            if let Some(packet) = decode_record(record) {
                return Some(packet);
            }
            self.advance();
        }
    }

    /// Consumes the packet.
    #[inline(always)]
    pub(super) const fn advance(&mut self) {
        self.position = self.next;
    }

    /// Counts all records before the next one as consumed.
    #[inline]
    pub(super) const fn settle(self) {
        self.records.position = self.position;
    }

    #[inline(always)]
    fn head(&mut self) -> Head<'a> {
        while self.position < self.until {
            let start = self.data.wrapping_add(self.position & self.mask);
            // SAFETY: the offset is within the data, whose records are aligned to 8 bytes, and the
            // kernel has written this header before it moved the producer's position past it; from
            // then on it changes it only as a whole (`bpf_ringbuf_commit`).
            let header = unsafe { AtomicU32::from_ptr(start.cast()) }.load(Ordering::Acquire);
            let length = (header & !(BUSY | DISCARDED)) as usize;
            self.next = self.position + ((HEADER + length + 7) & !7);
            if header & (BUSY | DISCARDED) == 0 && length <= LONGEST.min(self.mask) {
                // SAFETY: the record is filled and has this length, and does not change until the kernel
                // is told that it is consumed, which requires an exclusive borrow of the ring. The same
                // number of bytes after the header is mapped, wherever in the data it begins.
                let record =
                    unsafe { std::slice::from_raw_parts(start.wrapping_add(HEADER), length) };
                return Head::Ready(record);
            }
            if header & BUSY != 0 {
                return Head::Busy;
            }
            self.advance();
        }
        Head::Nothing
    }
}

/// The position of the front ring that a record of a spill ring belongs after.
#[inline]
fn behind(record: &[u8]) -> usize {
    record
        .first_chunk::<SPILL_HEAD>()
        .map_or(0, |behind| u64::from_ne_bytes(*behind) as usize)
}

/// The position at the beginning of either mapping, an `unsigned long`.
fn position(mapping: &MmapRaw) -> &AtomicUsize {
    // SAFETY: the mapping is at least a page and lives as long as the borrow; the kernel accesses the
    // position as a whole only.
    unsafe { AtomicUsize::from_ptr(mapping.as_mut_ptr().cast()) }
}
