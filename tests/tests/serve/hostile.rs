//! Malicious and broken clients.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
};

use anyhow::Result;
use axum::body::Bytes;
use capture_proto::v1;
use capture_tests::{
    certificates::Time,
    daemon::{Client, Daemon, spec, wrote_all},
    gate,
    netns::Pair,
    scene::{numbered_frames, send_through},
};
use tonic::{
    Code, Status,
    codegen::{Service as _, http, tokio_stream},
};

use crate::lab::{Lab, audited};

const MEBIBYTE: u64 = 1 << 20;
const GIBIBYTE: u32 = 1 << 30;

/// Sends as much as possible of a message that claims this length; returns the answer, or `None` if
/// the connection is closed before there is one.
fn flood(client: &Client, claimed: u32) -> Result<Option<Code>> {
    let mut head = vec![0];
    head.extend(claimed.to_be_bytes());
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    let pieces = (0..claimed >> 20).map(move |_| piece.clone());
    let all = std::iter::once(Bytes::from(head)).chain(pieces);
    let stream = tokio_stream::iter(all.map(Ok::<_, std::io::Error>));
    let body = tonic::body::Body::new(axum::body::Body::from_stream(stream));
    let request = http::Request::post("/capture.v1.CaptureService/StartCapture")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)?;
    let mut channel = client.channel.clone();
    client.wait(async {
        std::future::poll_fn(|context| channel.poll_ready(context)).await?;
        let Ok(answer) = channel.call(request).await else {
            return Ok(None);
        };
        Ok(Status::from_header_map(answer.headers()).map(|status| status.code()))
    })
}

#[test]
fn clients_that_mean_harm_cost_bounded_memory_and_disturb_no_capture() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &["--set", "limits.connections=32"])?;
    let client = daemon.client()?;
    client.start("steady", spec("eth0", ""))?;
    send_through(&pair, &numbered_frames(0..100))?;
    let before = daemon.memory()?;

    // Garbage, and half a greeting.
    let mut open = Vec::new();
    for number in 0..10_u8 {
        let mut stream = UnixStream::connect(daemon.socket())?;
        // It may be rejected before all of it is written.
        let _ = stream.write_all(&[number; 4096]);
        open.push(stream);
    }
    // A watcher that never reads, while much changes.
    let watch = |client: &capture_tests::daemon::Client| {
        let request = v1::WatchCapturesRequest {
            ledger_interval: Some(prost_types::Duration {
                seconds: 0,
                nanos: 100_000_000,
            }),
            ..Default::default()
        };
        client.wait(client.captures.clone().watch_captures(request))
    };
    let lazy = daemon.client()?;
    let mut streams = Vec::new();
    for _ in 0..60 {
        streams.push(watch(&lazy)?);
    }
    // Messages that are slightly and far too large.
    let large = v1::StartCaptureRequest {
        reason: "x".repeat(5 << 20),
        ..Default::default()
    };
    let hostile = daemon.client()?;
    for _ in 0..4 {
        let refused = hostile.wait(hostile.captures.clone().start_capture(large.clone()));
        let code = refused.expect_err("too large").code();
        assert_eq!(code, Code::ResourceExhausted);
    }
    for claimed in [GIBIBYTE, u32::MAX] {
        for _ in 0..4 {
            assert_eq!(flood(&hostile, claimed)?, Some(Code::ResourceExhausted));
        }
    }
    // Floods.
    for number in 0..2000 {
        let name = format!("no-{number}");
        let missing = client.wait(
            client
                .captures
                .clone()
                .get_capture(v1::GetCaptureRequest { name }),
        );
        assert_eq!(missing.expect_err("it is not there").code(), Code::NotFound);
    }
    send_through(&pair, &numbered_frames(100..200))?;
    let after = daemon.peak_memory()?;
    assert!(
        after < before + 64 * MEBIBYTE,
        "{} MiB became {} MiB",
        before / MEBIBYTE,
        after / MEBIBYTE
    );
    drop(streams);
    for mut stream in open {
        let mut answer = Vec::new();
        stream.set_read_timeout(Some(std::time::Duration::from_millis(10)))?;
        let _ = stream.read_to_end(&mut answer);
    }
    wrote_all(&client.stop("steady")?, 200)
}

