//! A file that is being written: its blocks, how much of it is on disk, and whether it still exists.

use std::{fs::File, io, os::unix::fs::MetadataExt as _};

use super::{
    block::{Block, Described, Span},
    buffer::AlignedBuffer,
    checkpoints::CheckpointRule,
    direct_file::{DirectFile, aligned_part},
    messages::ClosedFile,
    outcome::Outcomes,
};
use capture_file::{
    Directory, PartCheckpoint, Position, Tail,
    manifest::{FileEndReason, FileEntry, InterfaceLedger},
    name::PART,
};

pub(crate) struct OpenFile {
    pub(crate) name: String,
    pub(crate) sequence: u64,
    file: DirectFile,
    /// Compressed bytes from `written` on: the rest after the last aligned piece on disk.
    stage: Option<AlignedBuffer>,
    /// Offset of the stage in the file; a multiple of the alignment.
    written: u64,
    /// Bytes on disk.
    on_disk: u64,
    /// Length of the file in bytes, including the stage.
    pub(crate) length: u64,
    /// Bytes before compression.
    pub(crate) raw: u64,
    /// Packets that may be partly in the stage.
    waiting: PendingPackets,
    /// The parts on disk; each ends with a whole packet.
    pieces: Vec<Piece>,
    checkpoints: Option<CheckpointRule>,
    /// The bytes on disk, before compression, from which on the next checkpoint is due.
    due: u64,
    /// The end of the block that was appended last, and of the last piece on disk.
    appended: End,
    settled: End,
}

/// What a checkpoint at the end of a block has to know.
#[derive(Debug, Clone, Default)]
struct End {
    described: Described,
    tail: Option<Tail>,
}

/// Damage that somebody else did to a file while it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The file is shorter than it was.
    Truncated(u64),
    /// The file was removed or renamed.
    Removed,
}

/// A part of the file, with the packets that end in it.
#[derive(Debug, Default)]
struct Piece {
    /// Where the part ends in the file, and before compression.
    end: u64,
    raw: u64,
    counts: Vec<u64>,
    span: Span,
}

/// Above this number, pieces are joined two by two.
const MOST_PIECES: usize = 512;

impl OpenFile {
    /// `stage`: compressed blocks are gathered in it.
    pub(crate) fn new(
        name: String,
        sequence: u64,
        file: File,
        stage: Option<AlignedBuffer>,
        checkpoints: Option<CheckpointRule>,
    ) -> Self {
        Self {
            due: checkpoints.as_ref().map_or(u64::MAX, |rule| rule.every),
            checkpoints,
            appended: End::default(),
            settled: End::default(),
            name,
            sequence,
            file: DirectFile::new(file),
            stage,
            written: 0,
            on_disk: 0,
            length: 0,
            raw: 0,
            waiting: PendingPackets::default(),
            pieces: Vec::new(),
        }
    }

    /// The damage done to the file since it was last written.
    pub(crate) fn damage(&self, directory: &Directory) -> io::Result<Option<Damage>> {
        let metadata = self.file.metadata()?;
        let part = format!("{}{PART}", self.name);
        Ok(
            if metadata.nlink() == 0 || !directory.holds(&part, &metadata)? {
                Some(Damage::Removed)
            } else if metadata.len() < self.on_disk {
                Some(Damage::Truncated(metadata.len()))
            } else {
                None
            },
        )
    }

    /// Forgets everything after the first `bytes` bytes; returns the packets that were in it, by
    /// interface.
    pub(crate) fn keep(&mut self, bytes: u64) -> Vec<u64> {
        let mut lost = PendingPackets::default();
        while let Some(piece) = self.pieces.pop_if(|piece| piece.end > bytes) {
            lost.add(&piece.counts, piece.span);
        }
        lost.counts
    }

    /// Truncates the file after its last whole packet; `false` when it has none.
    pub(crate) fn cut(&mut self) -> io::Result<bool> {
        let whole = self.pieces.last().map_or(0, |piece| piece.end);
        if whole > 0 {
            self.file.set_len(whole)?;
        }
        Ok(whole > 0)
    }

    /// Packets that are not on disk yet, by interface.
    pub(crate) fn waiting(&self) -> &[u64] {
        &self.waiting.counts
    }

    /// Appends a block and returns how many packets more are on disk now.
    pub(crate) fn append(&mut self, block: &mut Block, outcomes: &Outcomes) -> io::Result<u64> {
        match self.stage.take() {
            None => self.append_plain(block, outcomes),
            Some(mut stage) => {
                let appended = self.append_staged(&mut stage, block, outcomes);
                self.stage = Some(stage);
                appended
            }
        }
    }

    /// An uncompressed block is written to disk as it is, over the end of the previous one.
    fn append_plain(&mut self, block: &mut Block, outcomes: &Outcomes) -> io::Result<u64> {
        let length = block.buffer.len();
        self.file.write(&mut block.buffer, length, block.start)?;
        self.length = block.start + length as u64;
        self.on_disk = self.length;
        self.raw = self.length;
        outcomes.written(&block.counts);
        // A block in which no packet ends is part of the piece that the next one ends.
        if block.whole > 0 {
            self.settled = self.end_of(block, block.whole);
            let end = block.start + block.whole as u64;
            self.add_piece(end, end, block.counts.clone(), block.span);
        }
        Ok(block.span.packets)
    }

