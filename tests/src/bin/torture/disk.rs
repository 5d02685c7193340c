//! Files and disks that others interfere with.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1;
use capture_tests::{
    daemon::{Client, Daemon, spec},
    mount::Tmpfs,
    netns::Pair,
    scene::{numbered_frames, send_through},
    wait,
};
use tempfile::TempDir;

use crate::{
    Attack,
    scene::{STEADY, Scene, packets_in},
};

pub(crate) const ATTACKS: [Attack; 6] = [
    Attack {
        name: "planted-files",
        done: "links to a file of root, a FIFO and a directory in a capture's directory, under names of files",
        quick: true,
        run: planted_files,
    },
    Attack {
        name: "full-disk",
        done: "a disk that is full and later has room again",
        quick: true,
        run: full_disk,
    },
    Attack {
        name: "deleted-part",
        done: "the file that grows is deleted, then the capture goes on",
        quick: true,
        run: || changed_part(|part| fs::remove_file(part).context("deleting")),
    },
    Attack {
        name: "truncated-part",
        done: "the file that grows is truncated to nothing, then the capture goes on",
        quick: true,
        run: || changed_part(|part| Ok(File::options().write(true).open(part)?.set_len(0)?)),
    },
    Attack {
        name: "replaced-part",
        done: "the file that grows is replaced by another, then the capture goes on",
        quick: true,
        run: || {
            changed_part(|part| {
                fs::remove_file(part)?;
                fs::write(part, b"not a capture file").context("replacing")
            })
        },
    },
    Attack {
        name: "unsaved-state",
        done: "a state directory that is full while captures start and stop, then a restart",
        quick: true,
        run: unsaved_state,
    },
];

fn planted_files() -> Result<String> {
    let scene = Scene::new(&[])?;
    let directory = scene.daemon.files(STEADY);
    let secret = scene.daemon.directory().join("secret");
    fs::write(&secret, "root:$6$secret")?;
    let name = |sequence: u32| format!("{STEADY}-20260101-000000-{sequence:06}.pcapng");
    symlink(&secret, directory.join(name(900)))?;
    let fifo = directory.join(name(901));
    let made = std::process::Command::new("mkfifo").arg(&fifo).status()?;
    ensure!(made.success(), "mkfifo ended with {made}");
    fs::create_dir(directory.join(name(902)))?;
    symlink("/nowhere", directory.join(format!("{}.part", name(903))))?;
    let probe = scene.probe()?;
    let listed = scene.client.list_files(STEADY)?;
    for sequence in 900..904 {
        ensure!(
            !listed.iter().any(|file| file.name == name(sequence)),
            "{} is listed",
            name(sequence)
        );
        let request = v1::ReadFileRequest {
            capture: STEADY.to_owned(),
            file: name(sequence),
            ..Default::default()
        };
        let read = scene.client.wait(async {
            let mut pieces = scene
                .client
                .files
                .clone()
                .read_file(request)
                .await?
                .into_inner();
            let mut bytes = Vec::new();
            while let Some(piece) = pieces.message().await? {
                if let Some(v1::read_file_response::Piece::Chunk(chunk)) = piece.piece {
                    bytes.extend(chunk.data);
                }
            }
            Ok::<_, tonic::Status>(bytes)
        });
        ensure!(read.is_err(), "{} was read: {read:?}", name(sequence));
    }
    scene.client.get(STEADY)?;
    fs::remove_dir(directory.join(name(902)))?;
    Ok(format!(
        "none is listed or read, {}, {}",
        probe.end()?,
        scene.end()?
    ))
}

fn number(value: Option<u64>) -> Result<u64> {
    value.context("a number of the ledger is not known")
}

/// Lost packets in the ledger of an ended capture; fails unless the ledger adds up to the sender's count.
fn lost_of(capture: &v1::Capture, sent: u64) -> Result<(u64, u64)> {
    let ledger = capture.ledger.as_ref().context("no ledger")?;
    let discarded = ledger
        .discarded
        .as_ref()
        .context("nothing discarded is known")?;
    let lost = number(discarded.queue_full)?
        + number(discarded.disk_full)?
        + number(discarded.write_error)?
        + number(discarded.stopped)?
        + number(ledger.ring_full)?
        + number(ledger.unreadable)?;
    let written = number(ledger.written)?;
    ensure!(
        written + lost == sent && number(ledger.matched)? == sent && ledger.duplicate == Some(0),
        "sent {sent}, {written} written, {lost} lost: {ledger:?}"
    );
    Ok((written, lost))
}

/// Fills a file system to the last byte.
fn fill(directory: &Path) -> Result<PathBuf> {
    let path = directory.join("filler");
    let mut file = File::create(&path)?;
    for size in [1 << 20, 4096, 1] {
        let piece = vec![0; size];
        while file.write_all(&piece).is_ok() {}
    }
    Ok(path)
}

fn plain(interface: &str) -> v1::CaptureSpec {
    let mut plain = spec(interface, "");
    plain.output = Some(v1::Output {
        kind: Some(v1::output::Kind::Files(v1::FileOutput {
            compression: Some(v1::Compression {
                codec: v1::Codec::None.into(),
                ..Default::default()
            }),
            ..Default::default()
        })),
    });
    plain
}

/// Waits until a capture has this many packets in its ledger as matched and none on their way.
fn settled(client: &Client, name: &str, matched: u64) -> Result<v1::Capture> {
    wait::until("all packets to be written or counted as lost", || {
        let capture = client.get(name)?;
        let counted = lost_of(&capture, matched);
        let is_over = capture.state() != v1::CaptureState::Running;
        ensure!(
            !is_over,
            "the capture is {:?}: {}",
            capture.state(),
            capture.message
        );
        Ok(counted.is_ok().then_some(capture))
    })
}

