//! The contents of capture files: packets, and descriptions of interfaces, sections and addresses.

use std::net::IpAddr;

use capture_types::Direction;

use crate::options::{OptionList, Options};

/// An item of a capture file.
#[derive(Debug)]
pub enum Item<'a> {
    /// The start of a section of a pcapng file. Its interfaces follow; their numbers continue from
    /// the previous section.
    Section(Section),
    /// The next interface. A pcap file has one.
    Interface(Interface),
    /// A packet of an interface that was described before.
    Packet(Packet<'a>),
    /// An interface's counters.
    Statistics(Statistics),
    /// Names of addresses.
    Names(Vec<AddressNames>),
}

/// A packet of a capture file, borrowed from the reader's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its number among the packets of the file, from 1, like Wireshark's `frame.number`.
    pub number: u64,
    /// Nanoseconds since 1970-01-01 UTC; 0 in pcapng's Simple Packet Blocks, which have none.
    pub timestamp: u64,
    /// The number of its interface, from 0 over all sections.
    pub interface: u32,
    /// Its length on the wire.
    pub original_length: u32,
    /// Its first bytes.
    pub data: &'a [u8],
    /// pcapng's `epb_flags`.
    pub flags: Option<u32>,
    /// pcapng's options, including the flags.
    pub options: Options<'a>,
}

/// `epb_flags` of pcapng's packets.
const FLAGS: u16 = 2;

impl Packet<'_> {
    /// Whether it was received or sent, if the file says so.
    #[must_use]
    pub const fn direction(&self) -> Option<Direction> {
        direction(self.flags)
    }

    /// An owned copy of the packet.
    #[must_use]
    pub fn to_buf(&self) -> PacketBuf {
        let mut options = OptionList::of(self.options, crate::options::BlockKind::Packet);
        if options.options().get(FLAGS).is_some() {
            options.retain(|option| option.code != FLAGS);
        }
        PacketBuf {
            timestamp: self.timestamp,
            interface: self.interface,
            original_length: self.original_length,
            data: self.data.to_vec(),
            flags: self.flags,
            options,
        }
    }
}

/// An owned packet, to be kept or written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PacketBuf {
    /// Nanoseconds since 1970-01-01 UTC.
    pub timestamp: u64,
    /// The number of its interface.
    pub interface: u32,
    /// Its length on the wire.
    pub original_length: u32,
    /// Its first bytes.
    pub data: Vec<u8>,
    /// pcapng's `epb_flags`.
    pub flags: Option<u32>,
    /// pcapng's other options.
    pub options: OptionList,
}

impl PacketBuf {
    /// Whether it was received or sent, if known.
    #[must_use]
    pub const fn direction(&self) -> Option<Direction> {
        direction(self.flags)
    }

    /// The `epb_flags` of a direction: bits 0 and 1, 01 inbound, 10 outbound.
    #[must_use]
    pub const fn flags_of(direction: Direction) -> u32 {
        match direction {
            Direction::In => 0b01,
            Direction::Out => 0b10,
        }
    }

    /// All options in the form of a file.
    pub(crate) fn all_options(&self) -> OptionList {
        let mut all = OptionList::default();
        if let Some(flags) = self.flags {
            all.push(FLAGS, &flags.to_ne_bytes());
        }
        for option in self.options.options() {
            all.push(option.code, option.value);
        }
        all
    }
}

const fn direction(flags: Option<u32>) -> Option<Direction> {
    match flags {
        Some(flags) if flags & 0b11 == 0b01 => Some(Direction::In),
        Some(flags) if flags & 0b11 == 0b10 => Some(Direction::Out),
        _ => None,
    }
}

/// A section of a pcapng file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// Its options.
    pub options: OptionList,
}

impl Section {
    /// The program that wrote it (`shb_userappl`).
    #[must_use]
    pub fn application(&self) -> Option<String> {
        text(&self.options, 4)
    }

    /// The operating system of the machine (`shb_os`).
    #[must_use]
    pub fn operating_system(&self) -> Option<String> {
        text(&self.options, 3)
    }
}

