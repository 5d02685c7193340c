//! pcapng (draft-ietf-opsawg-pcapng), in the byte order of the machine.

use std::{borrow::Cow, net::IpAddr};

use pcap_file::{
    DataLink, Endianness, PcapResult,
    pcapng::{
        PcapNgWriter,
        blocks::{
            ENHANCED_PACKET_BLOCK,
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
            interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption},
            name_resolution::{Ipv4Record, Ipv6Record, NameResolutionBlock, Record},
            section_header::{SectionHeaderBlock, SectionHeaderOption},
        },
    },
};

use super::{Encoding, words};
use crate::{
    copying::Copying,
    packet::{InterfaceDescription, Packet},
};
use capture_types::PartialLedger;
use capture_types::{CaptureName, Direction, Format};

/// Type, length, interface, timestamp (2), captured and original length.
const PACKET_HEAD: usize = 7 * 4;
/// `epb_flags`, end of options, length.
const PACKET_TAIL: usize = 4 * 4;
/// `epb_flags` is option 2 with 4 bytes.
const EPB_FLAGS: u32 = option(2, 4);
const END_OF_OPTIONS: u32 = option(0, 0);

/// An option's code and length as 32 bits in the file's byte order.
const fn option(code: u16, length: u16) -> u32 {
    let (code, length) = (code.to_ne_bytes(), length.to_ne_bytes());
    u32::from_ne_bytes([code[0], code[1], length[0], length[1]])
}

/// Enhanced Packet Blocks with the packet's direction and reception type.
#[derive(Debug, Clone, Copy)]
pub struct Pcapng;

impl Encoding for Pcapng {
    const FORMAT: Format = Format::Pcapng;

    #[inline(always)]
    fn packet_length(captured: usize) -> usize {
        PACKET_HEAD + ((captured + 3) & !3) + PACKET_TAIL
    }

    #[inline(always)]
    fn packet(number: u32, packet: &Packet<'_>, file: &mut [u8], copying: Copying) {
        let captured = packet.bytes.len();
        let length = file.len() as u32;
        let Some((head, rest)) = file.split_first_chunk_mut::<PACKET_HEAD>() else {
            return;
        };
        let Some((data, tail)) = rest.split_last_chunk_mut::<PACKET_TAIL>() else {
            return;
        };
        *head = words([
            ENHANCED_PACKET_BLOCK,
            length,
            number,
            (packet.timestamp >> 32) as u32,
            packet.timestamp as u32,
            captured as u32,
            packet.original_length,
        ]);
        // The padding is in the last word, whose other bytes are overwritten by the packet.
        if let Some(last) = data.last_chunk_mut() {
            *last = [0; 4];
        }
        copying.copy(&mut data[..captured], packet.bytes);
        *tail = words([EPB_FLAGS, flags(packet), END_OF_OPTIONS, length]);
    }
}

/// Bits 0 and 1: 01 inbound, 10 outbound. Bits 2 to 4, of received packets only: 001 unicast, 010
/// multicast, 011 broadcast, 100 promiscuous, for `PACKET_HOST`, `PACKET_BROADCAST`,
/// `PACKET_MULTICAST` and `PACKET_OTHERHOST` of `linux/if_packet.h`.
#[inline]
fn flags(packet: &Packet<'_>) -> u32 {
    const RECEPTION: [u32; 4] = [0b001, 0b011, 0b010, 0b100];
    match packet.direction {
        Direction::In => {
            let reception = RECEPTION.get(usize::from(packet.packet_type)).copied();
            0b01 | reception.unwrap_or(0) << 2
        }
        Direction::Out => 0b10,
    }
}

/// Writes the blocks that occur once in a file: the section header, the interfaces, and their
/// statistics at the end.
pub(crate) struct Blocks {
    writer: PcapNgWriter<Vec<u8>>,
    section: SectionHeaderBlock<'static>,
    snaplen: u32,
    filter: Option<Vec<u8>>,
}

/// Upper bound of an Interface Statistics Block in bytes: seven numbers, and a comment with twelve
/// numbers of at most 20 digits.
pub(crate) const LONGEST_STATISTICS: usize = 640;

impl Blocks {
    pub(crate) fn new(snaplen: u32, filter: Option<&str>) -> PcapResult<Self> {
        let section = SectionHeaderBlock {
            endianness: Endianness::native(),
            options: Vec::new(),
            ..SectionHeaderBlock::default()
        };
        Ok(Self {
            writer: PcapNgWriter::with_section_header(Vec::new(), section.clone())?,
            section,
            snaplen,
            // The first byte gives the type of filter: 0 is an expression for libpcap.
            filter: filter.map(|text| [&[0], fitting(text).as_bytes()].concat()),
        })
    }

