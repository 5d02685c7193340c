//! The states of a capture, and rejected requests.

use anyhow::{Context as _, Result};
use capture_proto::v1::{self, CaptureState, StateReason};
use capture_tests::{
    daemon::{Daemon, spec, wrote_all},
    gate,
    netns::Pair,
    scene::{numbered_frames, send_through},
};
use tonic::Code;

#[test]
fn a_capture_goes_from_start_to_files_that_hold_what_was_sent() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    let started = client.start("web", spec("eth0", ""))?;
    assert_eq!(started.state(), CaptureState::Running);
    assert_eq!(started.created_by, "uid:0");
    let frames = numbered_frames(0..500);
    send_through(&pair, &frames)?;
    let ended = client.stop("web")?;
    assert_eq!(ended.state(), CaptureState::Completed);
    assert_eq!(ended.state_reason(), StateReason::Requested);
    wrote_all(&ended, 500)?;
    let files = client.list_files("web")?;
    assert_eq!(
        files.iter().filter_map(|file| file.packets).sum::<u64>(),
        500
    );
    for file in &files {
        let bytes = read(&client, "web", &file.name, 0)?;
        assert_eq!(bytes.len() as u64, file.bytes);
        assert_eq!(std::fs::read(daemon.files("web").join(&file.name))?, bytes);
        let half = file.bytes / 2;
        let rest = read(&client, "web", &file.name, half)?;
        assert_eq!(rest, bytes[usize::try_from(half)?..]);
    }
    client.delete("web")?;
    assert!(!daemon.files("web").exists(), "its files are gone");
    let gone = client.wait(client.captures.clone().get_capture(v1::GetCaptureRequest {
        name: "web".to_owned(),
    }));
    assert_eq!(gone.expect_err("it is gone").code(), Code::NotFound);
    Ok(())
}

fn read(
    client: &capture_tests::daemon::Client,
    capture: &str,
    file: &str,
    offset: u64,
) -> Result<Vec<u8>> {
    use v1::read_file_response::Piece;
    let request = v1::ReadFileRequest {
        capture: capture.to_owned(),
        file: file.to_owned(),
        offset,
        ..Default::default()
    };
    client.wait(async {
        let mut bytes = Vec::new();
        let mut ended = false;
        let mut pieces = client.files.clone().read_file(request).await?.into_inner();
        while let Some(piece) = pieces.message().await? {
            match piece.piece.context("an empty piece")? {
                Piece::Header(header) => assert_eq!(header.name, file),
                Piece::Chunk(chunk) => {
                    assert_eq!(chunk.offset, offset + bytes.len() as u64);
                    bytes.extend_from_slice(&chunk.data);
                }
                Piece::End(end) => {
                    assert_eq!(end.sent_bytes, bytes.len() as u64);
                    ended = true;
                }
            }
        }
        assert!(ended, "the end was sent");
        Ok(bytes)
    })
}

#[test]
fn limits_end_a_capture_and_say_which_it_was() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    let limited = |limits: v1::Limits| v1::CaptureSpec {
        limits: Some(limits),
        ..spec("eth0", "")
    };
    let short = prost_types::Duration {
        seconds: 0,
        nanos: 300_000_000,
    };
    client.start(
        "time",
        limited(v1::Limits {
            duration: Some(short),
            ..Default::default()
        }),
    )?;
    let soon = std::time::SystemTime::now() + std::time::Duration::from_millis(300);
    let deadline = Some(prost_types::Timestamp::from(soon));
    client.start(
        "deadline",
        limited(v1::Limits {
            deadline,
            ..Default::default()
        }),
    )?;
    client.start(
        "packets",
        limited(v1::Limits {
            packets: Some(7),
            ..Default::default()
        }),
    )?;
    client.start(
        "bytes",
        limited(v1::Limits {
            bytes: Some(2000),
            ..Default::default()
        }),
    )?;
    let mut frames = numbered_frames(0..100);
    send_through(&pair, &frames)?;
    frames.reverse();
    send_through(&pair, &frames)?;
    for (name, reason) in [
        ("time", StateReason::Duration),
        ("deadline", StateReason::Deadline),
        ("packets", StateReason::Packets),
        ("bytes", StateReason::Bytes),
    ] {
        let capture = client.wait_for_state(name, CaptureState::Completed)?;
        assert_eq!(
            capture.state_reason(),
            reason,
            "{name}: {}",
            capture.message
        );
    }
    let ledger = client.get("packets")?.ledger.context("no ledger")?;
    assert_eq!(ledger.written, Some(7));
    Ok(())
}

#[test]
fn a_request_that_comes_twice_starts_one_capture() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    let request = v1::StartCaptureRequest {
        spec: Some(spec("eth0", "")),
        request_id: "one".to_owned(),
        ..Default::default()
    };
    let start = |request: &v1::StartCaptureRequest| {
        client.wait(client.captures.clone().start_capture(request.clone()))
    };
    let first = start(&request)?
        .into_inner()
        .capture
        .context("no capture")?;
    let second = start(&request)?
        .into_inner()
        .capture
        .context("no capture")?;
    assert_eq!(first.uid, second.uid);
    let other = v1::StartCaptureRequest {
        name: first.name.clone(),
        request_id: "two".to_owned(),
        ..request
    };
    assert_eq!(
        start(&other).expect_err("the name is taken").code(),
        Code::AlreadyExists
    );
    Ok(())
}

#[test]
fn what_the_budget_does_not_allow_is_refused_and_leaves_nothing() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let limits = [
        "--set",
        "limits.active_captures=2",
        "--set",
        "limits.ring_memory=4MiB",
    ];
    let daemon = Daemon::start(&pair.b, &limits)?;
    let client = daemon.client()?;
    let start = |name: &str, ring: u32| {
        let spec = v1::CaptureSpec {
            ring_size: Some(ring),
            ..spec("eth0", "")
        };
        let name = name.to_owned();
        let request = v1::StartCaptureRequest {
            name,
            spec: Some(spec),
            ..Default::default()
        };
        client.wait(client.captures.clone().start_capture(request))
    };
    start("a", 2 << 20)?;
    assert_eq!(
        start("b", 4 << 20).expect_err("rings").code(),
        Code::ResourceExhausted
    );
    start("b", 2 << 20)?;
    assert_eq!(
        start("c", 1 << 17).expect_err("number").code(),
        Code::ResourceExhausted
    );
    assert!(!daemon.files("c").exists());
    client.stop("a")?;
    start("c", 2 << 20)?;
    Ok(())
}

#[test]
fn a_filter_can_be_changed_while_the_capture_runs() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    let started = client.start("change", spec("eth0", "ether proto 0x9999"))?;
    send_through(&pair, &numbered_frames(0..50))?;
    let mut request = v1::UpdateCaptureRequest {
        name: "change".to_owned(),
        spec: Some(v1::CaptureSpec::default()),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["filter".to_owned()],
        }),
        expected_generation: Some(started.generation + 10),
        ..Default::default()
    };
    let update = |request: &v1::UpdateCaptureRequest| {
        client.wait(client.captures.clone().update_capture(request.clone()))
    };
    assert_eq!(
        update(&request).expect_err("another generation").code(),
        Code::Aborted
    );
    request.expected_generation = None;
    update(&request)?;
    send_through(&pair, &numbered_frames(50..100))?;
    let ended = client.stop("change")?;
    wrote_all(&ended, 50)?;
    Ok(())
}
