//! A output: the one file that packets of some interfaces go to at a time. A pcapng capture has one
//! output, a pcap capture one for each link type.

use std::time::{Duration, Instant};

use super::{block::Block, buffer::ALIGNMENT, direct_file::aligned_part, file_size::FileSize};
use capture_file::manifest::FileEndReason;
use capture_types::LinkType;
use capture_types::Rotation;

/// A output as the drain thread sees it.
pub(crate) struct FileOutput {
    /// The link type that the output is for; `None` for every one.
    pub(crate) link_type: Option<LinkType>,
    /// The block that packets go into.
    pub(crate) block: Option<Box<Block>>,
    /// Bytes that may be put into the block with no further question.
    pub(crate) room: usize,
    /// Packets from this time on (UTC nanoseconds) belong to the next file.
    pub(crate) boundary: u64,
    /// Packets that the file may still take.
    pub(crate) quota: u64,
    /// The number in the file of each of the capture's interfaces, or [`UNDESCRIBED`].
    pub(crate) numbers: Vec<u32>,
    /// The file, unless the next packet begins one.
    pub(crate) file: Option<CurrentFile>,
    /// When a block last left.
    pub(crate) sealed: Instant,
    /// Bytes on disk for each byte before compression, as files turned out so far.
    ratio: f64,
}

/// Stands for the number of an interface that the file does not describe.
pub(crate) const UNDESCRIBED: u32 = u32::MAX;

/// The file of an output as the drain thread sees it.
pub(crate) struct CurrentFile {
    pub(crate) sequence: u64,
    /// Packets put into it, in blocks that have left.
    pub(crate) packets: u64,
    /// Where the next block begins.
    pub(crate) position: u64,
    /// The end of the last block, behind the last aligned position: the next block begins with it.
    pub(crate) tail: Vec<u8>,
    /// Bytes in blocks that have left, before compression.
    pub(crate) sent: u64,
    /// The link type of its first packet, whose interfaces it describes all.
    pub(crate) main: Option<LinkType>,
    /// How many of the capture's interfaces were looked at for that.
    pub(crate) known: usize,
    /// The last change of names of addresses that it has.
    pub(crate) named: u64,
    /// How many it describes.
    pub(crate) described: u32,
    /// Where its interval ends, UTC nanoseconds.
    pub(crate) boundary: u64,
    /// It shall end as soon as a block is free to end it with.
    pub(crate) closing: Option<FileEndReason>,
}

/// So long after the end of its interval a file waits for packets that were captured before, in
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

    /// Bytes in the block that no other block holds.
    pub(crate) fn fresh(&self) -> usize {
        self.block
            .as_ref()
            .map_or(0, |block| block.buffer.len() - block.overlap)
    }

    /// Whether the file describes an interface.
    pub(crate) fn describes(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.described > 0)
    }

    /// Packets in the file, those in the block included.
    pub(crate) fn packets(&self) -> u64 {
        let left = self.file.as_ref().map_or(0, |file| file.packets);
        left + self.block.as_ref().map_or(0, |block| block.span.packets)
    }

    /// How long from `now` (UTC nanoseconds) until the clock has something to do here; `None` for never.
    pub(crate) fn next_tick(&self, now: u64) -> Option<Duration> {
        let file = self.file.as_ref()?;
        if self.fresh() > 0 || file.closing.is_some() {
            return Some(Duration::ZERO);
        }
        let ends = self.packets() > 0 && file.boundary != u64::MAX;
        ends.then(|| Duration::from_nanos(file.boundary.saturating_add(GRACE).saturating_sub(now)))
    }

    /// How many bytes more the file may take before it is as large as it may be; `ending` bytes are
    /// kept for its end. `size` is what the writer knows of a compressed file.
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
        // What the writer has not reported yet is taken to compress as well as the rest.
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

    /// Whether the clock says that the file shall end. It waits a little for packets that were
    /// captured before the boundary; packets from behind it end the file at once. A clock set back
    /// ends the file as well, so that no file spans the step.
    pub(crate) fn interval_is_over(&self, now: u64, rotation: &Rotation) -> bool {
        const STEP: u64 = 1_000_000_000;
        now >= self.boundary.saturating_add(GRACE)
            || boundary(now.saturating_add(STEP), rotation) < self.boundary
    }

    /// The block leaves: what the next one begins with.
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
