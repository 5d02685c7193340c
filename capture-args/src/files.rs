//! What files look like, when they rotate, and which are kept.

use std::time::Duration;

use capture_types::{CompressWhen, Compression, Format, Rotation, values};
use clap::{Args, ValueEnum};

/// Options about capture files.
#[derive(Debug, Clone, Args)]
pub struct FileArgs {
    /// File format, with nanosecond timestamps; text is one readable line for each packet.
    #[arg(long, value_enum)]
    pub format: Option<FormatArg>,

    /// Compression of the files: none, gzip[:0-9] or zstd[:1-19].
    #[arg(long, value_name = "CODEC[:LEVEL]", value_parser = str::parse::<Compression>)]
    pub compress: Option<Compression>,

    /// Compress while writing, or after rotation; then the newest file stays plain.
    #[arg(long, value_enum)]
    pub compress_when: Option<CompressWhenArg>,

    /// Begin a new file before one grows past this size.
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub rotate_size: Option<u64>,

    /// Begin a new file on each multiple of this time (UTC), also when no packet comes.
    #[arg(long, value_name = "DURATION", value_parser = values::interval)]
    pub rotate_interval: Option<Duration>,

    /// Begin a new file after so many packets.
    #[arg(long, value_name = "N", value_parser = values::at_least_one)]
    pub rotate_packets: Option<u64>,

    /// Keep at most so many finished files of this capture; the oldest go first.
    #[arg(long, value_name = "N", value_parser = values::files)]
    pub max_files: Option<u32>,

    /// Keep at most so many bytes of this capture; the oldest files go first.
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub max_bytes: Option<u64>,
}

impl FileArgs {
    /// When a file is finished and the next one begun.
    #[must_use]
    pub const fn rotation(&self) -> Rotation {
        Rotation {
            size: self.rotate_size,
            interval: self.rotate_interval,
            packets: self.rotate_packets,
        }
    }

    /// Whether any of the options is given.
    #[must_use]
    pub const fn is_any_given(&self) -> bool {
        self.format.is_some()
            || self.compress.is_some()
            || self.compress_when.is_some()
            || self.rotate_size.is_some()
            || self.rotate_interval.is_some()
            || self.rotate_packets.is_some()
            || self.max_files.is_some()
            || self.max_bytes.is_some()
    }
}

/// [`Format`] by its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// pcapng.
    Pcapng,
    /// Classic pcap.
    Pcap,
    /// One line for each packet.
    Text,
}

impl From<FormatArg> for Format {
    fn from(argument: FormatArg) -> Self {
        match argument {
            FormatArg::Pcapng => Self::Pcapng,
            FormatArg::Pcap => Self::Pcap,
            FormatArg::Text => Self::Text,
        }
    }
}

/// [`CompressWhen`] by its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompressWhenArg {
    /// While writing.
    Streaming,
    /// After rotation.
    Rotated,
}

impl From<CompressWhenArg> for CompressWhen {
    fn from(argument: CompressWhenArg) -> Self {
        match argument {
            CompressWhenArg::Streaming => Self::Streaming,
            CompressWhenArg::Rotated => Self::Rotated,
        }
    }
}
