//! A capture file, item by item: pcap or pcapng, plain, gzip or zstd. Memory is bounded by the largest
//! block.

use std::{
    borrow::Cow,
    io::{self, Read},
};

use pcap_file::{
    PcapError,
    pcap::PcapParser,
    pcapng::{
        Block, PcapNgParser,
        blocks::{
            enhanced_packet::EnhancedPacketOption,
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
            interface_statistics::InterfaceStatisticsBlock,
        },
    },
};
use thiserror::Error;

use super::{decode::decoded, window::Window};

/// Why a capture file cannot be read on.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no capture file, or is damaged.
    #[error("damaged {offset} bytes behind its beginning (uncompressed): {problem}")]
    Damaged {
        /// Where.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// It ends in the middle of something.
    #[error("cut off {offset} bytes behind its beginning (uncompressed)")]
    Cut {
        /// The end of what is whole.
        offset: u64,
    },
}

/// What stands in a capture file.
#[derive(Debug)]
pub enum Item {
    /// The next interface.
    Interface(InterfaceDescriptionBlock<'static>),
    /// A packet.
    Packet(Packet),
    /// An interface's counters; the timestamps in it are those of the file.
    Statistics(InterfaceStatisticsBlock<'static>),
}

/// A packet of a capture file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Nanoseconds since 1970-01-01 UTC.
    pub timestamp: u64,
    /// The number of its interface, of those that were told before.
    pub interface: u32,
    /// Its length on the wire.
    pub original_length: u32,
    /// Its first bytes.
    pub data: Vec<u8>,
    /// pcapng's options.
    pub options: Vec<EnhancedPacketOption<'static>>,
}

/// Reads a capture file.
pub struct CaptureReader<'a> {
    window: Window<Box<dyn Read + Send + 'a>>,
    format: Format,
    /// Units of the timestamps of each interface, of all sections.
    units: Vec<Units>,
    /// Interfaces of the sections before this one.
    before: u32,
}

enum Format {
    Unknown,
    Pcap { parser: PcapParser, told: bool },
    Pcapng(Box<PcapNgParser>),
    Ended,
}

/// How an interface's timestamps count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Units {
    per_second: u64,
    offset_seconds: u64,
}

/// The first bytes of every pcapng file, whatever its byte order.
const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

impl<'a> CaptureReader<'a> {
    /// Begins to read.
    ///
    /// # Errors
    /// The first bytes cannot be read.
    pub fn new(input: impl Read + Send + 'a) -> Result<Self, ReadError> {
        Ok(Self {
            window: Window::new(decoded(input)?),
            format: Format::Unknown,
            units: Vec::new(),
            before: 0,
        })
    }

    /// The next item; `None` at the end. An empty file has none.
    ///
    /// # Errors
    /// See [`ReadError`]; after one there is nothing more to read.
    pub fn next_item(&mut self) -> Result<Option<Item>, ReadError> {
        loop {
            match self.parse() {
                Ok(Parsed::Item(item)) => return Ok(Some(item)),
                Ok(Parsed::Nothing) => {}
                Ok(Parsed::Ended) => return Ok(None),
                Err(PcapError::IncompleteBuffer) => {
                    if !self.window.fill()? {
                        if self.window.bytes().is_empty() {
                            self.format = Format::Ended;
                        } else {
                            return Err(self.window.cut());
                        }
                    }
                }
                Err(error) => {
                    return Err(ReadError::Damaged {
                        offset: self.window.taken(),
                        problem: error.to_string(),
                    });
                }
            }
        }
    }

    fn parse(&mut self) -> Result<Parsed, PcapError> {
        let bytes = self.window.bytes();
        let (rest, parsed) = match &mut self.format {
            Format::Ended => return Ok(Parsed::Ended),
            Format::Unknown if bytes.len() < SECTION_HEADER.len() => {
                return Err(PcapError::IncompleteBuffer);
            }
            Format::Unknown if bytes.starts_with(&SECTION_HEADER) => {
                let (rest, parser) = PcapNgParser::new(bytes)?;
                let rest = rest.len();
                self.format = Format::Pcapng(Box::new(parser));
                (rest, Parsed::Nothing)
            }
            Format::Unknown => {
                let (rest, parser) = PcapParser::new(bytes)?;
                let rest = rest.len();
                self.format = Format::Pcap {
                    parser,
                    told: false,
                };
                (rest, Parsed::Nothing)
            }
            Format::Pcap { parser, told } if !*told => {
                *told = true;
                let header = parser.header();
                let interface = InterfaceDescriptionBlock {
                    linktype: header.datalink,
                    snaplen: header.snaplen,
                    options: vec![InterfaceDescriptionOption::IfTsResol(9)],
                };
                (bytes.len(), Parsed::Item(Item::Interface(interface)))
            }
            Format::Pcap { parser, .. } => {
                let (rest, packet) = parser.next_packet(bytes)?;
                let timestamp = u64::try_from(packet.timestamp.as_nanos())
                    .map_err(|_| PcapError::InvalidField("timestamp past 2554"))?;
                let packet = Packet {
                    timestamp,
                    interface: 0,
                    original_length: packet.orig_len,
                    data: packet.data.into_owned(),
                    options: Vec::new(),
                };
                (rest.len(), Parsed::Item(Item::Packet(packet)))
            }
            Format::Pcapng(parser) => {
                let (rest, block) = parser.next_block(bytes)?;
                let parsed = pcapng_item(block, &mut self.units, &mut self.before)?;
                (rest.len(), parsed)
            }
        };
        let taken = self.window.bytes().len() - rest;
        self.window.take(taken);
        Ok(parsed)
    }
}

