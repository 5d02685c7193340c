//! Readers of capture files that share no code with the recorder's writers.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use pcap_file::{
    TsResolution,
    pcap::PcapReader,
    pcapng::{
        Block, PcapNgReader,
        blocks::{
            enhanced_packet::EnhancedPacketOption,
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
            interface_statistics::InterfaceStatisticsOption,
        },
    },
};

/// The direction of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Received.
    In,
    /// Sent.
    Out,
}

/// A packet of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// UTC nanoseconds since 1970.
    pub timestamp: u64,
    /// The interface's number in the file; 0 if the format has none.
    pub interface: u32,
    /// Direction, where the format has one.
    pub direction: Option<Direction>,
    /// Bytes on the wire.
    pub original_length: u32,
    /// The captured bytes.
    pub bytes: Vec<u8>,
}

/// An interface that a pcapng file describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Its comment.
    pub comment: Option<String>,
    /// Its link type's number.
    pub link_type: u32,
    /// Maximum bytes kept of a packet.
    pub snaplen: u32,
}

/// Packet counts of an interface in a pcapng file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// The interface's number in the file.
    pub interface: u32,
    /// `isb_ifrecv`.
    pub received: Option<u64>,
    /// `isb_ifdrop`.
    pub dropped: Option<u64>,
}

/// The contents of a file.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// Its interfaces, by number.
    pub interfaces: Vec<Interface>,
    /// Its packets, in order.
    pub packets: Vec<Packet>,
    /// Its interface statistics, in order.
    pub statistics: Vec<Statistics>,
}

/// Reads a whole file of any format and compression; an error if any byte is invalid.
pub fn read(path: &Path) -> Result<Contents> {
    read_file(path).with_context(|| format!("reading {}", path.display()))
}

fn read_file(path: &Path) -> Result<Contents> {
    let mut bytes = Vec::new();
    plain(path)?.read_to_end(&mut bytes)?;
    let mut contents = Contents::default();
    parse(&bytes, &mut contents)?;
    Ok(contents)
}

/// Reads a file that is being written or whose writer was killed, up to the first invalid byte.
pub fn read_unfinished(path: &Path) -> Result<Contents> {
    let mut bytes = Vec::new();
    let mut contents = Contents::default();
    // Data decompressed before the end stays in the vector; so do packets in the contents.
    let _cut_short = plain(path)?.read_to_end(&mut bytes);
    let _cut_short = parse(&bytes, &mut contents);
    Ok(contents)
}

fn parse(bytes: &[u8], contents: &mut Contents) -> Result<()> {
    match bytes.first_chunk::<4>() {
        Some([0x0a, 0x0d, 0x0d, 0x0a]) => read_pcapng(bytes, contents),
        Some(_) => read_pcap(bytes, contents),
        None => bail!("a file of {} bytes is no capture", bytes.len()),
    }
}

/// The file's bytes, decompressed.
fn plain(path: &Path) -> Result<Box<dyn Read>> {
    let mut magic = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut magic)?;
    let file = BufReader::new(File::open(path)?);
    Ok(match magic[..] {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::new(file)?),
        _ => Box::new(file),
    })
}

fn read_pcap(bytes: &[u8], contents: &mut Contents) -> Result<()> {
    let mut reader = PcapReader::new(bytes)?;
    let header = reader.header();
    let fraction = match header.ts_resolution {
        TsResolution::NanoSecond => 1,
        TsResolution::MicroSecond => 1000,
    };
    contents.interfaces.push(Interface {
        name: None,
        description: None,
        comment: None,
        link_type: u32::from(header.datalink),
        snaplen: header.snaplen,
    });
    while let Some(packet) = reader.next_raw_packet() {
        let packet = packet.with_context(|| format!("packet {}", contents.packets.len()))?;
        contents.packets.push(Packet {
            timestamp: u64::from(packet.ts_sec) * 1_000_000_000
                + u64::from(packet.ts_frac) * fraction,
            interface: 0,
            direction: None,
            original_length: packet.orig_len,
            bytes: packet.data.into_owned(),
        });
    }
    Ok(())
}

