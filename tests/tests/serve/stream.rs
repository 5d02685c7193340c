//! Live packets of a running capture.

use anyhow::{Context as _, Result};
use capture_proto::v1::{self, stream_packets_response::Event};
use capture_tests::{
    daemon::{Daemon, spec, wrote_all},
    frame, gate,
    netns::Pair,
    scene::{numbered_frames, send_through},
};

fn reader(
    client: &capture_tests::daemon::Client,
    request: v1::StreamPacketsRequest,
) -> Result<tonic::Streaming<v1::StreamPacketsResponse>> {
    Ok(client
        .wait(client.captures.clone().stream_packets(request))?
        .into_inner())
}

#[test]
fn a_reader_gets_each_packet_as_it_was_sent_and_is_told_of_the_end() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    client.start("look", spec("eth0", ""))?;
    let request = v1::StreamPacketsRequest {
        name: "look".to_owned(),
        ..Default::default()
    };
    let mut stream = reader(&client, request)?;
    let frames = numbered_frames(0..400);
    send_through(&pair, &frames)?;
    let ended = client.stop("look")?;
    let (mut got, mut told) = (Vec::new(), None);
    client.wait(async {
        while let Some(message) = stream.message().await? {
            match message.event.context("an empty event")? {
                Event::Interface(interface) => assert_eq!(interface.name, "eth0"),
                Event::Packets(batch) => got.extend(batch.packets),
                Event::Missed(missed) => panic!("{missed:?}"),
                Event::Names(names) => panic!("{names:?}"),
                Event::Ended(capture) => told = Some(capture),
            }
        }
        anyhow::Ok(())
    })?;
    let bytes: Vec<&[u8]> = got.iter().map(|packet| &packet.data[..]).collect();
    assert_eq!(bytes, frames.iter().map(Vec::as_slice).collect::<Vec<_>>());
    assert_eq!(told.context("no end")?.uid, ended.uid);
    wrote_all(&ended, 400)
}

#[test]
fn a_reader_that_never_reads_costs_the_capture_nothing_and_a_filter_chooses() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    // The stack of this side answers some of it.
    let only_in = v1::CaptureSpec {
        direction: v1::Direction::In.into(),
        ..spec("eth0", "")
    };
    client.start("look", only_in)?;
    let lazy = v1::StreamPacketsRequest {
        name: "look".to_owned(),
        buffer_size: Some(64 << 10),
        ..Default::default()
    };
    let mut lazy = reader(&client, lazy)?;
    let filtered = v1::StreamPacketsRequest {
        name: "look".to_owned(),
        filter: "udp port 53".to_owned(),
        snaplen: Some(20),
        ..Default::default()
    };
    let mut filtered = reader(&client, filtered)?;
    for round in 0..10 {
        send_through(&pair, &numbered_frames(round * 400..round * 400 + 400))?;
    }
    let datagram = frame::udp(5, 53, b"which one is it");
    let header = frame::Ipv4 {
        protocol: 17,
        ..frame::Ipv4::default()
    };
    send_through(
        &pair,
        &[frame::ethernet(0x0800, &frame::ipv4(header, &datagram))],
    )?;
    wrote_all(&client.stop("look")?, 4001)?;
    let count = |stream: &mut tonic::Streaming<v1::StreamPacketsResponse>| {
        client.wait(async {
            let (mut packets, mut missed, mut longest) = (0, 0, 0);
            while let Some(message) = stream.message().await? {
                match message.event.context("an empty event")? {
                    Event::Packets(batch) => {
                        packets += batch.packets.len() as u64;
                        let lengths = batch.packets.iter().map(|packet| packet.data.len());
                        longest = lengths.max().unwrap_or(0).max(longest);
                    }
                    Event::Missed(more) => missed += more.packets,
                    Event::Interface(_) | Event::Names(_) | Event::Ended(_) => {}
                }
            }
            anyhow::Ok((packets, missed, longest))
        })
    };
    assert_eq!(count(&mut filtered)?, (1, 0, 20));
    let (packets, missed, _) = count(&mut lazy)?;
    assert_eq!(
        packets + missed,
        4001,
        "{packets} packets and {missed} missed"
    );
    Ok(())
}
