//! How much there is of what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A capture file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileSummary {
    /// Its name as it was given.
    pub name: String,
    /// `pcap`, `pcapng` or `empty`.
    pub format: String,
    /// `gzip` or `zstd`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// Packets read from it.
    pub packets: u64,
    /// Bytes read from it, uncompressed.
    pub bytes: u64,
    /// Malformed blocks and options that were skipped.
    pub skipped: u64,
    /// Why it was not read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Totals over all files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Inventory {
    /// Packets.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Bytes that were captured of them.
    pub captured_bytes: u64,
    /// Packets cut by the snap length.
    pub cut: u64,
    /// Packets longer than the snap length of their interface.
    pub longer_than_snaplen: u64,
    /// Packets whose link type is not decoded.
    pub undecoded: u64,
    /// Packets that are older than one before them.
    pub out_of_time: u64,
    /// Packets seen on more than one interface; each is counted once in its flow's analysis.
    pub copies: u64,
    /// The earliest packet, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// The latest packet, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// From the earliest to the latest, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ns: Option<u64>,
    /// Packets of each link type.
    pub link_types: Vec<LinkTypeCount>,
    /// Packets by length.
    pub sizes: Vec<SizeCount>,
}

/// Packets of a link type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkTypeCount {
    /// Its number (<https://www.tcpdump.org/linktypes.html>).
    pub number: u16,
    /// Its name, where it is known.
    pub name: String,
    /// Packets.
    pub packets: u64,
    /// Whether they are decoded.
    pub decoded: bool,
}

/// Packets of a range of lengths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SizeCount {
    /// The shortest.
    pub from: u32,
    /// The longest; absent for no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u32>,
    /// Packets.
    pub packets: u64,
}

/// An interface that packets were captured at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InterfaceSummary {
    /// Its name, where the file has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What else the recorder wrote about it: node, pod, container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The filter that was in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The link type's number.
    pub link_type: u16,
    /// At most so many bytes of each packet were captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snaplen: Option<u32>,
    /// Packets in the files.
    pub packets: u64,
    /// Packets that the recorder lost at this interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_by_recorder: Option<u64>,
}

/// What the recorder lost: it is missing in the file, not in the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecorderLoss {
    /// The source of the numbers: `manifest` or `pcapng statistics`.
    pub source: String,
    /// Packets lost.
    pub lost: u64,
    /// The spans of time in which they were lost, as well as the files tell.
    pub spans: Vec<LossSpan>,
}

/// Packets that the recorder lost in a span of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LossSpan {
    /// Nanoseconds since 1970-01-01 UTC.
    pub from_ns: u64,
    /// Nanoseconds since 1970-01-01 UTC.
    pub to_ns: u64,
    /// Packets.
    pub lost: u64,
    /// The interface, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

/// A protocol inside those above it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProtocolNode {
    /// Its abbreviation.
    pub name: String,
    /// Packets with it.
    pub packets: u64,
    /// Bytes of these packets on the wire.
    pub bytes: u64,
    /// Protocols carried by it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inside: Vec<ProtocolNode>,
}

/// Counters over time, bucket by bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rates {
    /// When the first bucket begins, nanoseconds since 1970-01-01 UTC.
    pub start_ns: u64,
    /// Nanoseconds of a bucket.
    pub bucket_ns: u64,
    /// Packets.
    pub packets: Vec<u64>,
    /// Bytes on the wire.
    pub bytes: Vec<u64>,
    /// TCP segments sent again.
    pub retransmissions: Vec<u64>,
    /// Gaps in TCP streams: segments that are not in the capture.
    pub missing_segments: Vec<u64>,
}
