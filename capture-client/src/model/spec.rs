//! The specification of a capture.

use capture_types::{CompressWhen, DigestAlgorithm, Directions, Format};
use serde::Serialize;

use super::{PodSelection, Span, Time, as_text, named};

/// The specification of a capture; unset fields have the node's defaults.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Spec {
    /// Names, globs or "any".
    pub interfaces: Vec<String>,
    /// Received packets, sent packets or both.
    #[serde(serialize_with = "as_text")]
    pub direction: Option<Directions>,
    /// Maximum bytes kept of a packet.
    pub snaplen: Option<u32>,
    /// Bytes of the ring buffer.
    pub ring_size: Option<u32>,
    /// Whether interfaces are put into promiscuous mode.
    pub promiscuous: Option<bool>,
    /// Whether packets of the daemon's own connections are recorded.
    pub include_own_traffic: bool,
    /// Whether a packet is recorded only at the first interface of its way through the host.
    pub each_packet_once: Option<bool>,
    /// A pcap-filter expression.
    pub filter: String,
    /// A filter on packets in tunnels.
    pub inner_filter: Option<InnerFilter>,
    /// Addresses and networks.
    pub targets: Vec<String>,
    /// TCP and UDP ports.
    pub ports: Vec<u32>,
    /// Addresses and networks whose packets are excluded.
    #[serde(default)]
    pub excluded_targets: Vec<String>,
    /// Ports whose packets are excluded.
    #[serde(default)]
    pub excluded_ports: Vec<u32>,
    /// Pods whose packets are captured, on their own interfaces.
    pub pods: Option<PodSelection>,
    /// The destination of packets.
    pub output: Option<Output>,
    /// When the capture stops by itself.
    pub limits: Limits,
    /// Sinks of the exporter that get the files; empty for those that get the files of every capture.
    pub export: Vec<String>,
}

/// A filter on the packet inside a tunnel.
#[derive(Debug, Clone, Serialize)]
pub struct InnerFilter {
    /// The expression.
    pub expression: String,
    /// The tunnels.
    pub tunnels: Vec<String>,
}

/// The destination of packets.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Output {
    /// Capture files.
    Files(FileOutput),
    /// Text files: `format` and `digest` are not used.
    Text(FileOutput),
    /// Lines in the daemon's own output.
    Stdout {},
}

/// Files of a capture.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FileOutput {
    /// Their format.
    #[serde(serialize_with = "as_text")]
    pub format: Option<Format>,
    /// Their compression.
    pub compression: Option<Compression>,
    /// When the next file begins.
    pub rotation: Rotation,
    /// Which files are removed.
    pub retention: Retention,
    /// The digest of finished files, if any.
    pub digest: Option<DigestAlgorithm>,
}

named! {
    /// A codec.
    pub enum Codec {
        /// Plain.
        None = "none",
        /// RFC 1952.
        Gzip = "gzip",
        /// RFC 8878.
        Zstd = "zstd",
    }
}

/// How files are compressed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compression {
    /// The codec.
    pub codec: Codec,
    /// The level.
    pub level: Option<u32>,
    /// When files are compressed; `None` if the node does not say.
    #[serde(serialize_with = "as_text")]
    pub when: Option<CompressWhen>,
}

/// When a file is finished and the next one begun.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Rotation {
    /// Before it exceeds this many bytes.
    pub max_file_bytes: Option<u64>,
    /// At multiples of this interval.
    pub interval: Option<Span>,
    /// After this many packets.
    pub max_packets: Option<u64>,
}

/// Which finished files are removed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Retention {
    /// While there are more than this.
    pub max_files: Option<u32>,
    /// While they have more bytes than this.
    pub max_bytes: Option<u64>,
    /// Files older than this.
    pub max_age: Option<Span>,
}

/// When a capture stops by itself.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Limits {
    /// This long after its start.
    pub duration: Option<Span>,
    /// After this many packets.
    pub packets: Option<u64>,
    /// After about this many bytes.
    pub bytes: Option<u64>,
    /// At this time.
    pub deadline: Option<Time>,
}
