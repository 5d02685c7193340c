//! Who speaks with whom.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::flow::Endpoint;

/// Conversations of every kind, the largest first, and the number of those not listed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Conversations {
    /// Pairs of Ethernet addresses.
    pub ethernet: Vec<Conversation>,
    /// Pairs of IPv4 addresses.
    pub ipv4: Vec<Conversation>,
    /// Pairs of IPv6 addresses.
    pub ipv6: Vec<Conversation>,
    /// TCP connections.
    pub tcp: Vec<Conversation>,
    /// UDP flows.
    pub udp: Vec<Conversation>,
    /// The IP addresses that sent and received most.
    pub talkers: Vec<Talker>,
    /// TCP connections and UDP flows in all.
    pub flows: u64,
    /// Conversations that were left out of these lists.
    pub not_listed: u64,
    /// Flows that were closed early, because more were live than are kept.
    pub closed_early: u64,
}

/// One end of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct End {
    /// Its Ethernet or IP address.
    pub address: String,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl From<Endpoint> for End {
    fn from(end: Endpoint) -> Self {
        Self {
            address: end.address.to_string(),
            port: Some(end.port),
        }
    }
}

/// A conversation between two ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Conversation {
    /// The number of the flow, in the order in which flows appeared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<u64>,
    /// The end that opened it, or sent first.
    pub client: End,
    /// The other end.
    pub server: End,
    /// Packets from the client.
    pub client_packets: u64,
    /// Bytes from the client, on the wire with all headers.
    pub client_bytes: u64,
    /// Packets from the server.
    pub server_packets: u64,
    /// Bytes from the server, on the wire with all headers.
    pub server_bytes: u64,
    /// The first packet, nanoseconds since 1970-01-01 UTC.
    pub start_ns: u64,
    /// From the first to the last packet, nanoseconds.
    pub duration_ns: u64,
    /// Community ID (version 1, seed 0), by which other tools name the flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub community_id: Option<String>,
    /// Bytes over time; of flows with fewer than 8 packets they are not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<FlowRates>,
    /// TCP details.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpFacts>,
}

/// Bytes of a flow over time, bucket by bucket, on the wire with all headers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowRates {
    /// When the first bucket begins, nanoseconds since 1970-01-01 UTC.
    pub start_ns: u64,
    /// Nanoseconds of a bucket.
    pub bucket_ns: u64,
    /// From the client.
    pub client_bytes: Vec<u64>,
    /// From the server.
    pub server_bytes: Vec<u64>,
}

/// Details of a TCP connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TcpFacts {
    /// `completed`, `refused`, `half-open`, `unanswered`, or `before` where the capture begins later.
    pub opened: String,
    /// `closed`, `half-closed`, `reset` or `open`.
    pub ended: String,
    /// From the SYN to the ACK that completes the handshake, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake_ns: Option<u64>,
    /// The shortest time from data to its acknowledgement, either side, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_round_trip_ns: Option<u64>,
    /// The mean time from data to its acknowledgement, either side, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_round_trip_ns: Option<u64>,
    /// Bytes of data from the client, each as often as it was sent.
    pub client_data: u64,
    /// Bytes of data from the server.
    pub server_data: u64,
    /// Segments that were sent again.
    pub retransmissions: u64,
    /// Segments that came later than what follows them.
    pub out_of_order: u64,
    /// Duplicate ACKs.
    pub duplicate_acks: u64,
    /// Gaps: segments that are not in the capture.
    pub lost_segments: u64,
    /// How long a side took no data, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zero_window_ns: Option<u64>,
    /// How long the client waited for the server in all, beyond the round trip, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_for_server_ns: Option<u64>,
    /// How long the server waited for the client in all, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_for_client_ns: Option<u64>,
    /// The network's share of the time until answers came: a handshake's round trip for each,
    /// nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_for_network_ns: Option<u64>,
    /// The longest silence, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_idle_ns: Option<u64>,
    /// Which side reset it: `client` or `server`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset_by: Option<String>,
    /// Options that one side or both did not offer in the handshake: `sack`, `window_scale`, `timestamps`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_offered: Vec<String>,
    /// The largest segments that client and server take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mss: Option<(u16, u16)>,
}

/// An address, and the traffic that it sent and received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Talker {
    /// Its IP address.
    pub address: String,
    /// Packets sent.
    pub sent_packets: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Packets received.
    pub received_packets: u64,
    /// Bytes received.
    pub received_bytes: u64,
}
