//! Who speaks with whom.

use std::fmt::{self, Write};

use super::{
    super::{
        ends::Ends,
        plot::sparkline,
        units::{bytes, duration, number},
    },
    heading,
    table::{Cell, table},
};
use crate::report::{Conversation, Report};

pub(super) fn conversations(report: &Report, top: usize, out: &mut dyn Write) -> fmt::Result {
    let all = &report.conversations;
    let ends = Ends::of(report);
    if !all.talkers.is_empty() {
        heading(out, "Top talkers")?;
        let rows = all.talkers.iter().take(top).map(|talker| {
            vec![
                Cell::text(&match ends.name(&talker.address) {
                    Some(name) => format!("{name} ({})", talker.address),
                    None => talker.address.clone(),
                }),
                Cell::number(number(talker.sent_packets)),
                Cell::number(bytes(talker.sent_bytes)),
                Cell::number(number(talker.received_packets)),
                Cell::number(bytes(talker.received_bytes)),
            ]
        });
        let header = [
            "Address",
            "Packets sent",
            "Sent",
            "Packets received",
            "Received",
        ];
        table(out, &header, rows)?;
    }
    for (name, list) in [
        ("TCP", &all.tcp),
        ("UDP", &all.udp),
        ("IPv4", &all.ipv4),
        ("IPv6", &all.ipv6),
        ("Ethernet", &all.ethernet),
    ] {
        if list.is_empty() {
            continue;
        }
        heading(
            out,
            &format!("{name} conversations ({})", number(list.len() as u64)),
        )?;
        let is_tcp = name == "TCP";
        let mut header = vec![
            "Client",
            "Server",
            "Packets there / back",
            "Bytes there / back",
            "Duration",
            "Over time",
        ];
        if is_tcp {
            header.extend([
                "Handshake",
                "Round trip",
                "Sent again",
                "Waited for server",
                "Waited for client",
                "Waited for network",
            ]);
        }
        if list.iter().take(top).all(|row| row.throughput.is_none()) {
            header.retain(|name| *name != "Over time");
        }
        let with_time = header.contains(&"Over time");
        let rows = list.iter().take(top).map(|row| {
            let mut cells = conversation(&ends, row, with_time);
            cells.truncate(header.len());
            cells
        });
        table(out, &header, rows)?;
    }
    Ok(())
}

fn conversation(ends: &Ends<'_>, row: &Conversation, with_time: bool) -> Vec<Cell> {
    let tcp = row.tcp.as_ref();
    let time = |time: Option<u64>| Cell::number(time.map(duration).unwrap_or_default());
    let mut cells = vec![
        Cell::text(&ends.show(&row.client)),
        Cell::text(&ends.show(&row.server)),
        Cell::number(format!(
            "{} / {}",
            number(row.client_packets),
            number(row.server_packets)
        )),
        Cell::number(format!(
            "{} / {}",
            bytes(row.client_bytes),
            bytes(row.server_bytes)
        )),
        Cell::number(duration(row.duration_ns)),
    ];
    if with_time {
        let drawn = row.throughput.as_ref().map(sparkline);
        cells.push(Cell::drawing(drawn.unwrap_or_default()));
    }
    cells.extend([
        time(tcp.and_then(|tcp| tcp.handshake_ns)),
        time(tcp.and_then(|tcp| tcp.mean_round_trip_ns)),
        Cell::number(
            tcp.map(|tcp| number(tcp.retransmissions))
                .unwrap_or_default(),
        ),
        time(tcp.and_then(|tcp| tcp.waited_for_server_ns)),
        time(tcp.and_then(|tcp| tcp.waited_for_client_ns)),
        time(tcp.and_then(|tcp| tcp.waited_for_network_ns)),
    ]);
    cells
}
