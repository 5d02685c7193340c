//! Writes packets of many interfaces as one pcapng or pcap file, compressed according to its kind, in the
//! byte order of this machine and with nanosecond timestamps.

use std::io::{self, BufWriter, Write};

use capture_types::Format;
use flate2::write::GzEncoder;

use crate::{
    name::{Codec, Kind},
    names::Records,
    options::OptionList,
    packet::{AddressNames, Interface, PacketBuf, Statistics},
};

/// Why a capture file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The data does not fit the format.
    #[error("{0}")]
    Format(&'static str),
    /// A pcap file has one link type.
    #[error(
        "the packets have different link types ({first} and {other}), which a .pcap file cannot hold: \
         give the output a name that ends in .pcapng"
    )]
    LinkTypes {
        /// The link type of the first interface.
        first: u16,
        /// A different link type.
        other: u16,
    },
}

/// Writes a capture file.
pub struct Writer<W: Write> {
    sink: Sink<W>,
    state: State,
    /// The block or record under construction.
    scratch: Vec<u8>,
}

/// The progress of the file.
#[derive(Debug, Clone, Copy)]
enum State {
    /// pcapng, with this many interfaces.
    Pcapng {
        interfaces: u32,
    },
    /// A pcap file's header contains the link type, which is that of the first interface.
    PcapBegun,
    Pcap {
        link_type: u16,
    },
}

/// libpcap's snaplen for whole packets (`MAXIMUM_SNAPLEN`).
const WHOLE_PACKETS: u32 = 262_144;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const NAMES: u32 = 4;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;

/// `opt_comment` and `shb_userappl`.
const COMMENT: u16 = 1;
const APPLICATION: u16 = 4;

impl<W: Write> Writer<W> {
    /// Begins a file. In a pcapng file `comment` describes its origin.
    ///
    /// # Errors
    /// Writing failed.
    pub fn new(output: W, kind: Kind, comment: &str) -> Result<Self, WriteError> {
        let mut writer = Self {
            sink: Sink::new(output, kind.codec)?,
            state: State::PcapBegun,
            scratch: Vec::new(),
        };
        if kind.format != Format::Pcap {
            writer.state = State::Pcapng { interfaces: 0 };
            let mut options = OptionList::default();
            options.push(COMMENT, comment.as_bytes());
            let program = concat!("capturectl ", env!("CARGO_PKG_VERSION"));
            options.push(APPLICATION, program.as_bytes());
            writer.block(SECTION, |body| {
                body.extend(0x1a2b_3c4d_u32.to_ne_bytes());
                // Version 1.0, length unknown.
                body.extend([1_u16, 0].map(u16::to_ne_bytes).as_flattened());
                body.extend([0xff; 8]);
                options.write(body);
            })?;
        }
        Ok(writer)
    }

    /// Writes the next interface; interfaces are numbered from 0.
    ///
    /// # Errors
    /// Writing failed, or a pcap file would have two link types.
    pub fn interface(&mut self, interface: &Interface) -> Result<(), WriteError> {
        match &mut self.state {
            State::Pcapng { interfaces } => {
                *interfaces += 1;
                self.block(INTERFACE, |body| {
                    body.extend(interface.link_type.to_ne_bytes());
                    body.extend([0; 2]);
                    body.extend(interface.snaplen.to_ne_bytes());
                    interface.options.write(body);
                })
            }
            State::PcapBegun => {
                self.state = State::Pcap {
                    link_type: interface.link_type,
                };
                self.words(&[
                    0xa1b2_3c4d,
                    // Version 2.4.
                    if cfg!(target_endian = "big") {
                        0x0002_0004
                    } else {
                        0x0004_0002
                    },
                    0,
                    0,
                    WHOLE_PACKETS,
                    u32::from(interface.link_type),
                ])
            }
            State::Pcap { link_type } if *link_type == interface.link_type => Ok(()),
            State::Pcap { link_type } => Err(WriteError::LinkTypes {
                first: *link_type,
                other: interface.link_type,
            }),
        }
    }

