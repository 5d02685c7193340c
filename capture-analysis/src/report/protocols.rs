//! What each protocol adds up to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// IP over all packets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IpSummary {
    /// Fragments.
    pub fragments: u64,
    /// Datagrams reassembled from fragments.
    pub reassembled: u64,
    /// Datagrams with missing fragments.
    pub incomplete: u64,
    /// Fragments that overlap others with other bytes.
    pub overlapping: u64,
    /// Packets with a congestion mark.
    pub congestion_marked: u64,
    /// Packets that came twice at one interface, unchanged.
    pub duplicates: u64,
    /// Packets that came again with a lower hop count: a routing loop.
    pub looping: u64,
}

/// TCP over all connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TcpSummary {
    /// Connections.
    pub connections: u64,
    /// Handshakes completed.
    pub completed: u64,
    /// Refused with a reset.
    pub refused: u64,
    /// Answered and not completed.
    pub half_open: u64,
    /// Not answered.
    pub unanswered: u64,
    /// The capture begins after their handshake.
    pub before: u64,
    /// Reset, not counting those refused and those reset after both sides had closed.
    pub reset: u64,
    /// Segments.
    pub segments: u64,
    /// Segments with data.
    pub data_segments: u64,
    /// Bytes of data, each as often as it was sent.
    pub data_bytes: u64,
    /// Segments with each of Wireshark's `tcp.analysis` flags.
    pub flags: std::collections::BTreeMap<String, u64>,
    /// Handshakes' round trips, nanoseconds: the median and the 95th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake_ns: Option<(u64, u64)>,
}

/// UDP over all flows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UdpSummary {
    /// Flows.
    pub flows: u64,
    /// Datagrams.
    pub datagrams: u64,
    /// Flows with datagrams one way only.
    pub one_way: u64,
    /// Flows that look like RTP, and their jitter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rtp: Vec<RtpStream>,
}

/// A stream that looks like RTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RtpStream {
    /// The flow's ends, sender first.
    pub name: String,
    /// Its synchronisation source.
    pub ssrc: u32,
    /// Its payload type.
    pub payload_type: u8,
    /// Packets.
    pub packets: u64,
    /// Sequence numbers that are missing.
    pub missing: u64,
    /// RFC 3550's jitter at its end, nanoseconds; absent where the clock rate is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_ns: Option<u64>,
    /// The largest jitter on its way, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_jitter_ns: Option<u64>,
}

/// ICMP messages of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IcmpCount {
    /// `ICMP` or `ICMPv6`.
    pub protocol: String,
    /// Its type.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// What it means.
    pub name: String,
    /// Messages.
    pub packets: u64,
}

/// A question and its answer between two ends: where it begins in the files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exchange {
    /// Index into the report's files.
    pub file: u32,
    /// The frame in which the question, the client's hello or the request's header ends; the answer's where
    /// there is no question.
    pub frame: u64,
    /// The flow's number; absent for DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<u64>,
    /// Who asked.
    pub client: String,
    /// Who was asked.
    pub server: String,
}

/// DNS over all messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsSummary {
    /// Questions.
    pub queries: u64,
    /// Answers.
    pub responses: u64,
    /// Questions without an answer.
    pub unanswered: u64,
    /// Questions asked again.
    pub retried: u64,
    /// Answers by code: `NOERROR`, `NXDOMAIN`, `SERVFAIL`.
    pub codes: std::collections::BTreeMap<String, u64>,
    /// Answers that were cut to fit a datagram.
    pub truncated: u64,
    /// Malformed messages.
    pub malformed: u64,
    /// From question to answer, nanoseconds: the median and the 95th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_ns: Option<(u64, u64)>,
    /// Question by question, up to a bound.
    pub rows: Vec<DnsRow>,
    /// Questions that are not listed.
    pub not_listed: u64,
}

/// A query and its response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsRow {
    /// Both ends, and the frame.
    #[serde(flatten)]
    pub exchange: Exchange,
    /// Nanoseconds since 1970-01-01 UTC.
    pub time_ns: u64,
    /// The message's number.
    pub id: u16,
    /// The name asked for.
    pub name: String,
    /// The type asked for.
    pub kind: String,
    /// The answer's code; absent where there was no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The answer's frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_frame: Option<u64>,
    /// From question to answer, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_ns: Option<u64>,
}

/// TLS over all connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TlsSummary {
    /// Handshakes begun.
    pub handshakes: u64,
    /// Handshakes answered.
    pub answered: u64,
    /// Handshakes that ended in an alert before data.
    pub failed: u64,
    /// Versions agreed upon.
    pub versions: std::collections::BTreeMap<String, u64>,
    /// Ciphers agreed upon.
    pub ciphers: std::collections::BTreeMap<String, u64>,
    /// QUIC connections recognised.
    pub quic: u64,
    /// Connection by connection, up to a bound.
    pub rows: Vec<TlsRow>,
    /// Connections that are not listed.
    pub not_listed: u64,
}

/// A TLS handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TlsRow {
    /// Both ends, and the frame.
    #[serde(flatten)]
    pub exchange: Exchange,
    /// The name asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// The protocols offered inside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<String>,
    /// The version agreed upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The cipher agreed upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// The server's certificate: its subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// When it expires, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// The first alert, and who sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// From the client's hello to the server's, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hello_ns: Option<u64>,
}

/// HTTP/1 over all connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HttpSummary {
    /// Requests.
    pub requests: u64,
    /// Responses.
    pub responses: u64,
    /// Requests by method.
    pub methods: std::collections::BTreeMap<String, u64>,
    /// Responses by status.
    pub statuses: std::collections::BTreeMap<u16, u64>,
    /// From the end of a request's header to the response's, nanoseconds: the median and the 95th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_ns: Option<(u64, u64)>,
    /// Request by request, up to a bound.
    pub rows: Vec<HttpRow>,
    /// Requests that are not listed.
    pub not_listed: u64,
}

/// A request and its response.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HttpRow {
    /// Both ends, and the frame.
    #[serde(flatten)]
    pub exchange: Exchange,
    /// GET, POST and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The Host header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The request's target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The response's status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The frame in which the response's header ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_frame: Option<u64>,
    /// From request to response, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_ns: Option<u64>,
}

/// ARP over all messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArpSummary {
    /// Questions.
    pub requests: u64,
    /// Answers.
    pub replies: u64,
    /// Announcements of one's own address.
    pub gratuitous: u64,
    /// Addresses that more than one device claims.
    pub conflicts: Vec<String>,
}

/// DHCP over all messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DhcpSummary {
    /// Messages by type: `DISCOVER`, `OFFER` and so on.
    pub messages: std::collections::BTreeMap<String, u64>,
    /// Servers that answered.
    pub servers: Vec<String>,
    /// Exchanges whose client got no answer.
    pub unanswered: u64,
}
