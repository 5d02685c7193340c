//! Format, rotation and retention of files.

use std::time::Duration;

use capture_types::{
    CompressWhen, Compression, DigestAlgorithm, Format, Rotation, SinkName, distinct_sinks, values,
};
use clap::{Args, ValueEnum};

/// Options for capture files.
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

    /// Digest of each finished file in the manifest [default: xxh128].
    #[arg(long, value_enum)]
    pub digest: Option<DigestArg>,

    /// Begin a new file before one exceeds this size.
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    rotate_size: Option<u64>,

    /// Begin a new file at multiples of this time (UTC), also without packets.
    #[arg(long, value_name = "DURATION", value_parser = values::interval)]
    rotate_interval: Option<Duration>,

    /// Begin a new file after this many packets.
    #[arg(long, value_name = "N", value_parser = values::at_least_one)]
    rotate_packets: Option<u64>,

    /// Keep at most this many finished files of this capture; the oldest are removed first.
    #[arg(long, value_name = "N", value_parser = values::files)]
    max_files: Option<u32>,

    /// Keep at most this many bytes of this capture; the oldest files are removed first.
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub max_bytes: Option<u64>,

    /// Sink of the exporter (capture-export) that gets the files; without it those that get the files of every
    /// capture. Repeatable.
    #[arg(long, value_name = "SINK", value_parser = str::parse::<SinkName>)]
    export: Vec<SinkName>,

    /// As in tcpdump: --rotate-size in millions of bytes; with suffix K, M or G in KiB, MiB or GiB.
    #[arg(short = 'C', value_name = "N[K|M|G]", conflicts_with = "rotate_size",
        value_parser = tcpdump_size)]
    tcpdump_size: Option<u64>,

    /// As in tcpdump: --rotate-interval in seconds.
    #[arg(short = 'G', value_name = "SECONDS", conflicts_with = "rotate_interval",
        value_parser = clap::value_parser!(u32).range(1..))]
    tcpdump_interval: Option<u32>,

    /// As in tcpdump with -C: --max-files.
    #[arg(short = 'W', value_name = "N", conflicts_with = "max_files", requires = "tcpdump_size",
        value_parser = values::files)]
    tcpdump_files: Option<u32>,
}

/// The size format of `tcpdump -C`.
fn tcpdump_size(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1_000_000),
    };
    digits
        .parse::<u64>()
        .ok()
        .filter(|number| *number > 0)
        .and_then(|number| number.checked_mul(unit))
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(|| {
            "give a number of at least 1, optionally with the suffix K, M or G".to_owned()
        })
}

impl FileArgs {
    /// When a file is finished and the next one begun.
    #[must_use]
    pub fn rotation(&self) -> Rotation {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Rotation {
            size: self.rotate_size.or(self.tcpdump_size),
            interval: self.rotate_interval.or(self.tcpdump_interval.map(seconds)),
            packets: self.rotate_packets,
        }
    }

    /// Maximum finished files to keep.
    #[must_use]
    pub const fn max_files(&self) -> Option<u32> {
        match self.max_files {
            None => self.tcpdump_files,
            given => given,
        }
    }

    /// The sinks of the exporter that get the files, each once.
    ///
    /// # Errors
    /// There are too many.
    pub fn export(&self) -> Result<Vec<SinkName>, values::ValueError> {
        distinct_sinks(self.export.clone())
    }

    /// Whether files rotate or are removed.
    #[must_use]
    pub fn is_rotating(&self) -> bool {
        self.rotation() != Rotation::default()
            || self.max_files().is_some()
            || self.max_bytes.is_some()
    }

    /// The digest of files.
    #[must_use]
    pub fn digest(&self) -> Option<DigestAlgorithm> {
        match self.digest {
            None => Some(DigestAlgorithm::default()),
            Some(DigestArg::Xxh128) => Some(DigestAlgorithm::Xxh128),
            Some(DigestArg::Sha256) => Some(DigestAlgorithm::Sha256),
            Some(DigestArg::None) => None,
        }
    }

    /// Whether any of the options is given.
    #[must_use]
    pub fn is_any_given(&self) -> bool {
        self.format.is_some()
            || self.compress.is_some()
            || self.compress_when.is_some()
            || self.digest.is_some()
            || self.rotate_size.is_some()
            || self.rotate_interval.is_some()
            || self.rotate_packets.is_some()
            || self.max_files.is_some()
            || self.max_bytes.is_some()
            || !self.export.is_empty()
            || self.tcpdump_size.is_some()
            || self.tcpdump_interval.is_some()
            || self.tcpdump_files.is_some()
    }
}

/// The digest of finished files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DigestArg {
    /// XXH3 with 128 bits, as xxh128sum: finds damage, and costs next to nothing.
    Xxh128,
    /// SHA-256 (FIPS 180-4), as sha256sum: also finds deliberate changes, and costs several times the CPU of the capture.
    Sha256,
    /// No digest.
    None,
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

#[cfg(test)]
mod tests {
    use super::tcpdump_size;

    #[test]
    fn sizes_are_those_of_tcpdump() {
        assert_eq!(tcpdump_size("10"), Ok(10_000_000));
        assert_eq!(tcpdump_size("10k"), Ok(10 << 10));
        assert_eq!(tcpdump_size("10M"), Ok(10 << 20));
        assert_eq!(tcpdump_size("1G"), Ok(1 << 30));
        for bad in ["", "0", "M", "-1", "1.5", "10MiB", "99999999999999999G"] {
            assert!(tcpdump_size(bad).is_err(), "{bad}");
        }
    }
}
