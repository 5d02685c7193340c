//! The specification of a capture as validated domain types: command lines, configuration files and
//! requests are converted to it once, at the edge.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    CaptureName, DigestAlgorithm, Directions, FilterSpec, PodSelection, SinkName, TargetSet,
};

/// A complete specification.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CaptureSpec {
    /// Name of the capture, its files and its manifest.
    pub name: CaptureName,
    /// Interfaces by name or pattern; empty only with pods.
    pub interfaces: Vec<InterfacePattern>,
    /// The pods that are captured; `None` for a capture without pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodSelection>,
    /// The filter.
    pub filter: FilterSpec,
    /// Hosts and ports besides the filter's expression; they can change while the capture runs.
    pub targets: TargetSet,
    /// Received packets, sent packets, or both.
    pub direction: Directions,
    /// Whether interfaces that are named or match a pattern are put into promiscuous mode; `any` never
    /// does that.
    #[serde(default = "yes")]
    pub promiscuous: bool,
    /// Whether packets of the daemon's own connections are recorded.
    #[serde(default)]
    pub include_own_traffic: bool,
    /// Whether a packet is recorded only at the first interface of its way through the host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub each_packet_once: bool,
    /// Maximum bytes kept of a packet, including a VLAN tag.
    pub snaplen: u32,
    /// Size of the ring buffer in bytes: a power of two and a multiple of the page size.
    pub ring_size: u32,
    /// The destination of packets.
    pub output: Output,
    /// When the capture stops by itself.
    pub limits: Limits,
    /// Sinks of an exporter that get its files; empty for those that get the files of every capture.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub export: Vec<SinkName>,
}

/// The default for specifications stored by older versions.
const fn yes() -> bool {
    true
}

/// An interface by name, by glob (`*`, `?`, `[...]`), or every interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InterfacePattern {
    /// Every interface, also those that appear later.
    Any,
    /// The interface of this name; it must exist when the capture starts.
    Name(String),
    /// Every interface whose name matches, also those that appear later.
    Glob(String),
}

/// When a capture stops by itself; whichever comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// After this long.
    pub duration: Option<Duration>,
    /// After exactly this many packets have been written.
    pub packets: Option<u64>,
}

/// The destination of packets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Output {
    /// Files.
    Files(OutputSpec),
    /// One line for each packet in the process's own output.
    Stdout,
    /// Files of which the first has this name before its extensions; later ones also have a number.
    NamedFiles(OutputSpec, String),
    /// The process's standard output, as one file of this format: pcapng or text.
    Stream(Format),
}

impl Output {
    /// The directory of the files, if there are any.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Files(files) | Self::NamedFiles(files, _) => Some(&files.directory),
            Self::Stdout | Self::Stream(_) => None,
        }
    }
}

/// Where and how files are written.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OutputSpec {
    /// The directory; created (0700) when it is missing.
    pub directory: PathBuf,
    /// The file format.
    pub format: Format,
    /// The compression of the files.
    pub compression: Compression,
    /// When files are compressed.
    pub compress_when: CompressWhen,
    /// When a file is finished and the next one begun.
    pub rotation: Rotation,
    /// Which finished files are removed.
    pub retention: Retention,
    /// The digest of each file that is written to the manifest.
    pub digest: Option<DigestAlgorithm>,
}

/// A file format; each with nanosecond timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// draft-ietf-opsawg-pcapng: interfaces, directions and statistics in the file.
    Pcapng,
    /// The classic format of libpcap (magic 0xa1b23c4d): one link type per file.
    Pcap,
    /// One line for each packet, similar to tcpdump.
    Text,
}

/// A compression codec and its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    /// Plain files.
    None,
    /// RFC 1952 members, level 0 to 9.
    Gzip(u32),
    /// RFC 8878 frames, level 1 to 22.
    Zstd(i32),
}

/// When files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompressWhen {
    /// While they are written.
    Streaming,
    /// After rotation: the newest file stays plain, and every tool can read it at once.
    Rotated,
}

/// When a file is finished and the next one begun; whichever comes first, never if all are `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Before it exceeds this many bytes on disk.
    pub size: Option<u64>,
    /// At multiples of this interval in UTC, also without packets.
    pub interval: Option<Duration>,
    /// After this many packets.
    pub packets: Option<u64>,
}

/// Which finished files of the capture are removed, the oldest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Retention {
    /// While there are more files than this.
    pub max_files: Option<u32>,
    /// While they have more bytes than this, including the file being written.
    pub max_bytes: Option<u64>,
    /// While the file system has less free space than this; if no file of the capture is left to
    /// remove, the capture ends.
    pub min_free: Option<MinFree>,
}

/// Free space to keep on the file system of the capture's directory.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum MinFree {
    /// Bytes.
    Bytes(u64),
    /// Per cent of the file system's size, 0 to 100.
    Percent(f64),
}

impl fmt::Display for InterfacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Any => "any",
            Self::Name(name) | Self::Glob(name) => name,
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pcapng => "pcapng",
            Self::Pcap => "pcap",
            Self::Text => "text",
        })
    }
}

impl fmt::Display for CompressWhen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Streaming => "streaming",
            Self::Rotated => "rotated",
        })
    }
}