    /// A compressed block has any length: the rest after the last aligned piece stays in the stage,
    /// unless the block is flushed. A block counts as written when all of it is.
    fn append_staged(
        &mut self,
        stage: &mut AlignedBuffer,
        block: &Block,
        outcomes: &Outcomes,
    ) -> io::Result<u64> {
        let compressed = block.buffer.len();
        if stage.fill(block.buffer.as_slice()) < compressed {
            return Err(io::Error::other("a compressed block is too large"));
        }
        let flush = block.flush || block.close.is_some();
        let ready = if flush {
            stage.len()
        } else {
            aligned_part(stage.len())
        };
        let on_disk = self.written + ready as u64;
        if ready > 0 {
            self.file.write(stage, ready, self.written)?;
            let aligned = aligned_part(ready);
            stage.discard_front(aligned);
            self.written += aligned as u64;
            self.on_disk = on_disk;
        }
        let mut packets = 0;
        if on_disk >= self.length {
            packets += self.settle(outcomes);
        }
        self.waiting.add(&block.counts, block.span);
        self.appended = self.end_of(block, compressed);
        self.length += compressed as u64;
        self.raw += block.raw as u64;
        if on_disk >= self.length {
            packets += self.settle(outcomes);
        }
        Ok(packets)
    }

    /// Counts everything that waited as on disk.
    fn settle(&mut self, outcomes: &Outcomes) -> u64 {
        if self.pieces.last().map_or(0, |piece| piece.end) == self.length {
            return 0;
        }
        let PendingPackets { counts, span } = std::mem::take(&mut self.waiting);
        outcomes.written(&counts);
        self.settled = std::mem::take(&mut self.appended);
        self.add_piece(self.length, self.raw, counts, span);
        span.packets
    }

    /// The end of the first bytes of a block.
    fn end_of(&self, block: &Block, length: usize) -> End {
        let bytes = block.buffer.as_slice().get(..length).unwrap_or_default();
        End {
            described: block.described,
            tail: self.checkpoints.as_ref().and_then(|_| Tail::of(bytes)),
        }
    }

    /// A checkpoint of what is on disk, if one is due.
    pub(crate) fn checkpoint(&mut self) -> io::Result<Option<PartCheckpoint>> {
        let whole = self.pieces.last().map_or(0, |piece| piece.raw);
        if whole < self.due {
            return Ok(None);
        }
        let (Some(rule), Some(tail)) = (&self.checkpoints, self.settled.tail.clone()) else {
            return Ok(None);
        };
        self.due = whole.saturating_add(rule.every);
        let all = self.all();
        let times = (all.span.packets > 0).then_some((all.span.first, all.span.last));
        let Described {
            interfaces,
            link_type,
        } = self.settled.described;
        let position = Position {
            stored: all.end,
            raw: all.raw,
            packets: all.span.packets,
            first: times.map(|(first, _)| first),
            last: times.map(|(_, last)| last),
            interfaces,
            link_type,
        };
        self.file.checkpoint(&rule.boot, position, tail).map(Some)
    }

    /// All pieces together.
    fn all(&self) -> Piece {
        let mut all = Piece::default();
        for piece in &self.pieces {
            all.join(piece);
        }
        all
    }

    fn add_piece(&mut self, end: u64, raw: u64, counts: Vec<u64>, span: Span) {
        if self.pieces.len() >= MOST_PIECES {
            let mut joined: Vec<Piece> = Vec::with_capacity(MOST_PIECES);
            for (at, piece) in self.pieces.drain(..).enumerate() {
                match joined.last_mut() {
                    Some(last) if at % 2 == 1 => last.join(&piece),
                    _ => joined.push(piece),
                }
            }
            self.pieces = joined;
        }
        self.pieces.push(Piece {
            end,
            raw,
            counts,
            span,
        });
    }

    /// Completes the file.
    pub(crate) fn close(
        self,
        output: usize,
        reason: FileEndReason,
        link_types: Vec<u16>,
        interfaces: Vec<InterfaceLedger>,
    ) -> ClosedFile {
        let all = self.all();
        let known = all.span.packets > 0;
        ClosedFile {
            output,
            entry: FileEntry {
                file: self.name,
                sequence: self.sequence,
                link_types,
                packets: Some(all.span.packets),
                bytes: all.end,
                bytes_uncompressed: Some(all.raw),
                first: known.then(|| all.span.first.into()),
                last: known.then(|| all.span.last.into()),
                digest: None,
                ended: Some(reason),
                ledger: None,
            },
            interfaces,
            file: self.file.into_inner(),
            counts: all.counts,
        }
    }
}

impl Piece {
    /// Joins the piece after this one to it.
    fn join(&mut self, next: &Self) {
        self.end = next.end;
        self.raw = next.raw;
        add(&mut self.counts, &next.counts);
        self.span.merge(next.span);
    }
}

/// Packets that wait for the rest of their block to reach the disk.
#[derive(Debug, Default)]
struct PendingPackets {
    counts: Vec<u64>,
    span: Span,
}

impl PendingPackets {
    fn add(&mut self, counts: &[u64], span: Span) {
        add(&mut self.counts, counts);
        self.span.merge(span);
    }
}

fn add(sums: &mut Vec<u64>, counts: &[u64]) {
    if sums.len() < counts.len() {
        sums.resize(counts.len(), 0);
    }
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum += count;
    }
}