fn read_pcapng(bytes: &[u8], contents: &mut Contents) -> Result<()> {
    let mut reader = PcapNgReader::new(bytes)?;
    while let Some(block) = reader.next_block() {
        match block.with_context(|| format!("block after packet {}", contents.packets.len()))? {
            Block::InterfaceDescription(block) => contents.interfaces.push(interface(&block)?),
            Block::EnhancedPacket(block) => {
                let direction = block.options.iter().find_map(|option| match option {
                    EnhancedPacketOption::Flags(flags) => match flags & 3 {
                        1 => Some(Direction::In),
                        2 => Some(Direction::Out),
                        _ => None,
                    },
                    _ => None,
                });
                ensure!(
                    contents.interfaces.len() > block.interface_id as usize,
                    "packet {} is of interface {}, which the file has not described",
                    contents.packets.len(),
                    block.interface_id
                );
                contents.packets.push(Packet {
                    timestamp: u64::try_from(block.timestamp.as_nanos())?,
                    interface: block.interface_id,
                    direction,
                    original_length: block.original_len,
                    bytes: block.data.into_owned(),
                });
            }
            Block::InterfaceStatistics(block) => {
                let mut statistics = Statistics {
                    interface: block.interface_id,
                    received: None,
                    dropped: None,
                };
                for option in &block.options {
                    match option {
                        InterfaceStatisticsOption::IsbIfRecv(count) => {
                            statistics.received = Some(*count);
                        }
                        InterfaceStatisticsOption::IsbIfDrop(count) => {
                            statistics.dropped = Some(*count);
                        }
                        _ => {}
                    }
                }
                contents.statistics.push(statistics);
            }
            _ => {}
        }
    }
    Ok(())
}

fn interface(block: &InterfaceDescriptionBlock<'_>) -> Result<Interface> {
    let mut interface = Interface {
        name: None,
        description: None,
        comment: None,
        link_type: u32::from(block.linktype),
        snaplen: block.snaplen,
    };
    let mut resolution = None;
    for option in &block.options {
        match option {
            InterfaceDescriptionOption::IfName(name) => interface.name = Some(name.to_string()),
            InterfaceDescriptionOption::IfDescription(text) => {
                interface.description = Some(text.to_string());
            }
            InterfaceDescriptionOption::Comment(text) => {
                interface.comment = Some(text.to_string());
            }
            InterfaceDescriptionOption::IfTsResol(exponent) => resolution = Some(*exponent),
            _ => {}
        }
    }
    // The reader below treats timestamps as nanoseconds, whatever the file says.
    ensure!(
        resolution == Some(9),
        "if_tsresol is {resolution:?} and not 9"
    );
    Ok(interface)
}

/// Reads a file with capinfos, tshark and tcpdump, which must all read the whole file without an error.
/// Returns the number of packets that tshark read.
pub fn read_with_peers(path: &Path) -> Result<usize> {
    let path = path.to_str().context("a path that is not UTF-8")?;
    complain_free("capinfos", &["-M", "-c", path])?;
    let lines = complain_free(
        "tshark",
        &["-n", "-r", path, "-T", "fields", "-e", "frame.number"],
    )?;
    // tcpdump cannot read compressed files.
    if !path.ends_with(".gz") && !path.ends_with(".zst") {
        complain_free("tcpdump", &["-n", "-r", path])?;
    }
    Ok(lines.lines().count())
}

fn complain_free(program: &str, arguments: &[&str]) -> Result<String> {
    let output = std::process::Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("running {program}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let complaint = stderr.lines().find(|line| {
        // Messages that they print for every file, and for every run as root.
        !(line.is_empty()
            || line.starts_with("reading from file")
            || line.starts_with("Running as user \"root\""))
    });
    ensure!(
        output.status.success() && complaint.is_none(),
        "{program} {}: {}: {stderr}",
        arguments.join(" "),
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
