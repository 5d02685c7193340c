//! Flows and pairs as rows of the report.

use std::fmt::Write as _;

use crate::{
    flow::{Flow, Pair, Transport, Way},
    report::{Conversation, End, FlowRates, TcpFacts},
    tcp::{Connection, Flag, Opened, Outcome},
};

pub(crate) const fn bytes(row: &Conversation) -> u64 {
    row.client_bytes + row.server_bytes
}

pub(super) fn flow(flow: &Flow) -> Conversation {
    let (client, server) = (flow.client.index(), flow.client.other().index());
    Conversation {
        flow: Some(flow.id),
        client: flow.ends[client].into(),
        server: flow.ends[server].into(),
        client_packets: flow.sides[client].packets,
        client_bytes: flow.sides[client].bytes,
        server_packets: flow.sides[server].packets,
        server_bytes: flow.sides[server].bytes,
        start_ns: flow.span.first,
        duration_ns: flow.span.duration(),
        community_id: community_id(flow),
        throughput: flow.throughput.as_ref().map(|throughput| FlowRates {
            start_ns: throughput.start(),
            bucket_ns: throughput.width(),
            client_bytes: throughput.bytes(client),
            server_bytes: throughput.bytes(server),
        }),
        tcp: flow
            .tcp
            .as_ref()
            .map(|connection| facts(connection, flow.client)),
    }
}

fn community_id(flow: &Flow) -> Option<String> {
    let [first, second] = flow.ends;
    let protocol = match flow.transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
    };
    community_id::calculate_community_id(
        0,
        first.address,
        second.address,
        Some(first.port),
        Some(second.port),
        protocol,
        false,
    )
    .ok()
}

fn facts(connection: &Connection, client: Way) -> TcpFacts {
    let of_client = &connection.halves[client.index()];
    let of_server = &connection.halves[client.other().index()];
    let rounds = || {
        [of_client.round_trip, of_server.round_trip]
            .into_iter()
            .filter(|round| round.count > 0)
    };
    let zero_window = of_client.zero_window + of_server.zero_window;
    let waited = connection.waited;
    let (sum, count) = rounds().fold((0, 0), |(sum, count), round| {
        (sum + round.sum, count + round.count)
    });
    let offered = || [of_client.offered, of_server.offered].into_iter().flatten();
    let mut not_offered = Vec::new();
    for (name, missing) in [
        ("sack", offered().any(|one| !one.sack_permitted)),
        (
            "window_scale",
            offered().any(|one| one.window_scale.is_none()),
        ),
        ("timestamps", offered().any(|one| !one.timestamps)),
    ] {
        if missing {
            not_offered.push(name.to_owned());
        }
    }
    TcpFacts {
        opened: match connection.opened() {
            Opened::Before => "before",
            Opened::Completed => "completed",
            Opened::Refused => "refused",
            Opened::HalfOpen => "half-open",
            Opened::Unanswered => "unanswered",
        }
        .to_owned(),
        ended: match connection.outcome() {
            Outcome::Closed => "closed",
            Outcome::HalfClosed => "half-closed",
            Outcome::Reset => "reset",
            Outcome::Open => "open",
        }
        .to_owned(),
        handshake_ns: connection.handshake,
        least_round_trip_ns: rounds().map(|round| round.least).min(),
        mean_round_trip_ns: u64::checked_div(sum, count),
        client_data: of_client.data_bytes,
        server_data: of_server.data_bytes,
        // Fast and spurious ones are retransmissions too.
        retransmissions: connection.counted(Flag::Retransmission),
        out_of_order: connection.counted(Flag::OutOfOrder),
        duplicate_acks: connection.counted(Flag::DuplicateAck),
        lost_segments: connection.counted(Flag::LostSegment),
        zero_window_ns: (zero_window > 0).then_some(zero_window),
        waited_for_server_ns: (waited.server.count > 0).then_some(waited.server.sum),
        waited_for_client_ns: (waited.client.count > 0).then_some(waited.client.sum),
        waited_for_network_ns: (waited.network > 0).then_some(waited.network),
        longest_idle_ns: connection.longest_idle.map(|(idle, _)| idle),
        reset_by: connection.reset.as_ref().map(|reset| {
            let by = if reset.way == client {
                "client"
            } else {
                "server"
            };
            by.to_owned()
        }),
        not_offered,
        mss: of_client
            .offered
            .and_then(|offered| offered.mss)
            .zip(of_server.offered.and_then(|offered| offered.mss)),
    }
}

pub(crate) fn mac(address: [u8; 6]) -> String {
    let mut text = String::with_capacity(17);
    for (at, byte) in address.iter().enumerate() {
        if at > 0 {
            text.push(':');
        }
        _ = write!(text, "{byte:02x}");
    }
    text
}

pub(super) fn pair<A: Copy>(pair: &Pair<A>, name: impl Fn(A) -> String) -> Conversation {
    let end = |address| End {
        address: name(address),
        port: None,
    };
    Conversation {
        flow: None,
        client: end(pair.first),
        server: end(pair.second),
        client_packets: pair.sides[0].packets,
        client_bytes: pair.sides[0].bytes,
        server_packets: pair.sides[1].packets,
        server_bytes: pair.sides[1].bytes,
        start_ns: pair.span.first,
        duration_ns: pair.span.duration(),
        community_id: None,
        throughput: None,
        tcp: None,
    }
}
