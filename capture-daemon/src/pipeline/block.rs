//! Blocks: what goes from the drain thread to the writer, and the pool that bounds how many there
//! are.

use std::{
    fs::File,
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::buffer::AlignedBuffer;
use capture_file::manifest::{FileEndReason, InterfaceLedger};

/// A piece of a file with what the writer has to know of it.
#[derive(Debug)]
pub(crate) struct Block {
    /// The file's bytes from `start` on; compressed on the way, if at all.
    pub(crate) buffer: AlignedBuffer,
    /// Its place among all blocks of the capture.
    pub(crate) sequence: u64,
    /// The output it belongs to.
    pub(crate) output: usize,
    /// Where its first byte stands in the file, uncompressed.
    pub(crate) start: u64,
    /// Bytes at its beginning that the block before it held already.
    pub(crate) overlap: usize,
    /// How many of its bytes end with a whole packet; 0 when none ends in it.
    pub(crate) whole: usize,
    /// Its bytes before compression.
    pub(crate) raw: usize,
    /// Packets that end in it, by interface.
    pub(crate) counts: Vec<u64>,
    pub(crate) span: Span,
    /// It is not full, and readers shall see it at once.
    pub(crate) flush: bool,
    /// It begins a file.
    pub(crate) open: Option<Box<FileHead>>,
    /// It ends a file.
    pub(crate) close: Option<Box<FileEnd>>,
}

/// What is known of a file when it begins.
#[derive(Debug)]
pub(crate) struct FileHead {
    pub(crate) sequence: u64,
    pub(crate) name: String,
    /// Already made.
    pub(crate) file: Option<File>,
}

/// What is known of a file when it ends.
#[derive(Debug)]
pub(crate) struct FileEnd {
    pub(crate) reason: FileEndReason,
    pub(crate) link_types: Vec<u16>,
    pub(crate) ledger: Vec<InterfaceLedger>,
}

impl Block {
    fn new(size: usize) -> io::Result<Self> {
        Ok(Self {
            buffer: AlignedBuffer::new(size)?,
            sequence: 0,
            output: 0,
            start: 0,
            overlap: 0,
            whole: 0,
            raw: 0,
            counts: Vec::new(),
            span: Span::default(),
            flush: false,
            open: None,
            close: None,
        })
    }

    /// Makes it fit for the next use.
    fn clear(&mut self) {
        self.buffer.clear();
        self.start = 0;
        self.overlap = 0;
        self.whole = 0;
        self.raw = 0;
        self.counts.fill(0);
        self.span = Span::default();
        self.flush = false;
        self.open = None;
        self.close = None;
    }

    /// Notes that a packet has ended in it.
    #[inline]
    pub(crate) fn count(&mut self, interface: usize, timestamp: u64) {
        self.counts[interface] += 1;
        self.span.add(timestamp);
    }
}

/// How many packets, and their earliest and latest timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) packets: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Default for Span {
    fn default() -> Self {
        Self {
            packets: 0,
            first: u64::MAX,
            last: 0,
        }
    }
}

impl Span {
    #[inline]
    pub(crate) fn add(&mut self, timestamp: u64) {
        self.packets += 1;
        self.first = self.first.min(timestamp);
        self.last = self.last.max(timestamp);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.packets += other.packets;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

type Boxes = Vec<Box<Block>>;

/// The blocks of a capture that are free. The one given back last is taken first: its memory is
/// most likely still in a cache, and memory that was never needed is never touched.
#[derive(Debug)]
pub(crate) struct Pool {
    blocks: Mutex<Boxes>,
    /// How many there are at least; asked for each packet, so without the lock.
    count: AtomicUsize,
}

impl Pool {
    pub(crate) fn new(count: usize, size: usize) -> io::Result<Self> {
        let blocks: io::Result<_> = (0..count).map(|_| Block::new(size).map(Box::new)).collect();
        Ok(Self {
            blocks: Mutex::new(blocks?),
            count: AtomicUsize::new(count),
        })
    }

    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub(crate) fn take(&self) -> Option<Box<Block>> {
        let mut blocks = self.lock();
        let block = blocks.pop();
        self.count.store(blocks.len(), Ordering::Release);
        block
    }

    pub(crate) fn give(&self, mut block: Box<Block>) {
        block.clear();
        let mut blocks = self.lock();
        blocks.push(block);
        self.count.store(blocks.len(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Boxes> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
