//! Finds out how much of an unfinished file is whole.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, BufReader, Seek as _},
};

use capture_types::{Digest, Format};

use super::whole_digest::{Digested, WholeDigest};

use crate::{
    codec::Decoded,
    error::ReadError,
    lines::LineReader,
    name::{Codec, Kind},
    packet::Item,
    read::CaptureReader,
};

const BUFFER: usize = 256 << 10;

/// The content of a file up to its last whole packet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) extent: Extent,
    pub(super) link_types: Vec<u16>,
    /// Of the bytes up to there; `None` if the file must be read again for it.
    pub(super) digest: Option<Digest>,
}

/// A position in a file, with the totals up to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// Bytes on disk.
    pub(super) stored: u64,
    /// Bytes before compression.
    pub(super) raw: u64,
    pub(super) packets: u64,
    /// UTC nanoseconds.
    pub(super) first: Option<u64>,
    pub(super) last: Option<u64>,
    /// How many of the file's link types are known at this position.
    link_types: usize,
}

impl Extent {
    fn add(&mut self, timestamp: u64) {
        self.packets += 1;
        self.first = Some(self.first.map_or(timestamp, |first| first.min(timestamp)));
        self.last = Some(self.last.map_or(timestamp, |last| last.max(timestamp)));
    }
}

type Input<'a> = Decoded<BufReader<Digested<'a>>>;

/// The records of a file in any format.
enum Records<'a> {
    Packets(CaptureReader<Input<'a>>),
    Lines(LineReader<Input<'a>>),
}

impl<'a> Records<'a> {
    /// Processes the next record; `false` where the file ends or becomes invalid.
    fn next(&mut self, extent: &mut Extent, link_types: &mut Vec<u16>) -> io::Result<bool> {
        let next = match self {
            Self::Packets(reader) => {
                let item = reader.next_item();
                item.map(|item| item.is_some_and(|item| take(&item, extent, link_types)))
            }
            Self::Lines(reader) => {
                let line = reader.next_line();
                line.map(|line| match line.and_then(time) {
                    Some(time) => {
                        extent.add(time);
                        true
                    }
                    None => false,
                })
            }
        };
        match next {
            Ok(whole) => Ok(whole),
            // The disk cannot be read: that is no reason to truncate the file.
            Err(ReadError::Io(error)) => Err(error),
            Err(ReadError::Cut { .. } | ReadError::Damaged { .. }) => Ok(false),
        }
    }

    const fn offset(&self) -> u64 {
        match self {
            Self::Packets(reader) => reader.offset(),
            Self::Lines(reader) => reader.offset(),
        }
    }

    const fn input(&mut self) -> &mut Input<'a> {
        match self {
            Self::Packets(reader) => reader.input_mut(),
            Self::Lines(reader) => reader.input_mut(),
        }
    }
}

/// Processes an item; `false` for items that no recorder writes.
fn take(item: &Item<'_>, extent: &mut Extent, link_types: &mut Vec<u16>) -> bool {
    match item {
        Item::Interface(interface) => {
            if !link_types.contains(&interface.link_type) {
                link_types.push(interface.link_type);
            }
            extent.link_types = link_types.len();
        }
        Item::Packet(packet) => {
            // A write that a crash has cut short leaves zeros.
            let nothing = packet.timestamp == 0 && packet.original_length == 0;
            if nothing || packet.data.len() > packet.original_length as usize {
                return false;
            }
            extent.add(packet.timestamp);
        }
        Item::Section(_) | Item::Statistics(_) | Item::Names(_) => {}
    }
    true
}

/// The time at the beginning of a line, UTC nanoseconds.
fn time(line: &[u8]) -> Option<u64> {
    /// `2026-01-01T00:00:00.000000000Z`
    const LENGTH: usize = 30;
    let text = std::str::from_utf8(line.get(..LENGTH)?).ok()?;
    let time = humantime::parse_rfc3339(text).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

/// How much of a file of this kind is whole: up to the end of its last whole record; in a compressed
/// file, of the last whole gzip member or zstd frame that ends with a record.
pub(super) fn whole(mut file: &File, kind: Kind) -> io::Result<Whole> {
    file.rewind()?;
    let digest = RefCell::default();
    let input = Digested {
        file,
        digest: &digest,
    };
    let input = Decoded::new(kind.codec, BufReader::with_capacity(BUFFER, input));
    let mut records = match kind.format {
        Format::Text => Records::Lines(LineReader::plain(input)),
        Format::Pcapng | Format::Pcap => Records::Packets(CaptureReader::plain(input)),
    };
    let mut link_types = Vec::new();
    let mut whole = Extent::default();
    let mut now = Extent::default();
    loop {
        let before = now;
        let more = records.next(&mut now, &mut link_types)?;
        if more {
            now.raw = records.offset();
        }
        if kind.codec == Codec::Plain {
            whole = Extent {
                stored: before.raw,
                ..before
            };
        } else {
            // The end of a member is known only when the bytes after it were requested.
            while let Some(end) = records.input().next_end(now.raw) {
                for extent in [before, now] {
                    if extent.raw == end.raw {
                        whole = Extent {
                            stored: end.stored,
                            ..extent
                        };
                    }
                }
            }
        }
        if !more {
            break;
        }
        digest.borrow_mut().extend(whole.stored);
    }
    link_types.truncate(whole.link_types);
    Ok(Whole {
        extent: whole,
        link_types,
        digest: WholeDigest::finish(&mut digest.borrow_mut(), whole.stored),
    })
}
