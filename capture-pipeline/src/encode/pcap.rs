//! Classic pcap with nanoseconds (draft-ietf-opsawg-pcap), in the byte order of the machine.

use pcap_file::{DataLink, Endianness, PcapResult, TsResolution, pcap::PcapHeader};

use super::{Encoding, words};
use crate::{copying::Copying, packet::Packet};
use capture_types::{Format, LinkType};

const RECORD_HEADER: usize = 16;

/// The file's header. `snaplen` is in bytes.
pub(crate) fn file_header(link_type: LinkType, snaplen: u32) -> PcapResult<Vec<u8>> {
    let header = PcapHeader {
        snaplen,
        datalink: DataLink::from(u32::from(link_type.number())),
        ts_resolution: TsResolution::NanoSecond,
        endianness: Endianness::native(),
        ..PcapHeader::default()
    };
    let mut bytes = Vec::new();
    header.write_to(&mut bytes)?;
    Ok(bytes)
}

/// Records. The seconds have 32 bits, which end in the year 2106.
#[derive(Debug, Clone, Copy)]
pub struct Pcap;

impl Encoding for Pcap {
    const FORMAT: Format = Format::Pcap;

    #[inline(always)]
    fn packet_length(captured: usize) -> usize {
        RECORD_HEADER + captured
    }

    #[inline(always)]
    fn packet(_: u32, packet: &Packet<'_>, file: &mut [u8], copying: Copying) {
        const SECOND: u64 = 1_000_000_000;
        let Some((header, data)) = file.split_first_chunk_mut::<RECORD_HEADER>() else {
            return;
        };
        *header = words([
            u32::try_from(packet.timestamp / SECOND).unwrap_or(u32::MAX),
            (packet.timestamp % SECOND) as u32,
            packet.bytes.len() as u32,
            packet.original_length,
        ]);
        copying.copy(data, packet.bytes);
    }
}
