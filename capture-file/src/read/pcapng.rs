//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng), in either byte order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Found, LARGEST, PacketHead, Problem};
use crate::{
    options::{BlockKind, ByteOrder, OptionList, Options},
    packet::{AddressNames, Interface, Item, Section, Statistics},
};

/// The first bytes of every pcapng file, whatever its byte order.
pub(super) const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// Type and length before a block's body; the length is repeated after it.
const HEAD: usize = 8;
const TRAILER: usize = 4;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
/// The obsolete Packet Block.
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const NAMES: u32 = 4;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

/// The state of the reader for a pcapng file.
#[derive(Debug, Clone)]
pub(super) struct Pcapng {
    order: ByteOrder,
    /// The interfaces of all sections.
    interfaces: Vec<Known>,
    /// Number of interfaces in earlier sections.
    before: usize,
    /// Malformed options so far.
    pub(super) malformed: u64,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    units: Units,
    snaplen: u32,
}

/// The unit and offset of an interface's timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Units {
    per_second: u64,
    offset_seconds: i64,
}

impl Units {
    const NANOSECONDS: Self = Self {
        per_second: 1_000_000_000,
        offset_seconds: 0,
    };

    /// The nearest representable time.
    fn nanoseconds(self, counted: u64) -> u64 {
        const SECOND: i128 = 1_000_000_000;
        if self == Self::NANOSECONDS {
            return counted;
        }
        let nanoseconds = i128::from(counted) * SECOND / i128::from(self.per_second)
            + i128::from(self.offset_seconds) * SECOND;
        u64::try_from(nanoseconds.max(0)).unwrap_or(u64::MAX)
    }
}

impl Pcapng {
    pub(super) const fn new() -> Self {
        Self {
            order: ByteOrder::NATIVE,
            interfaces: Vec::new(),
            before: 0,
            malformed: 0,
        }
    }

    /// The length of the block that begins with these bytes; `None` if there are too few bytes.
    pub(super) fn block_length(&mut self, bytes: &[u8]) -> Result<Option<usize>, Problem> {
        let Some(head) = bytes.get(..HEAD + 4) else {
            return Ok(None);
        };
        if head.starts_with(&SECTION_HEADER) {
            self.order = match head[HEAD..] {
                [0x4d, 0x3c, 0x2b, 0x1a] => ByteOrder::Little,
                [0x1a, 0x2b, 0x3c, 0x4d] => ByteOrder::Big,
                _ => return Err("a section header without a known byte-order magic"),
            };
        }
        let length = self.order.u32_at(head, 4).unwrap_or(0) as usize;
        if length < HEAD + TRAILER || !length.is_multiple_of(4) {
            return Err("a block with an impossible length");
        }
        if length > LARGEST {
            return Err("a block of more than 16 MiB");
        }
        Ok(Some(length))
    }

    /// Parses a whole block.
    pub(super) fn block(&mut self, block: &[u8]) -> Result<Found, Problem> {
        let body = HEAD..block.len() - TRAILER;
        let kind = self.u32(block, 0)?;
        if self.u32(block, body.end)? as usize != block.len() {
            return Err("a block with two different lengths");
        }
        let body = &block[body];
        match kind {
            SECTION => self.section(body),
            INTERFACE => self.interface(body),
            ENHANCED_PACKET => self.packet(body, self.u32(body, 0)?),
            OLD_PACKET => {
                let interface = self.order.u16_at(body, 0).ok_or(SHORT)?;
                self.packet(body, u32::from(interface))
            }
            SIMPLE_PACKET => self.simple_packet(body),
            STATISTICS => self.statistics(body),
            NAMES => Ok(Found::Item(Item::Names(self.names(body)))),
            _ => Ok(Found::Nothing),
        }
    }