enum Parsed {
    Item(Item),
    Nothing,
    Ended,
}

fn pcapng_item(
    block: Block<'_>,
    units: &mut Vec<Units>,
    before: &mut u32,
) -> Result<Parsed, PcapError> {
    let number = |id: u32| {
        let number = before.checked_add(id);
        number
            .filter(|number| (*number as usize) < units.len())
            .ok_or(PcapError::InvalidInterfaceId(id))
    };
    let item = match block {
        Block::SectionHeader(_) => {
            *before = u32::try_from(units.len())
                .map_err(|_| PcapError::InvalidField("more interfaces than can be counted"))?;
            return Ok(Parsed::Nothing);
        }
        Block::InterfaceDescription(interface) => {
            let (units_of_this, interface) = in_nanoseconds(interface.into_owned())?;
            units.push(units_of_this);
            Item::Interface(interface)
        }
        Block::EnhancedPacket(packet) => {
            let interface = number(packet.interface_id)?;
            // `pcap-file` reads the units as nanoseconds, whatever they are.
            let counted = packet.timestamp.as_nanos();
            let timestamp = units[interface as usize]
                .nanoseconds(counted)
                .ok_or(PcapError::InvalidField("timestamp past 2554"))?;
            Item::Packet(Packet {
                timestamp,
                interface,
                original_length: packet.original_len,
                data: match packet.data {
                    Cow::Borrowed(data) => data.to_vec(),
                    Cow::Owned(data) => data,
                },
                options: packet
                    .options
                    .into_iter()
                    .map(EnhancedPacketOption::into_owned)
                    .collect(),
            })
        }
        Block::InterfaceStatistics(mut statistics) => {
            statistics.interface_id = number(statistics.interface_id)?;
            if units[statistics.interface_id as usize] != Units::NANOSECONDS {
                return Ok(Parsed::Nothing);
            }
            Item::Statistics(statistics.into_owned())
        }
        _ => return Ok(Parsed::Nothing),
    };
    Ok(Parsed::Item(item))
}

impl Units {
    const NANOSECONDS: Self = Self {
        per_second: 1_000_000_000,
        offset_seconds: 0,
    };

    fn nanoseconds(self, counted: u128) -> Option<u64> {
        let nanoseconds = counted.checked_mul(1_000_000_000)? / u128::from(self.per_second);
        let offset = u128::from(self.offset_seconds) * 1_000_000_000;
        u64::try_from(nanoseconds.checked_add(offset)?).ok()
    }
}

/// An interface's units, and the interface as it is when its packets' timestamps are nanoseconds.
fn in_nanoseconds(
    mut interface: InterfaceDescriptionBlock<'static>,
) -> Result<(Units, InterfaceDescriptionBlock<'static>), PcapError> {
    use InterfaceDescriptionOption as Opt;
    let mut units = Units {
        // The default of if_tsresol is microseconds.
        per_second: 1_000_000,
        offset_seconds: 0,
    };
    for option in &interface.options {
        match option {
            Opt::IfTsResol(resolution) => {
                let exponent = u32::from(resolution & 0x7f);
                let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
                units.per_second = base.checked_pow(exponent).ok_or(PcapError::InvalidField(
                    "if_tsresol finer than can be counted",
                ))?;
            }
            Opt::IfTsOffset(offset) => units.offset_seconds = *offset,
            _ => {}
        }
    }
    if units != Units::NANOSECONDS {
        interface
            .options
            .retain(|option| !matches!(option, Opt::IfTsResol(_) | Opt::IfTsOffset(_)));
        interface.options.push(Opt::IfTsResol(9));
    }
    Ok((units, interface))
}

#[cfg(test)]
mod tests;