#[test]
fn a_message_of_a_gibibyte_over_tls_costs_bounded_memory_and_disturbs_no_capture() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (pair, lab) = (Pair::new()?, Lab::new()?);
    let daemon = lab.daemon(&pair.b, &[])?;
    let client = lab.client(&pair.b, &lab.alice()?)?;
    client.start("steady", spec("eth0", ""))?;
    send_through(&pair, &numbered_frames(0..100))?;
    let before = daemon.memory()?;
    let viewer = lab.authority.client("bob", "", Time::Now)?;
    let viewer = lab.client(&pair.b, &viewer)?;
    for _ in 0..4 {
        // A client without permission to start a capture is told so, whatever its message.
        for (client, code) in [
            (&client, Code::ResourceExhausted),
            (&viewer, Code::PermissionDenied),
        ] {
            let answer = flood(client, GIBIBYTE)?;
            assert!(answer.is_none_or(|answer| answer == code), "{answer:?}");
        }
    }
    send_through(&pair, &numbered_frames(100..200))?;
    let after = daemon.peak_memory()?;
    assert!(after < before + 32 * MEBIBYTE, "{before} became {after}");
    wrote_all(&daemon.client()?.stop("steady")?, 200)
}

fn code<T>(result: Result<T, Status>) -> Code {
    result.err().map_or(Code::Ok, |status| status.code())
}

#[test]
fn silent_viewers_keep_no_operator_out() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (pair, lab) = (Pair::new()?, Lab::new()?);
    let mut daemon = lab.daemon(&pair.b, &["--set", "limits.connections=8"])?;
    let bob = lab.authority.client("bob", "", Time::Now)?;
    let mut silent = Vec::new();
    for _ in 0..12 {
        silent.push(lab.client(&pair.b, &bob)?);
    }
    let alice = lab.client(&pair.b, &lab.alice()?)?;
    alice.start("steady", spec("eth0", ""))?;
    audited(&mut daemon, &["CN:bob", "refused", "limits.connections"])?;
    send_through(&pair, &numbered_frames(0..50))?;
    wrote_all(&alice.stop("steady")?, 50)
}

#[test]
fn a_viewer_that_is_refused_again_and_again_writes_few_and_short_lines() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (pair, lab) = (Pair::new()?, Lab::new()?);
    let mut daemon = lab.daemon(&pair.b, &[])?;
    let bob = lab.authority.client("bob", "", Time::Now)?;
    let bob = lab.client(&pair.b, &bob)?;
    for _ in 0..1000 {
        let stop = v1::StopCaptureRequest {
            name: "n".repeat(50_000),
            reason: "r".repeat(50_000),
            ..Default::default()
        };
        let refused = bob.wait(bob.captures.clone().stop_capture(stop));
        assert_eq!(code(refused), Code::PermissionDenied);
    }
    let alice = lab.client(&pair.b, &lab.alice()?)?;
    for _ in 0..1000 {
        let delete = v1::DeleteCaptureRequest {
            name: "n".repeat(50_000),
            reason: "r".repeat(50_000),
            ..Default::default()
        };
        let refused = alice.wait(alice.captures.clone().delete_capture(delete));
        assert_eq!(code(refused), Code::InvalidArgument);
    }
    let log = daemon.process().stderr();
    assert!(log.len() < 200_000, "{} bytes of log", log.len());
    audited(
        &mut daemon,
        &["CN:bob", "more requests or connections were refused"],
    )?;
    audited(
        &mut daemon,
        &["lab/alice", "more requests or connections were refused"],
    )
}

#[test]
fn idle_connections_to_the_metrics_keep_nobody_from_them_and_cost_no_capture_anything() -> Result<()>
{
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    const LISTEN: &str = "127.0.0.1:9100";
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &["--metrics", LISTEN])?;
    let client = daemon.client()?;
    client.start("steady", spec("eth0", ""))?;
    let before = daemon.resources()?.descriptors;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(pair.b.run(|| TcpStream::connect(LISTEN))?);
    }
    let mut stream = pair.b.run(|| TcpStream::connect(LISTEN))?;
    write!(
        stream,
        "GET /readyz HTTP/1.1\r\nHost: {LISTEN}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let after = daemon.resources()?.descriptors;
    assert!(after <= before + 40, "{before} became {after}");
    drop(idle);
    send_through(&pair, &numbered_frames(0..50))?;
    wrote_all(&client.stop("steady")?, 50)
}
