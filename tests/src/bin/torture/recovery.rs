//! Daemons that are killed, and the recovery by the next one.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::symlink,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1;
use capture_tests::{
    daemon::{Client, Daemon, spec},
    netns::Pair,
    scene::{numbered_frames, send_through},
    wait,
};

use crate::{Attack, scene::packets_in};

pub(crate) const ATTACKS: [Attack; 3] = [
    Attack {
        name: "killed-while-recording",
        done: "SIGKILL 6 times while packets come, each time a new daemon",
        quick: true,
        run: killed_while_recording,
    },
    Attack {
        name: "odd-state",
        done: "a directory, a dangling link, garbage and an unreadable manifest where the daemon keeps its own",
        quick: true,
        run: odd_state,
    },
    Attack {
        name: "large-part",
        done: "SIGKILL, and an unfinished file of 1.5 GiB for the next daemon",
        quick: false,
        run: large_part,
    },
];

/// Waits until a capture runs again.
fn goes_on(client: &Client, name: &str) -> Result<v1::Capture> {
    wait::until(&format!("{name} to run"), || {
        let capture = client.get(name)?;
        let has_failed = capture.state() == v1::CaptureState::Failed;
        ensure!(!has_failed, "{name} has failed: {}", capture.message);
        Ok((capture.state() == v1::CaptureState::Running).then_some(capture))
    })
}

fn killed_while_recording() -> Result<String> {
    let pair = Pair::new()?;
    let mut daemon = Daemon::start(&pair.b, &[])?;
    daemon.client()?.start("a", spec("eth0", ""))?;
    let (mut sent, mut safe) = (0, 0);
    for _ in 0..6 {
        send_through(&pair, &numbered_frames(sent..sent + 500))?;
        sent += 500;
        let client = daemon.client()?;
        safe = wait::until("packets to be in the file", || {
            let written = client.get("a")?.ledger.and_then(|ledger| ledger.written);
            Ok(written.filter(|written| *written >= safe + 500))
        })?;
        // These packets are on their way when it dies.
        send_through(&pair, &numbered_frames(sent..sent + 200))?;
        sent += 200;
        daemon = Daemon::start_in(&pair.b, daemon.kill()?, &[])?;
        goes_on(&daemon.client()?, "a")?;
    }
    let capture = daemon.client()?.stop("a")?;
    let ledger = capture.ledger.as_ref().context("no ledger")?;
    let written = ledger.written.context("written is not known")?;
    let files = packets_in(&daemon.files("a"))?;
    ensure!(
        files == written,
        "{written} written by the ledger, {files} in files"
    );
    ensure!(
        written <= sent && written >= sent / 2,
        "sent {sent}, {written} written"
    );
    let discarded = ledger
        .discarded
        .as_ref()
        .context("nothing discarded is known")?;
    let lost = discarded.write_error.unwrap_or(0) + discarded.stopped.unwrap_or(0);
    let accounted = ledger.submitted == Some(written + lost) || !capture.warnings.is_empty();
    ensure!(accounted, "{ledger:?} without a warning");
    let (ended, _directory) = daemon.end()?;
    ensure!(
        ended.status.success(),
        "the daemon ended with {}",
        ended.status
    );
    Ok(format!(
        "sent {sent}, ledger {written}, files {files}, write_error {lost}, resumed {} times",
        capture.resumed
    ))
}

