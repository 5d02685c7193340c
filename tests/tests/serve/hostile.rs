//! Clients that mean harm, or are broken.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
};

use anyhow::Result;
use capture_proto::v1;
use capture_tests::{
    daemon::{Daemon, spec, wrote_all},
    gate,
    netns::Pair,
    scene::{numbered_frames, send_through},
};
use tonic::Code;

const MEBIBYTE: u64 = 1 << 20;

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
        // It may be refused before all of it is written.
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
    // Messages far larger than any request.
    let large = v1::StartCaptureRequest {
        reason: "x".repeat(64 << 20),
        ..Default::default()
    };
    let hostile = daemon.client()?;
    for _ in 0..4 {
        let refused = hostile.wait(hostile.captures.clone().start_capture(large.clone()));
        let code = refused.expect_err("too large").code();
        assert!(
            matches!(
                code,
                Code::OutOfRange
                    | Code::ResourceExhausted
                    | Code::Internal
                    | Code::Unknown
                    | Code::Cancelled
            ),
            "{code:?}"
        );
    }
    drop(large);
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
    let after = daemon.memory()?;
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