    /// The options of a packet found in this file.
    pub(super) const fn options<'a>(&self, bytes: &'a [u8]) -> Options<'a> {
        Options::new(bytes, self.order)
    }

    fn u32(&self, bytes: &[u8], at: usize) -> Result<u32, Problem> {
        self.order.u32_at(bytes, at).ok_or(SHORT)
    }

    fn owned_options(&mut self, body: &[u8], at: usize, kind: BlockKind) -> OptionList {
        let options = self.options(body.get(at..).unwrap_or_default());
        self.malformed += options.malformed(kind);
        OptionList::of(options, kind)
    }

    /// Timestamps are two words, the upper one first in either byte order.
    fn timestamp(&self, body: &[u8], units: Units) -> Result<u64, Problem> {
        let (high, low) = (self.u32(body, 4)?, self.u32(body, 8)?);
        Ok(units.nanoseconds(u64::from(high) << 32 | u64::from(low)))
    }

    /// The number of an interface over all sections, and its properties.
    fn known(&self, id: u32) -> Result<(u32, Known), Problem> {
        let number = self.before + id as usize;
        match (self.interfaces.get(number), u32::try_from(number)) {
            (Some(known), Ok(number)) => Ok((number, *known)),
            _ => Err("a block of an interface that was not described"),
        }
    }

    fn section(&mut self, body: &[u8]) -> Result<Found, Problem> {
        if self.order.u16_at(body, 4).ok_or(SHORT)? != 1 {
            return Err("an unknown version of pcapng");
        }
        self.before = self.interfaces.len();
        let options = self.owned_options(body, 16, BlockKind::Section);
        Ok(Found::Item(Item::Section(Section { options })))
    }

    fn interface(&mut self, body: &[u8]) -> Result<Found, Problem> {
        let link_type = self.order.u16_at(body, 0).ok_or(SHORT)?;
        let snaplen = self.u32(body, 4)?;
        let mut options = self.owned_options(body, 8, BlockKind::Interface);
        let units = units(&options)?;
        if units != Units::NANOSECONDS {
            let replaced = [Interface::RESOLUTION, Interface::OFFSET];
            options.retain(|option| !replaced.contains(&option.code));
            options.push(Interface::RESOLUTION, &[9]);
        }
        self.interfaces.push(Known { units, snaplen });
        Ok(Found::Item(Item::Interface(Interface {
            link_type,
            snaplen,
            options,
        })))
    }

    /// Enhanced Packet Blocks and the obsolete Packet Blocks differ in their first word only.
    fn packet(&mut self, body: &[u8], id: u32) -> Result<Found, Problem> {
        const DATA: usize = 20;
        let (interface, known) = self.known(id)?;
        let captured = self.u32(body, 12)? as usize;
        let end = DATA + captured;
        if end > body.len() {
            return Err("a packet that is longer than its block");
        }
        let options = body
            .get(end.next_multiple_of(4)..)
            .map(|bytes| self.options(bytes))
            .unwrap_or_default();
        self.malformed += options.malformed(BlockKind::Packet);
        Ok(Found::Packet(PacketHead {
            timestamp: self.timestamp(body, known.units)?,
            interface,
            original_length: self.u32(body, 16)?,
            data: HEAD + DATA..HEAD + end,
            options: HEAD + end.next_multiple_of(4),
            flags: options
                .iter()
                .filter(|option| option.code == 2)
                .find_map(|option| option.u32()),
        }))
    }

    /// A Simple Packet Block has neither a time nor a captured length.
    fn simple_packet(&self, body: &[u8]) -> Result<Found, Problem> {
        let (interface, known) = self.known(0)?;
        let original_length = self.u32(body, 0)?;
        let snaplen = match known.snaplen {
            0 => usize::MAX,
            snaplen => snaplen as usize,
        };
        let captured = (original_length as usize).min(snaplen).min(body.len() - 4);
        Ok(Found::Packet(PacketHead {
            timestamp: 0,
            interface,
            original_length,
            data: HEAD + 4..HEAD + 4 + captured,
            options: usize::MAX,
            flags: None,
        }))
    }

    fn statistics(&mut self, body: &[u8]) -> Result<Found, Problem> {
        let (interface, Known { units, .. }) = self.known(self.u32(body, 0)?)?;
        let timestamp = self.timestamp(body, units)?;
        let mut options = self.owned_options(body, 12, BlockKind::Statistics);
        if units != Units::NANOSECONDS {
            let mut converted = OptionList::default();
            for option in options.options() {
                match option.words() {
                    Some(time) if matches!(option.code, Statistics::START | Statistics::END) => {
                        converted.push_words(option.code, units.nanoseconds(time));
                    }
                    _ => converted.push(option.code, option.value),
                }
            }
            options = converted;
        }
        Ok(Found::Item(Item::Statistics(Statistics {
            interface,
            timestamp,
            options,
        })))
    }

    /// Records have the form of options; the kinds with an address are 1 (IPv4) and 2 (IPv6).
    fn names(&self, body: &[u8]) -> Vec<AddressNames> {
        let mut names = Vec::new();
        for record in self.options(body) {
            let split = match record.code {
                1 => record
                    .value
                    .split_first_chunk::<4>()
                    .map(|(address, rest)| (IpAddr::V4(Ipv4Addr::from(*address)), rest)),
                2 => record
                    .value
                    .split_first_chunk::<16>()
                    .map(|(address, rest)| (IpAddr::V6(Ipv6Addr::from(*address)), rest)),
                _ => None,
            };
            if let Some((address, rest)) = split {
                let texts = rest.split(|byte| *byte == 0);
                let texts = texts.filter(|text| !text.is_empty());
                let of_this = texts.map(|text| String::from_utf8_lossy(text).into_owned());
                let of_this = Vec::from_iter(of_this);
                if !of_this.is_empty() {
                    names.push(AddressNames {
                        address,
                        names: of_this,
                    });
                }
            }
        }
        names
    }
}

const SHORT: Problem = "a block that is too short for its kind";

fn units(options: &OptionList) -> Result<Units, Problem> {
    let options = options.options();
    let mut units = Units {
        // The default of if_tsresol is microseconds.
        per_second: 1_000_000,
        offset_seconds: 0,
    };
    if let Some(resolution) = options.get(Interface::RESOLUTION)
        && let [resolution] = resolution.value
    {
        let exponent = u32::from(resolution & 0x7f);
        let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
        units.per_second = base
            .checked_pow(exponent)
            .ok_or("timestamps finer than can be counted (if_tsresol)")?;
    }
    if let Some(offset) = options.get(Interface::OFFSET) {
        units.offset_seconds = offset.u64().unwrap_or(0).cast_signed();
    }
    Ok(units)
}

#[cfg(test)]
mod tests {
    use super::{Interface, OptionList, units};

    #[test]
    fn timestamps_in_other_units_become_nanoseconds() {
        let units = |resolution: u8, offset: i64| {
            let mut options = OptionList::default();
            options.push(Interface::RESOLUTION, &[resolution]);
            options.push(Interface::OFFSET, &offset.to_ne_bytes());
            units(&options)
        };
        assert_eq!(units(6, 0).unwrap().nanoseconds(5), 5_000);
        assert_eq!(units(0x80 | 1, 10).unwrap().nanoseconds(3), 11_500_000_000);
        assert_eq!(units(0, -2).unwrap().nanoseconds(3), 1_000_000_000);
        assert_eq!(units(0, -4).unwrap().nanoseconds(3), 0);
        assert_eq!(units(0, 0).unwrap().nanoseconds(u64::MAX), u64::MAX);
        assert!(units(127, 0).is_err());
    }
}
