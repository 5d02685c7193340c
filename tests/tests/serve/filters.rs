//! Filters from clients: their cost for others, and sets that exclude packets.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use capture_proto::v1;
use capture_tests::{
    daemon::{Daemon, spec, wrote_all},
    frame::{self, IPV4, Ipv4},
    gate,
    netns::Pair,
    packet_socket::PacketSocket,
};
use tonic::Code;

/// Filters that would block the daemon if it compiled them itself: host names for a resolver, and
/// hundreds of terms.
fn costly() -> Vec<(String, &'static str)> {
    let terms = |count: usize| {
        let terms: Vec<String> = (0..count)
            .map(|number| format!("host 10.0.{}.{}", number / 250, number % 250))
            .collect();
        terms.join(" or ")
    };
    vec![
        (
            "tcp and host h1.example.org".to_owned(),
            "\"h1.example.org\" (byte 13)",
        ),
        (format!("not ({})", terms(490)), "--not-host"),
        (terms(700), "--host"),
        (format!("host {}", "x".repeat(10_000)), "filter expression"),
    ]
}

#[test]
fn a_costly_filter_is_refused_with_the_way_out_on_every_path_and_holds_nobody_up() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    client.start("base", spec("eth0", "udp"))?;
    for (filter, expected) in costly() {
        let start = v1::StartCaptureRequest {
            name: "costly".to_owned(),
            spec: Some(spec("eth0", &filter)),
            ..Default::default()
        };
        let update = v1::UpdateCaptureRequest {
            name: "base".to_owned(),
            spec: Some(spec("eth0", &filter)),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["filter".to_owned()],
            }),
            ..Default::default()
        };
        let stream = v1::StreamPacketsRequest {
            name: "base".to_owned(),
            filter: filter.clone(),
            ..Default::default()
        };
        let mut captures = client.captures.clone();
        let refusals = [
            client.wait(captures.start_capture(start)).err(),
            client.wait(captures.update_capture(update)).err(),
            client.wait(captures.stream_packets(stream)).err(),
        ];
        for refusal in refusals {
            let status = refusal.context("it is taken")?;
            assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
            assert!(status.message().contains(expected), "{}", status.message());
            assert!(status.message().len() < 600, "{}", status.message());
        }
    }
    let ended = client.stop("base")?;
    wrote_all(&ended, 0)
}

#[test]
fn excluded_targets_leave_their_packets_out_also_while_they_change() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    let started = client.start(
        "without",
        v1::CaptureSpec {
            excluded_targets: vec!["10.9.0.0/16".to_owned()],
            excluded_ports: vec![53],
            ..spec("eth0", "udp")
        },
    )?;
    let told = started.spec.context("no specification")?;
    assert_eq!(told.excluded_targets, ["10.9.0.0/16"]);
    assert_eq!(told.excluded_ports, [53]);
    let to = |address: [u8; 4], port: u16| {
        let header = Ipv4 {
            protocol: 17,
            ..Ipv4::default()
        };
        let packet = frame::ipv4_to(address, header, &frame::udp(4000, port, &[1; 50]));
        frame::ethernet(IPV4, &packet)
    };
    let frames = [
        to([10, 0, 0, 99], 80),
        to([10, 0, 0, 99], 53),
        to([10, 9, 1, 1], 80),
        to([10, 9, 1, 1], 53),
    ];
    let sender = PacketSocket::sender(&pair.a, "eth0")?;
    sender.send_all(&frames)?;
    let seen = |count: u64| -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let ledger = client.get("without")?.ledger.context("no ledger")?;
            if ledger.seen == Some(count) {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "{count} were sent: {ledger:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    seen(4)?;
    let update = v1::UpdateCaptureRequest {
        name: "without".to_owned(),
        spec: Some(v1::CaptureSpec {
            excluded_ports: vec![80],
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["excluded_targets".to_owned(), "excluded_ports".to_owned()],
        }),
        ..Default::default()
    };
    client.wait(client.captures.clone().update_capture(update))?;
    sender.send_all(&frames)?;
    seen(8)?;
    let ended = client.stop("without")?;
    // The first one to port 80 and another address; then the two to port 53.
    wrote_all(&ended, 3)?;
    assert_eq!(ended.ledger.context("no ledger")?.filtered, Some(5));
    Ok(())
}
