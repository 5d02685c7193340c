//! The document of a flow segment: a flow, as far as it is in one file.

use std::{collections::HashMap, net::IpAddr};

use capture_analysis::{
    flow::{Application, Endpoint, Flow, Side, Transport},
    tcp::{Connection, Flag, Opened, Outcome},
};

use super::{FileContext, Kind, identity::FlowNames, json::Object};

/// Whether a flow will not go on in the next file.
pub(super) fn is_over(flow: &Flow) -> bool {
    flow.tcp
        .as_ref()
        .is_some_and(|connection| matches!(connection.outcome(), Outcome::Closed | Outcome::Reset))
}

pub(super) fn write(
    object: &mut Object<'_>,
    flow: &Flow,
    names: &FlowNames,
    file: &FileContext,
    hosts: &HashMap<IpAddr, String>,
) {
    let (client, server) = (flow.client.index(), flow.client.other().index());
    object.time("@timestamp", flow.span.first);
    object.object("event", |event| {
        event.word("kind", "event");
        event.words("category", &["network"]);
        event.words("type", &["connection"]);
        event.word("module", "capture");
        event.word("dataset", Kind::Flow.dataset());
        event.time("start", flow.span.first);
        event.time("end", flow.span.last);
        event.number("duration", flow.span.duration());
        if let Some(outcome) = flow.tcp.as_ref().and_then(|connection| outcome(connection)) {
            event.word("outcome", outcome);
        }
    });
    object.object("flow", |inner| inner.text("id", &names.id));
    object.object("network", |network| {
        ends(network, flow.transport, flow.ends[0].address, names);
        match flow.application {
            Application::Tls => network.word("protocol", "tls"),
            Application::Http => network.word("protocol", "http"),
            Application::Unknown | Application::Other => {}
        }
        network.number("bytes", flow.bytes());
        network.number("packets", flow.packets());
    });
    object.object("source", |side| {
        end(side, flow.ends[client], Some(flow.sides[client]), hosts);
    });
    object.object("destination", |side| {
        end(side, flow.ends[server], Some(flow.sides[server]), hosts);
    });
    object.object("capture", |capture| {
        file.capture(capture);
        capture.object("frame", |frame| {
            frame.number("first", flow.first_frame.1);
            frame.number("last", flow.last_frame.1);
        });
        if let Some(connection) = &flow.tcp {
            capture.object("tcp", |object| tcp(object, connection, flow));
        }
    });
}

/// What the two ends have in common.
pub(super) fn ends(
    network: &mut Object<'_>,
    transport: Transport,
    address: IpAddr,
    names: &FlowNames,
) {
    network.word("type", version(address));
    let (transport, number) = match transport {
        Transport::Tcp => ("tcp", "6"),
        Transport::Udp => ("udp", "17"),
    };
    network.word("transport", transport);
    network.word("iana_number", number);
    network.some_text("community_id", Some(&names.community_id));
}

pub(super) const fn version(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "ipv4",
        IpAddr::V6(_) => "ipv6",
    }
}

/// One end.
pub(super) fn end(
    side: &mut Object<'_>,
    end: Endpoint,
    traffic: Option<Side>,
    hosts: &HashMap<IpAddr, String>,
) {
    side.address("ip", end.address);
    side.number("port", end.port.into());
    name(side, end.address, hosts);
    if let Some(traffic) = traffic {
        side.number("bytes", traffic.bytes);
        side.number("packets", traffic.packets);
    }
}

/// The name of an address, if the file has one.
pub(super) fn name(side: &mut Object<'_>, address: IpAddr, hosts: &HashMap<IpAddr, String>) {
    if !hosts.is_empty() {
        side.some_text("domain", hosts.get(&address).map(String::as_str));
    }
}

fn outcome(connection: &Connection) -> Option<&'static str> {
    match connection.opened() {
        Opened::Completed => Some("success"),
        Opened::Refused | Opened::HalfOpen | Opened::Unanswered => Some("failure"),
        Opened::Before => None,
    }
}

fn tcp(tcp: &mut Object<'_>, connection: &Connection, flow: &Flow) {
    let of_client = &connection.halves[flow.client.index()];
    let of_server = &connection.halves[flow.client.other().index()];
    tcp.word(
        "opened",
        match connection.opened() {
            Opened::Before => "before",
            Opened::Completed => "completed",
            Opened::Refused => "refused",
            Opened::HalfOpen => "half-open",
            Opened::Unanswered => "unanswered",
        },
    );
    tcp.word(
        "ended",
        match connection.outcome() {
            Outcome::Closed => "closed",
            Outcome::HalfClosed => "half-closed",
            Outcome::Reset => "reset",
            Outcome::Open => "open",
        },
    );
    tcp.some_number("handshake", connection.handshake);
    let rounds = [of_client.round_trip, of_server.round_trip];
    let rounds = || rounds.into_iter().filter(|round| round.count > 0);
    if let Some(least) = rounds().map(|round| round.least).min() {
        let (sum, count) = rounds().fold((0_u64, 0), |(sum, count), round| {
            (sum.saturating_add(round.sum), count + round.count)
        });
        tcp.object("round_trip", |object| {
            object.number("least", least);
            object.some_number("mean", sum.checked_div(count));
        });
    }
    tcp.number("client_data", of_client.data_bytes);
    tcp.number("server_data", of_server.data_bytes);
    for (key, flag) in [
        ("retransmissions", Flag::Retransmission),
        ("out_of_order", Flag::OutOfOrder),
        ("duplicate_acks", Flag::DuplicateAck),
        ("lost_segments", Flag::LostSegment),
    ] {
        tcp.number(key, connection.counted(flag));
    }
    let zero_window = of_client.zero_window.saturating_add(of_server.zero_window);
    tcp.some_number("zero_window", (zero_window > 0).then_some(zero_window));
    let waited = connection.waited.server;
    tcp.some_number(
        "waited_for_server",
        (waited.count > 0).then_some(waited.sum),
    );
    if let Some(reset) = &connection.reset {
        let by_client = reset.way == flow.client;
        tcp.word("reset_by", if by_client { "client" } else { "server" });
    }
}