    /// The section header of a new file, which has no interfaces yet.
    pub(crate) fn section(&mut self, capture: &CaptureName, sequence: u64) -> PcapResult<Vec<u8>> {
        let mut section = self.section.clone();
        section.options = vec![
            SectionHeaderOption::Comment(format!("capture {capture}, file {sequence}").into()),
            SectionHeaderOption::Hardware(std::env::consts::ARCH.into()),
            SectionHeaderOption::OS(operating_system().into()),
            SectionHeaderOption::UserApplication(
                concat!("captured ", env!("CARGO_PKG_VERSION")).into(),
            ),
        ];
        self.writer.get_mut().clear();
        self.writer.write_pcapng_block(section)?;
        Ok(self.take())
    }

    /// The next interface of the file.
    pub(crate) fn interface(&mut self, interface: &InterfaceDescription) -> PcapResult<Vec<u8>> {
        use InterfaceDescriptionOption as Opt;
        let mut options = vec![Opt::IfName(Cow::Borrowed(fitting(&interface.name)))];
        if !interface.description.is_empty() {
            options.push(Opt::IfDescription(Cow::Borrowed(fitting(
                &interface.description,
            ))));
        }
        if !interface.comment.is_empty() {
            options.push(Opt::Comment(Cow::Borrowed(fitting(&interface.comment))));
        }
        if let Some(mac) = &interface.mac {
            options.push(Opt::IfMacAddr(Cow::Borrowed(mac)));
        }
        // 10^-9 seconds.
        options.push(Opt::IfTsResol(9));
        if let Some(filter) = &self.filter {
            options.push(Opt::IfFilter(Cow::Borrowed(filter)));
        }
        let block = InterfaceDescriptionBlock {
            linktype: DataLink::from(u32::from(interface.link_type.number())),
            snaplen: self.snaplen,
            options,
        };
        self.writer.write_pcapng_block(block)?;
        Ok(self.take())
    }

    /// Names of addresses.
    pub(crate) fn names<'a>(
        &mut self,
        names: impl Iterator<Item = (IpAddr, &'a str)>,
    ) -> PcapResult<Vec<u8>> {
        let record = |(address, name)| {
            let names = vec![Cow::Borrowed(name)];
            match address {
                IpAddr::V4(address) => Record::Ipv4(Ipv4Record {
                    ip_addr: Cow::Owned(address.octets().to_vec()),
                    names,
                }),
                IpAddr::V6(address) => Record::Ipv6(Ipv6Record {
                    ip_addr: Cow::Owned(address.octets().to_vec()),
                    names,
                }),
            }
        };
        let block = NameResolutionBlock {
            records: names.map(record).collect(),
            options: Vec::new(),
        };
        self.writer.write_pcapng_block(block)?;
        Ok(self.take())
    }

    /// The counters of interface number `number` of the file, from the start of the capture to
    /// `end`.
    pub(crate) fn statistics(
        &mut self,
        number: u32,
        ledger: &PartialLedger,
        start: u64,
        end: u64,
    ) -> PcapResult<Vec<u8>> {
        use InterfaceStatisticsOption as Opt;
        let mut options = vec![
            Opt::Comment(ledger.to_string().into()),
            Opt::IsbStartTime(halves(start)),
            Opt::IsbEndTime(halves(end)),
        ];
        let dropped = ledger.ring_full.zip(ledger.unreadable);
        options.extend(
            [
                ledger.seen.map(Opt::IsbIfRecv),
                dropped.map(|(full, unreadable)| Opt::IsbIfDrop(full + unreadable)),
                ledger.matched.map(Opt::IsbFilterAccept),
                ledger.discarded.total().map(Opt::IsbOsDrop),
                ledger.written.map(Opt::IsbUsrDeliv),
            ]
            .into_iter()
            .flatten(),
        );
        let block = InterfaceStatisticsBlock {
            interface_id: number,
            timestamp: halves(end),
            options,
        };
        self.writer.write_pcapng_block(block)?;
        Ok(self.take())
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.get_mut())
    }
}

/// A timestamp is two words in the file, the upper one first in either byte order; `pcap-file`
/// writes statistics' timestamps as one word of 64 bits.
const fn halves(timestamp: u64) -> u64 {
    if cfg!(target_endian = "little") {
        timestamp.rotate_left(32)
    } else {
        timestamp
    }
}

/// As much of a text as fits into an option: its length has 16 bits.
fn fitting(text: &str) -> &str {
    const MOST: usize = 65_000;
    &text[..text.floor_char_boundary(MOST)]
}

fn operating_system() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", release.trim()).trim_end().to_owned()
}
