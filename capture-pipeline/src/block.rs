//! Blocks: pieces of files on their way from the drain thread to the writer, and the pool that
//! bounds their number.

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

/// A piece of a file, with what the writer needs to know about it.
#[derive(Debug)]
pub(crate) struct Block {
    /// The file's bytes from `start` on; the compressed ones once the block has been compressed.
    pub(crate) buffer: AlignedBuffer,
    /// The block's position among all blocks of the capture.
    pub(crate) sequence: u64,
    /// The output it belongs to.
    pub(crate) output: usize,
    /// Offset of the first byte in the uncompressed file.
    pub(crate) start: u64,
    /// Bytes at the beginning that the previous block already contained.
    pub(crate) overlap: usize,
    /// Length of the part that ends with a whole packet; 0 if no packet ends in the block.
    pub(crate) whole: usize,
    /// Bytes before compression.
    pub(crate) raw: usize,
    /// Packets that end in the block, by interface.
    pub(crate) counts: Vec<u64>,
    pub(crate) span: Span,
    /// What the file describes up to the end of the whole part.
    pub(crate) described: Described,
    /// The block is not full and is written at once, so that readers see it.
    pub(crate) flush: bool,
    /// Set if the block begins a file.
    pub(crate) open: Option<Box<FileHead>>,
    /// Set if the block ends a file.
    pub(crate) close: Option<Box<FileEnd>>,
}

/// The interfaces that a file describes up to some point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Described {
    /// How many a pcapng file describes.
    pub(crate) interfaces: u32,
    /// The link type of all of them, or of a pcap file.
    pub(crate) link_type: Option<u16>,
}

/// Properties of a new file.
#[derive(Debug)]
pub(crate) struct FileHead {
    pub(crate) sequence: u64,
    pub(crate) name: String,
    /// The file, if it was created already.
    pub(crate) file: Option<File>,
}

/// Properties of a finished file.
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
            described: Described::default(),
            flush: false,
            open: None,
            close: None,
        })
    }

    /// Resets the block for reuse.
    fn clear(&mut self) {
        self.buffer.clear();
        self.start = 0;
        self.overlap = 0;
        self.whole = 0;
        self.raw = 0;
        self.counts.fill(0);
        self.span = Span::default();
        self.described = Described::default();
        self.flush = false;
        self.open = None;
        self.close = None;
    }

    /// Counts a packet that ends in the block.
    #[inline]
    pub(crate) fn count(&mut self, interface: usize, timestamp: u64) {
        self.counts[interface] += 1;
        self.span.add(timestamp);
    }
}

/// The number of packets, and their earliest and latest timestamps.
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

/// The free blocks of a capture. The block returned last is handed out first: its memory is most
/// likely still cached, and memory that was never needed is never touched.
#[derive(Debug)]
pub(crate) struct Pool {
    blocks: Mutex<Boxes>,
    /// A lower bound of the number of free blocks; read for each packet, so without the lock.
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
