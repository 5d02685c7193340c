//! The cost of encoding a packet: our own code against `pcap-file`, both into reused memory. `cargo
//! bench -p capture-pipeline --bench encode`

use std::{borrow::Cow, hint::black_box, time::Duration, time::Instant};

use anyhow::Result;
use capture_pipeline::{
    Copying, encode,
    packet::{InterfaceId, Packet},
};
use capture_types::{Direction, Format};
use pcap_file::{
    DataLink, Endianness, TsResolution,
    pcap::{PcapHeader, PcapPacket, PcapWriter},
    pcapng::{
        PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::InterfaceDescriptionBlock,
        },
    },
};

/// As much as a block of the recorder: it does not fit into the nearest caches.
const MEMORY: usize = 4 << 20;
const TIMESTAMP: u64 = 1_767_225_600_123_456_789;

fn main() -> Result<()> {
    println!("ns per packet          own    past cache   pcap-file");
    for format in [Format::Pcapng, Format::Pcap] {
        for length in [64, 512, 1514] {
            let bytes = vec![0x5a; length];
            let own_cached = own(format, &bytes, Copying::Cached)?;
            let own_streamed = own(format, &bytes, Copying::Streamed)?;
            let library = match format {
                Format::Pcapng => library_pcapng(&bytes)?,
                Format::Pcap => library_pcap(&bytes)?,
                Format::Text => continue,
            };
            println!(
                "{format:?} {length:>5} bytes {own_cached:>10.1} {own_streamed:>10.1} {library:>10.1}"
            );
        }
    }
    Ok(())
}

/// The best of several runs, in nanoseconds for each packet.
fn measure(packets: usize, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    const RUNS: u32 = 60;
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let begun = Instant::now();
        run()?;
        best = best.min(begun.elapsed());
    }
    Ok(best.as_nanos() as f64 / packets as f64)
}

fn own(format: Format, bytes: &[u8], copying: Copying) -> Result<f64> {
    let packets = MEMORY / encode::packet_length(format, bytes.len());
    let mut memory = vec![0; MEMORY];
    measure(packets, || {
        let pieces = memory.chunks_exact_mut(encode::packet_length(format, bytes.len()));
        for (number, piece) in (0..packets).zip(pieces) {
            let packet = Packet {
                timestamp: TIMESTAMP + number as u64,
                interface: InterfaceId(0),
                direction: Direction::In,
                packet_type: 0,
                original_length: bytes.len() as u32,
                bytes: black_box(bytes),
            };
            encode::packet(format, 0, &packet, piece, copying);
        }
        Copying::settle();
        black_box(&memory);
        Ok(())
    })
}

fn library_pcapng(bytes: &[u8]) -> Result<f64> {
    let packets = MEMORY / encode::packet_length(Format::Pcapng, bytes.len());
    let memory = Vec::with_capacity(MEMORY + 4096);
    let mut writer = PcapNgWriter::with_endianness(memory, Endianness::native())?;
    let interface = InterfaceDescriptionBlock::new(DataLink::ETHERNET, 0);
    writer.write_pcapng_block(interface)?;
    measure(packets, || {
        writer.get_mut().clear();
        for number in 0..packets {
            let packet = EnhancedPacketBlock {
                interface_id: 0,
                timestamp: Duration::from_nanos(TIMESTAMP + number as u64),
                original_len: bytes.len() as u32,
                data: Cow::Borrowed(black_box(bytes)),
                options: vec![EnhancedPacketOption::Flags(0b101)],
            };
            writer.write_pcapng_block(packet)?;
        }
        black_box(writer.get_ref());
        Ok(())
    })
}

fn library_pcap(bytes: &[u8]) -> Result<f64> {
    let packets = MEMORY / encode::packet_length(Format::Pcap, bytes.len());
    let header = PcapHeader {
        ts_resolution: TsResolution::NanoSecond,
        endianness: Endianness::native(),
        ..PcapHeader::default()
    };
    measure(packets, || {
        let memory = Vec::with_capacity(MEMORY + 4096);
        let mut writer = PcapWriter::with_header(memory, header)?;
        for number in 0..packets {
            let packet = PcapPacket {
                timestamp: Duration::from_nanos(TIMESTAMP + number as u64),
                orig_len: bytes.len() as u32,
                data: Cow::Borrowed(black_box(bytes)),
            };
            writer.write_packet(&packet)?;
        }
        black_box(writer.into_writer());
        Ok(())
    })
}
