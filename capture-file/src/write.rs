//! Writes packets of many interfaces as one pcapng or pcap file, compressed as its name says.

use std::{
    io::{self, BufWriter, Write},
    path::Path,
    time::Duration,
};

use flate2::write::GzEncoder;
use pcap_file::{
    DataLink, Endianness, PcapError, TsResolution,
    pcap::{PcapHeader, PcapPacket, PcapWriter},
    pcapng::{
        PcapNgWriter,
        blocks::{
            enhanced_packet::EnhancedPacketBlock,
            interface_description::InterfaceDescriptionBlock,
            interface_statistics::InterfaceStatisticsBlock,
            section_header::{SectionHeaderBlock, SectionHeaderOption},
        },
    },
};
use thiserror::Error;

use super::Packet;

/// Why a capture file cannot be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// Writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What is to be written does not fit the format.
    #[error("{0}")]
    Format(PcapError),
    /// A pcap file has one link type.
    #[error(
        "the packets have different link types ({first} and {other}), which a .pcap file cannot hold: \
         give the output a name that ends in .pcapng"
    )]
    LinkTypes {
        /// The first interface's.
        first: u32,
        /// Another one's.
        other: u32,
    },
}

impl From<PcapError> for WriteError {
    fn from(error: PcapError) -> Self {
        match error {
            PcapError::IoError(error) => Self::Io(error),
            other => Self::Format(other),
        }
    }
}

/// A format and a compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The format.
    pub container: Container,
    compress: Compress,
}

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// pcapng.
    Pcapng,
    /// Classic pcap with nanoseconds.
    Pcap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compress {
    None,
    Gzip,
    Zstd,
}

impl Kind {
    /// Plain pcapng.
    pub const PCAPNG: Self = Self {
        container: Container::Pcapng,
        compress: Compress::None,
    };

    /// What a name asks for: `.pcap` for classic pcap, `.gz` and `.zst` for compression.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let name = path.to_string_lossy();
        let (name, compress) = if let Some(name) = name.strip_suffix(".gz") {
            (name, Compress::Gzip)
        } else if let Some(name) = name.strip_suffix(".zst") {
            (name, Compress::Zstd)
        } else {
            (name.as_ref(), Compress::None)
        };
        let container = if Path::new(name).extension().is_some_and(|end| end == "pcap") {
            Container::Pcap
        } else {
            Container::Pcapng
        };
        Self {
            container,
            compress,
        }
    }
}

/// Writes a capture file.
pub struct Writer<W: Write> {
    format: Format<Sink<W>>,
}

enum Format<W: Write> {
    Pcapng(Box<PcapNgWriter<W>>),
    /// A pcap file's head has the link type, which the first interface tells.
    PcapBegun(W),
    Pcap(PcapWriter<W>, DataLink),
    /// Between two of the others, and after an error.
    Spent,
}

/// libpcap's snaplen for whole packets (`MAXIMUM_SNAPLEN`).
const WHOLE_PACKETS: u32 = 262_144;

impl<W: Write> Writer<W> {
    /// Begins a file. `comment` says in a pcapng file where it comes from.
    ///
    /// # Errors
    /// Writing failed.
    pub fn new(output: W, kind: Kind, comment: &str) -> Result<Self, WriteError> {
        let sink = Sink::new(output, kind.compress)?;
        let format = match kind.container {
            Container::Pcap => Format::PcapBegun(sink),
            Container::Pcapng => {
                let section = SectionHeaderBlock {
                    endianness: Endianness::native(),
                    options: vec![
                        SectionHeaderOption::Comment(comment.to_owned().into()),
                        SectionHeaderOption::UserApplication(
                            concat!("capturectl ", env!("CARGO_PKG_VERSION")).into(),
                        ),
                    ],
                    ..SectionHeaderBlock::default()
                };
                Format::Pcapng(Box::new(PcapNgWriter::with_section_header(sink, section)?))
            }
        };
        Ok(Self { format })
    }

