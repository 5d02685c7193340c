//! The records of a classic pcap file (draft-ietf-opsawg-pcap), in either byte order, with microseconds or
//! nanoseconds.

use super::{Found, LARGEST, PacketHead, Problem};
use crate::{
    options::ByteOrder,
    packet::{Interface, Item},
};

pub(super) const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// With eight additional bytes in each record (`KUZNETZOV_TCPDUMP_MAGIC` of libpcap).
const MODIFIED: u32 = 0xa1b2_cd34;

#[derive(Debug, Clone, Copy)]
pub(super) struct Pcap {
    order: ByteOrder,
    nanoseconds_per_unit: u64,
    record_header: usize,
}

impl Pcap {
    /// Parses the file's header.
    pub(super) fn new(header: &[u8]) -> Result<(Self, Found), Problem> {
        const UNKNOWN: Problem = "it is neither a pcap nor a pcapng file";
        let (order, magic) = [ByteOrder::Little, ByteOrder::Big]
            .into_iter()
            .filter_map(|order| Some((order, order.u32_at(header, 0)?)))
            .find(|(_, magic)| [MICROSECONDS, NANOSECONDS, MODIFIED].contains(magic))
            .ok_or(UNKNOWN)?;
        let number = |at| order.u32_at(header, at).ok_or(UNKNOWN);
        // The upper bits give the length of the frame check sequences.
        let interface = Interface::new((number(20)? & 0xffff) as u16, number(16)?);
        let file = Self {
            order,
            nanoseconds_per_unit: if magic == NANOSECONDS { 1 } else { 1000 },
            record_header: RECORD_HEADER + if magic == MODIFIED { 8 } else { 0 },
        };
        Ok((file, Found::Item(Item::Interface(interface))))
    }

    /// The length of the record that begins with these bytes; `None` if there are too few bytes.
    pub(super) fn record_length(&self, bytes: &[u8]) -> Result<Option<usize>, Problem> {
        match self.order.u32_at(bytes, 8) {
            None => Ok(None),
            Some(captured) if captured as usize > LARGEST => Err("a packet of more than 16 MiB"),
            Some(captured) => Ok(Some(self.record_header + captured as usize)),
        }
    }

    /// Parses a whole record.
    pub(super) fn record(&self, record: &[u8]) -> Result<Found, Problem> {
        const SHORT: Problem = "a record that is too short";
        let number = |at| self.order.u32_at(record, at).ok_or(SHORT);
        let (seconds, fraction) = (u64::from(number(0)?), u64::from(number(4)?));
        Ok(Found::Packet(PacketHead {
            timestamp: seconds * 1_000_000_000 + fraction * self.nanoseconds_per_unit,
            interface: 0,
            original_length: number(12)?,
            data: self.record_header..record.len(),
            options: usize::MAX,
            flags: None,
        }))
    }
}
