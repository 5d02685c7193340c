//! Finds out how much of an unfinished file is whole.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, BufReader, Chain, Cursor, Read as _, Seek as _, SeekFrom},
};

use capture_types::{Digest, Format};

use super::whole_digest::{Digested, WholeDigest};

use crate::{
    codec::{Decoded, MemberEnd},
    error::ReadError,
    lines::LineReader,
    name::{Codec, Kind},
    packet::{Interface, Item},
    part_checkpoint::Position,
    read::CaptureReader,
    write::{WriteError, Writer},
};

const BUFFER: usize = 256 << 10;

/// The content of a file up to its last whole packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) extent: Extent,
    pub(super) link_types: Vec<u16>,
    /// Of the bytes up to there; `None` if the file must be read again for it.
    pub(super) digest: Option<Digest>,
    /// Bytes that were read from the file.
    pub(super) read: u64,
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

/// The head of a file that is not read from its start, and what is read.
type Input<'a> = Chain<Cursor<Vec<u8>>, Decoded<BufReader<Digested<'a>>>>;

/// What follows the records so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Record,
    /// The file ends, perhaps within a record.
    End,
    /// What no recorder writes.
    Damage,
}

/// The records of a file in any format.
enum Records<'a> {
    Packets(CaptureReader<Input<'a>>),
    Lines(LineReader<Input<'a>>),
}

impl<'a> Records<'a> {
    /// Processes the next record.
    fn next(&mut self, extent: &mut Extent, link_types: &mut Vec<u16>) -> io::Result<Next> {
        let whole = match self {
            Self::Packets(reader) => {
                let item = reader.next_item();
                item.map(|item| item.map(|item| take(&item, extent, link_types)))
            }
            Self::Lines(reader) => {
                let line = reader.next_line();
                line.map(|line| {
                    line.map(|line| {
                        let time = time(line);
                        time.inspect(|time| extent.add(*time)).is_some()
                    })
                })
            }
        };
        match whole {
            Ok(Some(true)) => Ok(Next::Record),
            // The disk cannot be read: that is no reason to truncate the file.
            Err(ReadError::Io(error)) => Err(error),
            Ok(None) | Err(ReadError::Cut { .. }) => Ok(Next::End),
            Ok(Some(false)) | Err(ReadError::Damaged { .. }) => Ok(Next::Damage),
        }
    }

    const fn offset(&self) -> u64 {
        match self {
            Self::Packets(reader) => reader.offset(),
            Self::Lines(reader) => reader.offset(),
        }
    }

    /// The end of the next completely read member, if it is within this many bytes.
    fn next_end(&mut self, within: u64) -> Option<MemberEnd> {
        let input = match self {
            Self::Packets(reader) => reader.input_mut(),
            Self::Lines(reader) => reader.input_mut(),
        };
        input.get_mut().1.next_end(within)
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
pub(super) fn whole(file: &File, kind: Kind) -> io::Result<Whole> {
    let (whole, _) = scan(file, kind, Vec::new(), Extent::default())?;
    Ok(whole)
}

/// The same of a file that is whole up to a position, which is read from there on. `None` if there is no whole
/// record, and perhaps none begins there: whoever writes over a compressed file knows the first bytes of a gzip member
/// or zstd frame, but bytes amid a plain file may look like the head of a record.
pub(super) fn rest(file: &File, kind: Kind, from: &Position) -> io::Result<Option<Whole>> {
    let head = head(kind.format, from).map_err(io::Error::other)?;
    let begin = Extent {
        stored: from.stored,
        raw: from.raw,
        packets: from.packets,
        first: from.first,
        last: from.last,
        link_types: 0,
    };
    let (whole, next) = scan(file, kind, head, begin)?;
    let nothing = whole.extent.stored == from.stored && whole.read > 0;
    let doubtful = nothing && (next == Next::Damage || kind.codec == Codec::Plain);
    Ok(Some(whole).filter(|_| !doubtful))
}

/// What a reader has to know before the records after a position: the header of a file of this format, and the
/// interfaces.
fn head(format: Format, of: &Position) -> Result<Vec<u8>, WriteError> {
    let kind = Kind {
        format,
        codec: Codec::Plain,
    };
    let interfaces = match format {
        Format::Text => return Ok(Vec::new()),
        Format::Pcapng => of.interfaces,
        Format::Pcap => 1,
    };
    let mut head = Writer::new(Vec::new(), kind, "")?;
    for _ in 0..interfaces {
        head.interface(&Interface::new(of.link_type.unwrap_or_default(), 0))?;
    }
    head.finish()
}

/// Reads a file that is whole up to `begin`, where `head` is what the reader has to know.
fn scan(mut file: &File, kind: Kind, head: Vec<u8>, begin: Extent) -> io::Result<(Whole, Next)> {
    file.seek(SeekFrom::Start(begin.stored))?;
    let digest = RefCell::new(WholeDigest::of_all(begin.stored == 0));
    let input = Digested {
        file,
        digest: &digest,
    };
    let input = Decoded::new(kind.codec, BufReader::with_capacity(BUFFER, input));
    let before_input = head.len() as u64;
    let input = Cursor::new(head).chain(input);
    let mut records = match kind.format {
        Format::Text => Records::Lines(LineReader::plain(input)),
        Format::Pcapng | Format::Pcap => Records::Packets(CaptureReader::plain(input)),
    };
    let mut link_types = Vec::new();
    let mut now = begin;
    while records.offset() < before_input {
        if records.next(&mut now, &mut link_types)? != Next::Record {
            return Err(io::Error::other("the head of the file is not whole"));
        }
    }
    let mut whole = now;
    let last = loop {
        let before = now;
        let next = records.next(&mut now, &mut link_types)?;
        if next == Next::Record {
            now.raw = begin.raw + (records.offset() - before_input);
        }
        if kind.codec == Codec::Plain {
            whole = Extent {
                stored: before.raw,
                ..before
            };
        } else {
            // The end of a member is known only when the bytes after it were requested.
            while let Some(end) = records.next_end(now.raw - begin.raw) {
                for extent in [before, now] {
                    if extent.raw == begin.raw + end.raw {
                        whole = Extent {
                            stored: begin.stored + end.stored,
                            ..extent
                        };
                    }
                }
            }
        }
        if next != Next::Record {
            break next;
        }
        digest.borrow_mut().extend(whole.stored);
    };
    link_types.truncate(whole.link_types);
    let mut digest = digest.borrow_mut();
    let whole = Whole {
        extent: whole,
        link_types,
        digest: digest.finish(whole.stored),
        read: digest.read(),
    };
    Ok((whole, last))
}