fn full_disk() -> Result<String> {
    let disk = Tmpfs::new("size=16m")?;
    let (pair, directory) = (Pair::new()?, TempDir::new_in(disk.path())?);
    let daemon = Daemon::start_in(&pair.b, directory, &[])?;
    let client = daemon.client()?;
    client.start("a", plain("eth0"))?;
    send_through(&pair, &numbered_frames(0..1000))?;
    settled(&client, "a", 1000)?;
    let filler = fill(disk.path())?;
    send_through(&pair, &numbered_frames(1000..3000))?;
    let full = settled(&client, "a", 3000)?;
    let (written, lost) = lost_of(&full, 3000)?;
    ensure!(lost > 0, "a full disk lost nothing: {written} written");
    fs::remove_file(filler)?;
    // It notices by itself that there is room again.
    let mut sent = 3000;
    wait::until_true("a packet to be written again", || {
        send_through(&pair, &numbered_frames(sent..sent + 10))?;
        sent += 10;
        let now = settled(&client, "a", sent)?;
        ensure!(
            now.state() == v1::CaptureState::Running,
            "the capture is {:?}: {}",
            now.state(),
            now.message
        );
        std::thread::sleep(std::time::Duration::from_millis(200));
        Ok(lost_of(&now, sent)?.0 > written)
    })?;
    let capture = client.stop("a")?;
    let (written, lost) = lost_of(&capture, sent)?;
    let files = packets_in(&daemon.files("a"))?;
    ensure!(files == written, "{written} written, {files} in files");
    let (ended, _directory) = daemon.end()?;
    ensure!(
        ended.status.success(),
        "the daemon ended with {}",
        ended.status
    );
    Ok(format!(
        "sent {sent}, written {written}, counted as lost {lost}, files {files}"
    ))
}

fn part_of(directory: &Path) -> Result<PathBuf> {
    wait::until("a file that grows", || {
        let parts = fs::read_dir(directory)?.filter_map(Result::ok);
        let mut parts = parts.map(|entry| entry.path());
        Ok(parts.find(|path| path.extension().is_some_and(|end| end == "part")))
    })
}

fn changed_part(change: impl Fn(&Path) -> Result<()>) -> Result<String> {
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    client.start("a", plain("eth0"))?;
    send_through(&pair, &numbered_frames(0..1000))?;
    let written = |capture: v1::Capture| capture.ledger.and_then(|ledger| ledger.written);
    wait::until_true("packets in the file", || {
        Ok(written(client.get("a")?) == Some(1000)
            && fs::metadata(part_of(&daemon.files("a"))?)?.len() > 100_000)
    })?;
    change(&part_of(&daemon.files("a"))?)?;
    for portion in 1..6 {
        send_through(
            &pair,
            &numbered_frames(portion * 1000..portion * 1000 + 1000),
        )?;
        // The recorder writes at least once a second.
        std::thread::sleep(std::time::Duration::from_millis(600));
    }
    let during = client.get("a")?;
    let capture = client.stop("a")?;
    let (written, lost) = lost_of(&capture, 6000)?;
    let files = packets_in(&daemon.files("a"))?;
    ensure!(
        files == written,
        "{written} written by the ledger, {files} in files, {:?}",
        capture.state()
    );
    ensure!(
        lost > 0 && written > 0,
        "{written} written, {lost} lost: it did not go on"
    );
    let warned = !during.warnings.is_empty() || during.state() == v1::CaptureState::Failed;
    ensure!(
        warned,
        "nothing was said while it ran; in the end {:?}",
        capture.warnings
    );
    let said = during.warnings.last().cloned().unwrap_or(during.message);
    daemon.end()?;
    Ok(format!(
        "sent 6000, written {written}, counted as lost {lost}, files {files}, warning {said:?}"
    ))
}

fn unsaved_state() -> Result<String> {
    let disk = Tmpfs::new("size=64m")?;
    let (pair, directory) = (Pair::new()?, TempDir::new_in(disk.path())?);
    let daemon = Daemon::start_in(&pair.b, directory, &[])?;
    let client = daemon.client()?;
    client.start("before", spec("eth0", ""))?;
    let filler = fill(disk.path())?;
    let answer = client.start("during", spec("eth0", ""));
    let started = match answer {
        Ok(capture) => {
            let capture = client.get(&capture.name)?;
            ensure!(
                !capture.warnings.is_empty(),
                "it started without a warning that a crash would lose it"
            );
            true
        }
        Err(_) => false,
    };
    // Acknowledged, or rejected because it cannot be saved.
    let is_stopped = client.stop("before").is_ok();
    let (_ended, directory) = daemon.end()?;
    fs::remove_file(filler)?;
    let daemon = Daemon::start_in(&pair.b, directory, &[])?;
    let client = daemon.client()?;
    let before = client.get("before")?;
    ensure!(
        !is_stopped
            || ![v1::CaptureState::Running, v1::CaptureState::Pending].contains(&before.state()),
        "a capture that was stopped is {:?} after the restart",
        before.state()
    );
    if started {
        client
            .get("during")
            .context("a capture that was started is unknown after an orderly restart")?;
    }
    daemon.end()?;
    let said = if started {
        "started with a warning"
    } else {
        "not started"
    };
    let stop = match is_stopped {
        true => format!("{:?} after the restart", before.state()),
        false => "refused, because it cannot be saved".to_owned(),
    };
    Ok(format!("StartCapture: {said}; StopCapture: {stop}"))
}
