//! The daemon's own connections: excluded by default, recorded on request, and never a loop.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1::{self, stream_packets_response::Event};
use capture_tests::{
    daemon::{Client, Daemon, spec, wrote_all},
    gate,
    netns::{Namespace, Pair},
};

/// Bytes of the datagrams that are sent, with the headers of loopback.
const LENGTH: u32 = 100;

/// Sends datagrams to a socket on loopback.
fn send_datagrams(namespace: &Namespace, count: usize) -> Result<()> {
    namespace.run(|| {
        let receiver = UdpSocket::bind("127.0.0.1:0")?;
        let sender = UdpSocket::bind("127.0.0.1:0")?;
        for _ in 0..count {
            sender.send_to(&[7; LENGTH as usize - 42], receiver.local_addr()?)?;
        }
        Ok(())
    })
}

/// Reads live packets while datagrams are sent: returns the lengths of all packets until none has
/// come for a second.
fn look_on(
    client: &Client,
    namespace: &Namespace,
    name: &str,
    datagrams: usize,
) -> Result<Vec<u32>> {
    let request = v1::StreamPacketsRequest {
        name: name.to_owned(),
        ..Default::default()
    };
    let mut stream = client
        .wait(client.captures.clone().stream_packets(request))?
        .into_inner();
    send_datagrams(namespace, datagrams)?;
    client.wait(async {
        let mut lengths = Vec::new();
        loop {
            let next = tokio::time::timeout(Duration::from_secs(1), stream.message()).await;
            let Ok(message) = next else {
                return Ok(lengths);
            };
            let event = message?.context("the stream ended")?.event;
            if let Some(Event::Packets(batch)) = event {
                lengths.extend(batch.packets.iter().map(|packet| packet.original_length));
            }
            ensure!(lengths.len() < 1000, "the stream feeds itself");
        }
    })
}

#[test]
fn a_stream_over_the_interface_that_it_shows_does_not_feed_itself() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &["--insecure-listen", "127.0.0.1:9443"])?;
    let client = Client::over_tcp(&pair.b, "http://127.0.0.1:9443")?;
    for include_own_traffic in [false, true] {
        let name = format!("own-{include_own_traffic}");
        let spec = v1::CaptureSpec {
            include_own_traffic,
            ..spec("any", "")
        };
        client.start(&name, spec)?;
        let seen = look_on(&client, &pair.b, &name, 5)?;
        assert_eq!(seen, [LENGTH; 5], "own packets are never streamed");
        let capture = client.stop(&name)?;
        let ledger = capture.ledger.context("no ledger")?;
        let own = ledger.seen.context("not known")? - 5;
        // The stream's packets and their acknowledgements.
        assert!((4..500).contains(&own), "{own} packets of its own");
        let says = capture
            .warnings
            .iter()
            .any(|warning| warning.contains("own connections are excluded"));
        assert_eq!(says, !include_own_traffic, "{:?}", capture.warnings);
        if include_own_traffic {
            wrote_all(&capture, 5 + own)?;
        } else {
            wrote_all(&capture, 5)?;
        }
    }
    daemon.end()?;
    Ok(())
}

#[test]
fn a_client_on_another_host_is_left_out_and_the_same_port_of_others_is_recorded() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let _daemon = Daemon::start(&pair.b, &["--insecure-listen", "10.0.0.2:9443"])?;
    pair.b.ip("addr add 10.0.0.3/32 dev eth0")?;
    let client = Client::over_tcp(&pair.a, "http://10.0.0.2:9443")?;
    client.start("eth", spec("eth0", "tcp"))?;
    for _ in 0..50 {
        client.get("eth")?;
    }
    // Somebody else's server on the same port of another address.
    let listener = pair.b.run(|| TcpListener::bind("10.0.0.3:9443"))?;
    let server = thread::spawn(move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.read_to_end(&mut Vec::new())?;
        Ok(())
    });
    pair.a.run(|| -> Result<()> {
        let mut stream = TcpStream::connect("10.0.0.3:9443")?;
        stream.write_all(b"hello")?;
        Ok(())
    })?;
    server.join().expect("the server")?;
    let capture = client.stop("eth")?;
    let ledger = capture.ledger.context("no ledger")?;
    let own = ledger.filtered.context("not known")?;
    // 50 requests, their answers and some acknowledgements; for the other server a handshake, the
    // data, and the end.
    assert!(own >= 100, "{own} packets of its own: {ledger:?}");
    let written = ledger.written.context("not known")?;
    assert!((6..20).contains(&written), "{written} packets of others");
    wrote_all(&capture, written)
}