    /// Writes a packet of an interface that was written before.
    ///
    /// # Errors
    /// Writing failed, or there is no such interface.
    pub fn packet(&mut self, packet: &PacketBuf) -> Result<(), WriteError> {
        const NO_INTERFACE: WriteError =
            WriteError::Format("a packet of an interface that was not written before");
        let captured = u32::try_from(packet.data.len())
            .map_err(|_| WriteError::Format("a packet of more than 4 GiB"))?;
        match self.state {
            State::Pcapng { interfaces } if packet.interface < interfaces => {
                self.block(PACKET, |body| {
                    let words = [
                        packet.interface,
                        (packet.timestamp >> 32) as u32,
                        packet.timestamp as u32,
                        captured,
                        packet.original_length,
                    ];
                    body.extend(words.map(u32::to_ne_bytes).as_flattened());
                    body.extend(&packet.data);
                    body.resize(body.len().next_multiple_of(4), 0);
                    packet.all_options().write(body);
                })
            }
            State::Pcap { .. } => {
                const SECOND: u64 = 1_000_000_000;
                self.words(&[
                    u32::try_from(packet.timestamp / SECOND).unwrap_or(u32::MAX),
                    (packet.timestamp % SECOND) as u32,
                    captured,
                    packet.original_length,
                ])?;
                Ok(self.sink.write_all(&packet.data)?)
            }
            State::Pcapng { .. } | State::PcapBegun => Err(NO_INTERFACE),
        }
    }

    /// Writes names of addresses, if the format supports them.
    ///
    /// # Errors
    /// Writing failed.
    pub fn names(&mut self, names: &[AddressNames]) -> Result<(), WriteError> {
        if matches!(self.state, State::Pcapng { .. }) {
            for records in Records::of(names) {
                self.block(NAMES, |body| records.write(body))?;
            }
        }
        Ok(())
    }

    /// Writes an interface's counters, if the format supports them.
    ///
    /// # Errors
    /// Writing failed.
    pub fn statistics(&mut self, statistics: &Statistics) -> Result<(), WriteError> {
        match self.state {
            State::Pcapng { .. } => self.block(STATISTICS, |body| {
                let words = [
                    statistics.interface,
                    (statistics.timestamp >> 32) as u32,
                    statistics.timestamp as u32,
                ];
                body.extend(words.map(u32::to_ne_bytes).as_flattened());
                statistics.options.write(body);
            }),
            State::PcapBegun | State::Pcap { .. } => Ok(()),
        }
    }

    /// Flushes all buffers.
    ///
    /// # Errors
    /// Writing failed.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        Ok(self.sink.flush()?)
    }

    /// Writes everything that remains and ends the file.
    ///
    /// # Errors
    /// Writing failed.
    pub fn finish(mut self) -> Result<W, WriteError> {
        if matches!(self.state, State::PcapBegun) {
            // No interface, no packet: an empty file that every reader accepts.
            self.interface(&Interface::new(1, WHOLE_PACKETS))?;
        }
        Ok(self.sink.finish()?)
    }

    fn words(&mut self, words: &[u32]) -> Result<(), WriteError> {
        self.scratch.clear();
        for word in words {
            self.scratch.extend(word.to_ne_bytes());
        }
        Ok(self.sink.write_all(&self.scratch)?)
    }

    /// Writes a pcapng block around a body whose length is a multiple of 4.
    fn block(&mut self, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) -> Result<(), WriteError> {
        const FRAME: usize = 12;
        self.scratch.clear();
        fill(&mut self.scratch);
        let length = u32::try_from(self.scratch.len() + FRAME)
            .map_err(|_| WriteError::Format("a block of more than 4 GiB"))?;
        let head = [kind, length].map(u32::to_ne_bytes);
        self.sink.write_all(head.as_flattened())?;
        self.sink.write_all(&self.scratch)?;
        Ok(self.sink.write_all(&length.to_ne_bytes())?)
    }
}

enum Sink<W: Write> {
    Plain(BufWriter<W>),
    Gzip(GzEncoder<BufWriter<W>>),
    Zstd(zstd::Encoder<'static, BufWriter<W>>),
}

impl<W: Write> Sink<W> {
    fn new(output: W, codec: Codec) -> io::Result<Self> {
        let output = BufWriter::with_capacity(256 << 10, output);
        Ok(match codec {
            Codec::Plain => Self::Plain(output),
            Codec::Gzip => Self::Gzip(GzEncoder::new(output, flate2::Compression::fast())),
            Codec::Zstd => Self::Zstd(zstd::Encoder::new(output, 1)?),
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