/// An interface. Its packets have timestamps in nanoseconds here, whatever the unit in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its link type (<https://www.tcpdump.org/linktypes.html>).
    pub link_type: u16,
    /// Maximum bytes kept of a packet; 0 for all.
    pub snaplen: u32,
    /// Its options.
    pub options: OptionList,
}

impl Interface {
    const COMMENT: u16 = 1;
    const NAME: u16 = 2;
    const DESCRIPTION: u16 = 3;
    const MAC: u16 = 6;
    pub(crate) const RESOLUTION: u16 = 9;
    const FILTER: u16 = 11;
    pub(crate) const OFFSET: u16 = 14;

    /// An interface with nanosecond timestamps and no options.
    #[must_use]
    pub fn new(link_type: u16, snaplen: u32) -> Self {
        let mut options = OptionList::default();
        options.push(Self::RESOLUTION, &[9]);
        Self {
            link_type,
            snaplen,
            options,
        }
    }

    /// The same interface with another name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        let mut options = OptionList::default();
        options.push(Self::NAME, name.as_bytes());
        for option in self.options.options() {
            if option.code != Self::NAME {
                options.push(option.code, option.value);
            }
        }
        Self { options, ..self }
    }

    /// The same interface with a hardware address.
    #[must_use]
    pub fn with_mac(mut self, address: [u8; 6]) -> Self {
        self.options.push(Self::MAC, &address);
        self
    }

    /// The same interface with a description.
    #[must_use]
    pub fn with_description(mut self, description: &str) -> Self {
        self.options.push(Self::DESCRIPTION, description.as_bytes());
        self
    }

    /// The same interface with a comment.
    #[must_use]
    pub fn with_comment(mut self, comment: &str) -> Self {
        self.options.push(Self::COMMENT, comment.as_bytes());
        self
    }

    /// `if_name`.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        text(&self.options, Self::NAME)
    }

    /// `if_description`.
    #[must_use]
    pub fn description(&self) -> Option<String> {
        text(&self.options, Self::DESCRIPTION)
    }

    /// The first comment (`opt_comment`).
    #[must_use]
    pub fn comment(&self) -> Option<String> {
        text(&self.options, Self::COMMENT)
    }

    /// The filter expression (`if_filter` of kind 0).
    #[must_use]
    pub fn filter(&self) -> Option<String> {
        let filter = self.options.options().get(Self::FILTER)?;
        let expression = filter.value.strip_prefix(&[0])?;
        Some(String::from_utf8_lossy(expression).into_owned())
    }
}

/// The counters of an interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// The number of the interface.
    pub interface: u32,
    /// When they were counted, nanoseconds since 1970-01-01 UTC.
    pub timestamp: u64,
    /// The options; times in them are in nanoseconds.
    pub options: OptionList,
}

impl Statistics {
    pub(crate) const START: u16 = 2;
    pub(crate) const END: u16 = 3;

    /// Packets seen on the interface (`isb_ifrecv`).
    #[must_use]
    pub fn received(&self) -> Option<u64> {
        self.counter(4)
    }

    /// Packets that the interface dropped (`isb_ifdrop`).
    #[must_use]
    pub fn dropped(&self) -> Option<u64> {
        self.counter(5)
    }

    /// Packets that the filter accepted (`isb_filteraccept`).
    #[must_use]
    pub fn accepted(&self) -> Option<u64> {
        self.counter(6)
    }

    /// Packets that the system dropped (`isb_osdrop`).
    #[must_use]
    pub fn system_dropped(&self) -> Option<u64> {
        self.counter(7)
    }

    /// Packets that were delivered (`isb_usrdeliv`).
    #[must_use]
    pub fn delivered(&self) -> Option<u64> {
        self.counter(8)
    }

    /// The ledger of the interface as text, if this project has written the file.
    #[must_use]
    pub fn comment(&self) -> Option<String> {
        text(&self.options, 1)
    }

    fn counter(&self, code: u16) -> Option<u64> {
        self.options.options().get(code)?.u64()
    }
}

/// An address and its names, of a Name Resolution Block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressNames {
    /// The address.
    pub address: IpAddr,
    /// Its names, at least one.
    pub names: Vec<String>,
}

fn text(options: &OptionList, code: u16) -> Option<String> {
    let option = options.options().get(code)?;
    Some(option.text().into_owned())
}
