//! The reader of capture files: pcap or pcapng, plain, gzip or zstd, item by item. Memory is bounded by
//! the largest block, and a packet costs no allocation.

use std::{io::Read, ops::Range};

use crate::{
    codec::decoded,
    error::ReadError,
    options::Options,
    packet::{Item, Packet},
    window::Window,
};
use pcap::Pcap;
use pcapng::Pcapng;

mod pcap;
mod pcapng;
#[cfg(test)]
mod tests;

/// No block of a capture file is nearly as long; a greater length means damage.
const LARGEST: usize = 16 << 20;

/// What is wrong with a file.
type Problem = &'static str;

/// Reads a capture file.
pub struct CaptureReader<R = Box<dyn Read + Send>> {
    window: Window<R>,
    /// Bytes of the item that was returned last; they stay in memory until the next call.
    given: usize,
    packets: u64,
    format: Format,
}

enum Format {
    Unknown,
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// The next item of a file. Ranges are within its bytes.
enum Found {
    Item(Item<'static>),
    Packet(PacketHead),
    Nothing,
}

struct PacketHead {
    timestamp: u64,
    interface: u32,
    original_length: u32,
    data: Range<usize>,
    /// The start of the options, which extend to the end of the block; the end if there are none.
    options: usize,
    flags: Option<u32>,
}

impl<'a> CaptureReader<Box<dyn Read + Send + 'a>> {
    /// Starts reading, decompressing if necessary.
    ///
    /// # Errors
    /// The first bytes cannot be read.
    pub fn new(input: impl Read + Send + 'a) -> Result<Self, ReadError> {
        Ok(CaptureReader::plain(decoded(input)?))
    }
}

impl<R: Read> CaptureReader<R> {
    /// Starts reading bytes that are not compressed.
    pub fn plain(input: R) -> Self {
        Self {
            window: Window::new(input, LARGEST),
            given: 0,
            packets: 0,
            format: Format::Unknown,
        }
    }

    /// The next item; `None` at the end. An empty file has none.
    ///
    /// # Errors
    /// See [`ReadError`]; after an error reading ends.
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, ReadError> {
        loop {
            self.window.take(self.given);
            self.given = 0;
            let Some(length) = self.whole()? else {
                return Ok(None);
            };
            self.given = length;
            let found = self.parse(length);
            match found.map_err(|problem| self.damaged(problem))? {
                Found::Nothing => {}
                Found::Item(item) => return Ok(Some(item)),
                Found::Packet(head) => {
                    self.packets += 1;
                    return Ok(Some(Item::Packet(self.packet(head, length))));
                }
            }
        }
    }

    /// The uncompressed offset of the end of the item that was returned last.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.window.taken() + self.given as u64
    }

    /// Options of pcapng blocks that were skipped so far because they are malformed.
    #[must_use]
    pub const fn malformed_options(&self) -> u64 {
        match &self.format {
            Format::Pcapng(file) => file.malformed,
            Format::Pcap(_) | Format::Unknown => 0,
        }
    }

    /// The input.
    pub(crate) const fn input_mut(&mut self) -> &mut R {
        self.window.input_mut()
    }

    /// Reads until a whole record is in the window; returns its length, or `None` at the end.
    fn whole(&mut self) -> Result<Option<usize>, ReadError> {
        loop {
            let bytes = self.window.bytes();
            let length = match &mut self.format {
                Format::Unknown if bytes.len() < pcapng::SECTION_HEADER.len() => Ok(None),
                Format::Unknown if bytes.starts_with(&pcapng::SECTION_HEADER) => {
                    self.format = Format::Pcapng(Pcapng::new());
                    continue;
                }
                Format::Unknown => Ok(Some(pcap::FILE_HEADER)),
                Format::Pcap(file) => file.record_length(bytes),
                Format::Pcapng(file) => file.block_length(bytes),
            };
            match length.map_err(|problem| self.damaged(problem))? {
                Some(length) if length <= self.window.bytes().len() => return Ok(Some(length)),
                _ if self.window.fill()? => {}
                _ if self.window.bytes().is_empty() => return Ok(None),
                _ => return Err(self.window.cut()),
            }
        }
    }

    fn parse(&mut self, length: usize) -> Result<Found, Problem> {
        let record = &self.window.bytes()[..length];
        match &mut self.format {
            Format::Unknown => {
                let (file, interface) = Pcap::new(record)?;
                self.format = Format::Pcap(file);
                Ok(interface)
            }
            Format::Pcap(file) => file.record(record),
            Format::Pcapng(file) => file.block(record),
        }
    }

    fn packet(&self, head: PacketHead, length: usize) -> Packet<'_> {
        const TRAILER: usize = 4;
        let record = &self.window.bytes()[..length];
        let options = match &self.format {
            Format::Pcapng(file) => record
                .get(head.options..length - TRAILER)
                .map(|bytes| file.options(bytes)),
            Format::Pcap(_) | Format::Unknown => None,
        };
        Packet {
            number: self.packets,
            timestamp: head.timestamp,
            interface: head.interface,
            original_length: head.original_length,
            data: &record[head.data],
            flags: head.flags,
            options: options.unwrap_or_else(Options::default),
        }
    }

    fn damaged(&self, problem: Problem) -> ReadError {
        ReadError::Damaged {
            offset: self.window.taken(),
            problem: problem.to_owned(),
        }
    }
}

impl<R> std::fmt::Debug for CaptureReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaptureReader")
            .field("packets", &self.packets)
            .finish_non_exhaustive()
    }
}
