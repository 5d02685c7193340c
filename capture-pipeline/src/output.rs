//! An output: the one file at a time that packets of some interfaces are written to. A pcapng
//! capture has one output, a pcap capture one for each link type.

use std::time::{Duration, Instant};

use super::{block::Block, buffer::ALIGNMENT, direct_file::aligned_part, file_size::FileSize};
use capture_file::manifest::FileEndReason;
use capture_types::LinkType;
use capture_types::Rotation;

/// An output as the drain thread sees it.
pub(crate) struct FileOutput {
    /// The link type of the output; `None` for all.
    pub(crate) link_type: Option<LinkType>,
    /// The block that packets go into.
    pub(crate) block: Option<Box<Block>>,
    /// Bytes that may be put into the block without further checks.
    pub(crate) room: usize,
    /// Packets from this time on (UTC nanoseconds) belong to the next file.
    pub(crate) boundary: u64,
    /// Packets that the file may still take.
    pub(crate) quota: u64,
    /// The number in the file of each of the capture's interfaces, or [`UNDESCRIBED`].
    pub(crate) numbers: Vec<u32>,
    /// The file, unless the next packet begins one.
    pub(crate) file: Option<CurrentFile>,
    /// When a block was last passed on.
    pub(crate) sealed: Instant,
    /// Bytes on disk for each byte before compression, as measured on files so far.
    ratio: f64,
}

/// The number of an interface that the file does not describe.
pub(crate) const UNDESCRIBED: u32 = u32::MAX;

/// The file of an output as the drain thread sees it.
pub(crate) struct CurrentFile {
    pub(crate) sequence: u64,
    /// Packets in blocks that were passed on.
    pub(crate) packets: u64,
    /// File offset of the next block.
    pub(crate) position: u64,
    /// The end of the last block after the last aligned position: the next block begins with it.
    pub(crate) tail: Vec<u8>,
    /// Bytes in blocks that were passed on, before compression.
    pub(crate) sent: u64,
    /// The link type of its first packet; the file describes all interfaces of this type.
    pub(crate) main: Option<LinkType>,
    /// How many of the capture's interfaces were checked for that type.
    pub(crate) known: usize,
    /// The last change of address names that the file contains.
    pub(crate) named: u64,
    /// How many interfaces the file describes.
    pub(crate) described: u32,
    /// Where the file's interval ends, UTC nanoseconds.
    pub(crate) boundary: u64,
    /// Set when the file is to end as soon as a block is free.
    pub(crate) closing: Option<FileEndReason>,
}

/// How long after the end of its interval a file waits for packets that were captured earlier, in
/// nanoseconds.
const GRACE: u64 = 100_000_000;

impl FileOutput {
    pub(crate) fn new(link_type: Option<LinkType>) -> Self {
        Self {
            link_type,
            block: None,
            room: 0,
            boundary: u64::MAX,
            quota: u64::MAX,
            numbers: Vec::new(),
            file: None,
            sealed: Instant::now(),
            ratio: 1.0,
        }
    }

    /// Bytes in the block that no other block contains.
    pub(crate) fn fresh(&self) -> usize {
        self.block
            .as_ref()
            .map_or(0, |block| block.buffer.len() - block.overlap)
    }

    /// Whether the file describes an interface.
    pub(crate) fn describes(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.described > 0)
    }

    /// Packets in the file, including those in the open block.
    pub(crate) fn packets(&self) -> u64 {
        let left = self.file.as_ref().map_or(0, |file| file.packets);
        left + self.block.as_ref().map_or(0, |block| block.span.packets)
    }

    /// How long from `now` (UTC nanoseconds) until the next deadline of this output; `None` for never.
    pub(crate) fn next_tick(&self, now: u64) -> Option<Duration> {
        let file = self.file.as_ref()?;
        if self.fresh() > 0 || file.closing.is_some() {
            return Some(Duration::ZERO);
        }
        let ends = self.packets() > 0 && file.boundary != u64::MAX;
        ends.then(|| Duration::from_nanos(file.boundary.saturating_add(GRACE).saturating_sub(now)))
    }

    /// How many more bytes the file may take up to its size limit; `ending` bytes are reserved for
    /// its end. `size` is the size that the writer reports for a compressed file.
    pub(crate) fn size_left(&mut self, limit: u64, ending: u64, size: Option<&FileSize>) -> u64 {
        let Some(file) = &self.file else {
            return u64::MAX;
        };
        let filled = self.block.as_ref().map_or(0, |block| block.buffer.len()) as u64;
        let Some(size) = size else {
            return limit.saturating_sub(file.position + filled + ending);
        };
        let (raw, stored) = size.of(file.sequence);
        if raw > 0 {
            self.ratio = (stored as f64 / raw as f64).max(1e-4);
        }
        // Bytes that the writer has not reported yet are assumed to compress as well as the rest.
        let coming = file.sent.saturating_sub(raw) + filled + ending;
        let left = limit.saturating_sub(stored) as f64 / self.ratio;
        (left as u64).saturating_sub(coming)
    }
}

impl CurrentFile {
    pub(crate) fn new(sequence: u64, opened: u64, rotation: &Rotation) -> Self {
        Self {
            sequence,
            packets: 0,
            position: 0,
            tail: Vec::with_capacity(ALIGNMENT),
            sent: 0,
            main: None,
            known: 0,
            named: 0,
            described: 0,
            boundary: boundary(opened, rotation),
            closing: None,
        }
    }

    /// Whether the file's interval is over. The file waits a little for packets that were captured
    /// before the boundary; a packet after it ends the file at once. A clock set back ends the file
    /// as well, so that no file spans the step.
    pub(crate) fn interval_is_over(&self, now: u64, rotation: &Rotation) -> bool {
        const STEP: u64 = 1_000_000_000;
        now >= self.boundary.saturating_add(GRACE)
            || boundary(now.saturating_add(STEP), rotation) < self.boundary
    }

    /// Prepares the start of the next block when this one is passed on.
    pub(crate) fn advance(&mut self, block: &Block, aligned: bool) {
        let bytes = block.buffer.as_slice();
        self.sent += (bytes.len() - block.overlap) as u64;
        self.packets += block.span.packets;
        if aligned {
            let kept = aligned_part(bytes.len());
            self.position = block.start + kept as u64;
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[kept..]);
        }
    }
}

/// The first multiple of the interval after a time.
pub(crate) fn boundary(time: u64, rotation: &Rotation) -> u64 {
    let Some(interval) = rotation.interval else {
        return u64::MAX;
    };
    let interval = u64::try_from(interval.as_nanos())
        .unwrap_or(u64::MAX)
        .max(1);
    (time / interval).saturating_add(1).saturating_mul(interval)
}