fn odd_state() -> Result<String> {
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    for name in ["a", "b"] {
        client.start(name, spec("eth0", ""))?;
    }
    send_through(&pair, &numbered_frames(0..300))?;
    wait::until_true("300 packets to be written", || {
        let ledger = client.get("a")?.ledger.context("no ledger")?;
        Ok(ledger.written == Some(300))
    })?;
    client.stop("b")?;
    let directory = daemon.kill()?;
    let state = directory.path().join("state");
    let saved: Vec<_> = fs::read_dir(&state)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .collect();
    let like = saved
        .iter()
        .find(|path| path.is_file())
        .context("no state was saved")?;
    let odd = |name: &str| {
        let end = like
            .extension()
            .map_or(String::new(), |end| format!(".{}", end.to_string_lossy()));
        like.with_file_name(format!("{name}{end}"))
    };
    fs::create_dir(odd("directory"))?;
    symlink("/nowhere/at/all", odd("dangling"))?;
    fs::write(odd("garbage"), [0xff; 4096])?;
    fs::write(odd("empty"), [])?;
    let manifest = directory.path().join("data/a/a.manifest.jsonl");
    fs::write(&manifest, [0xfe; 1024])?;
    let daemon = Daemon::start_in(&pair.b, directory, &[]).context("the next daemon")?;
    let client = daemon.client()?;
    let capture = client
        .wait_for_state("a", v1::CaptureState::Running)
        .context("capture a")?;
    ensure!(
        client.get("b")?.state() == v1::CaptureState::Completed,
        "b is {:?}",
        client.get("b")?.state()
    );
    send_through(&pair, &numbered_frames(300..400))?;
    let written = client
        .stop("a")?
        .ledger
        .and_then(|ledger| ledger.written)
        .context("not known")?;
    let files = packets_in(&daemon.files("a"))?;
    ensure!(
        files >= 300,
        "{files} packets in files; manifest was {}",
        manifest.display()
    );
    ensure!(
        written == files,
        "{written} written by the ledger, {files} in files; {:?}",
        capture.warnings
    );
    let (ended, _directory) = daemon.end()?;
    ensure!(
        ended.status.success(),
        "the daemon ended with {}",
        ended.status
    );
    Ok(format!(
        "it starts, a goes on, b is completed; sent 400, ledger {written}, files {files}"
    ))
}

fn large_part() -> Result<String> {
    const SIZE: u64 = 1536 << 20;
    let pair = Pair::new()?;
    let daemon = Daemon::start(
        &pair.b,
        &[
            "--set",
            "defaults.compression=none",
            "--set",
            "defaults.rotate_size=0",
        ],
    )?;
    let client = daemon.client()?;
    client.start("a", spec("eth0", ""))?;
    send_through(&pair, &numbered_frames(0..2000))?;
    let part = wait::until("a file with packets", || {
        let entries = fs::read_dir(daemon.files("a"))?.filter_map(Result::ok);
        let mut paths = entries.map(|entry| entry.path());
        let part = paths.find(|path| path.extension().is_some_and(|end| end == "part"));
        Ok(part.filter(|path| fs::metadata(path).is_ok_and(|of| of.len() > 1_000_000)))
    })?;
    let directory = daemon.kill()?;
    let bytes = fs::read(&part)?;
    let blocks = whole_blocks(&bytes)?;
    let mut file = File::create(&part)?;
    file.write_all(&bytes[..blocks.end])?;
    let mut length = blocks.end as u64;
    while length < SIZE {
        file.write_all(&bytes[blocks.clone()])?;
        length += blocks.len() as u64;
    }
    drop(file);
    let begun = Instant::now();
    let daemon = Daemon::start_in(&pair.b, directory, &["--set", "defaults.compression=none"])?;
    let client = daemon.client()?;
    client.get("a")?;
    let took = begun.elapsed();
    ensure!(
        took < Duration::from_secs(3),
        "the API answered after {took:?}"
    );
    client.start("b", spec("eth0", ""))?;
    send_through(&pair, &numbered_frames(0..500))?;
    let beside = client.stop("b")?;
    capture_tests::daemon::wrote_all(&beside, 500).context("a capture beside the recovery")?;
    wait::until_true("the file to be recovered", || {
        let files = client.list_files("a")?;
        Ok(files
            .iter()
            .any(|file| file.state() == v1::FileState::Recovered))
    })?;
    daemon.end()?;
    Ok(format!(
        "the API answered after {} ms; beside it sent 500, ledger 500; the file was recovered",
        took.as_millis()
    ))
}

/// The range from the first packet of a pcapng file to the end of its last whole block.
fn whole_blocks(bytes: &[u8]) -> Result<std::ops::Range<usize>> {
    const PACKET: u32 = 6;
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    let (mut at, mut first) = (0, None);
    while let (Some(kind), Some(length)) = (word(at), word(at + 4)) {
        let length = length as usize;
        if length < 12 || word(at + length.saturating_sub(4)) != Some(length as u32) {
            break;
        }
        if kind == PACKET && first.is_none() {
            first = Some(at);
        } else if kind != PACKET && first.is_some() {
            break;
        }
        at += length;
    }
    Ok(first.context("no packet in the file")?..at)
}