    /// Writes the next interface; interfaces are counted from 0.
    ///
    /// # Errors
    /// Writing failed, or a pcap file would have two link types.
    pub fn interface(
        &mut self,
        interface: InterfaceDescriptionBlock<'static>,
    ) -> Result<(), WriteError> {
        match std::mem::replace(&mut self.format, Format::Spent) {
            Format::Pcapng(mut writer) => {
                writer.write_pcapng_block(interface)?;
                self.format = Format::Pcapng(writer);
            }
            Format::PcapBegun(sink) => {
                let header = PcapHeader {
                    snaplen: WHOLE_PACKETS,
                    datalink: interface.linktype,
                    ts_resolution: TsResolution::NanoSecond,
                    endianness: Endianness::native(),
                    ..PcapHeader::default()
                };
                let writer = PcapWriter::with_header(sink, header)?;
                self.format = Format::Pcap(writer, interface.linktype);
            }
            Format::Pcap(writer, link_type) => {
                self.format = Format::Pcap(writer, link_type);
                if link_type != interface.linktype {
                    return Err(WriteError::LinkTypes {
                        first: link_type.into(),
                        other: interface.linktype.into(),
                    });
                }
            }
            Format::Spent => {}
        }
        Ok(())
    }

    /// Writes a packet of an interface that was written before.
    ///
    /// # Errors
    /// Writing failed.
    pub fn packet(&mut self, packet: Packet) -> Result<(), WriteError> {
        let timestamp = Duration::from_nanos(packet.timestamp);
        match &mut self.format {
            Format::Pcapng(writer) => {
                writer.write_pcapng_block(EnhancedPacketBlock {
                    interface_id: packet.interface,
                    timestamp,
                    original_len: packet.original_length,
                    data: packet.data.into(),
                    options: packet.options,
                })?;
            }
            Format::Pcap(writer, _) => {
                let packet = PcapPacket::new_owned(timestamp, packet.original_length, packet.data);
                writer.write_packet(&packet)?;
            }
            Format::PcapBegun(_) | Format::Spent => {
                return Err(PcapError::InvalidInterfaceId(packet.interface).into());
            }
        }
        Ok(())
    }

    /// Writes an interface's counters, where the format has room for them.
    ///
    /// # Errors
    /// Writing failed.
    pub fn statistics(
        &mut self,
        statistics: InterfaceStatisticsBlock<'static>,
    ) -> Result<(), WriteError> {
        if let Format::Pcapng(writer) = &mut self.format {
            writer.write_pcapng_block(statistics)?;
        }
        Ok(())
    }

    /// Sends on what stands in buffers.
    ///
    /// # Errors
    /// Writing failed.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        match &mut self.format {
            Format::Pcapng(writer) => writer.get_mut().flush()?,
            // `PcapWriter` gives no access to what it writes to: live output is pcapng.
            Format::PcapBegun(_) | Format::Pcap(..) | Format::Spent => {}
        }
        Ok(())
    }

    /// Writes what is still to be written.
    ///
    /// # Errors
    /// Writing failed.
    pub fn finish(mut self) -> Result<W, WriteError> {
        if matches!(self.format, Format::PcapBegun(_)) {
            // No interface, no packet: an empty file that every reader takes.
            self.interface(InterfaceDescriptionBlock {
                linktype: DataLink::ETHERNET,
                snaplen: WHOLE_PACKETS,
                options: Vec::new(),
            })?;
        }
        let sink = match self.format {
            Format::Pcapng(writer) => writer.into_inner(),
            Format::Pcap(writer, _) => writer.into_writer(),
            Format::PcapBegun(sink) => sink,
            Format::Spent => {
                return Err(io::Error::other("the file could not be begun").into());
            }
        };
        Ok(sink.finish()?)
    }
}

enum Sink<W: Write> {
    Plain(BufWriter<W>),
    Gzip(GzEncoder<BufWriter<W>>),
    Zstd(zstd::Encoder<'static, BufWriter<W>>),
}

impl<W: Write> Sink<W> {
    fn new(output: W, compress: Compress) -> io::Result<Self> {
        let output = BufWriter::with_capacity(256 << 10, output);
        Ok(match compress {
            Compress::None => Self::Plain(output),
            Compress::Gzip => Self::Gzip(GzEncoder::new(output, flate2::Compression::fast())),
            Compress::Zstd => Self::Zstd(zstd::Encoder::new(output, 1)?),
        })
    }

    fn finish(self) -> io::Result<W> {
        let output = match self {
            Self::Plain(output) => output,
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Zstd(encoder) => encoder.finish()?,
        };
        output.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(output) => output.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(output) => output.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}
