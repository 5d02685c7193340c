//! Full disks, directories that cannot be written to or vanish, captures that are killed.

use std::{
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use capture_daemon::pipeline::{
    FailureKind,
    recorder::{Recorder, RecorderSpec},
};
use capture_file::manifest::FileEndReason;
use capture_types::{Compression, Format, MinFree};

use super::{
    mounts::Mount,
    support::{
        Sent, as_pcap, assert_ledger, capture_files, finish, packets, read, read_all, send, spec,
        start,
    },
};

/// Sends more than there is room for and checks what is left.
fn assert_survives_a_full_disk(spec: &RecorderSpec) {
    let sent = packets(8_000);
    let mut recorder = start(spec);
    for chunk in sent.chunks(100) {
        send(&mut recorder, chunk);
        recorder.tick(chunk[0].timestamp);
    }
    let finished = finish(recorder);
    let failure = finished.failure.clone().expect("the disk is full");
    assert_eq!(failure.kind, FailureKind::DiskFull);
    let directory = spec.output.directory.to_str().expect("UTF-8");
    assert!(failure.message.contains(directory), "{failure}");
    assert_ledger(&finished, &sent);
    let full: u64 = finished
        .interfaces
        .iter()
        .map(|(_, lost)| lost.disk_full)
        .sum();
    assert!(full > 0);
    // Every file is whole, the last one too: it ends with the last packet that had room.
    assert!(finished.files.len() > 1);
    let ended = |reason| {
        finished
            .files
            .iter()
            .any(|file| file.entry.ended == Some(reason))
    };
    assert!(ended(FileEndReason::Packets));
    let read = read_all(&spec.output.directory);
    let written: u64 = finished.interfaces.iter().map(|(written, _)| written).sum();
    assert_eq!(read.len() as u64, written);
    match spec.output.format {
        Format::Pcapng => assert!(sent.starts_with(&read)),
        Format::Pcap => {
            for raw in [false, true] {
                assert!(as_pcap(&sent, raw).starts_with(&as_pcap(&read, raw)));
            }
        }
        Format::Text => panic!("a file of lines holds no packets to read"),
    }
}

#[test]
fn a_full_disk_stops_the_capture_and_keeps_every_finished_file() {
    for format in [Format::Pcapng, Format::Pcap] {
        for compression in [
            Compression::None,
            Compression::Gzip(1),
            Compression::Zstd(1),
        ] {
            for mount in [Mount::tmpfs(3 << 20, ""), Mount::ext4(4 << 20)] {
                let Some(mount) = mount else { return };
                let mut spec = spec(mount.path());
                spec.output.format = format;
                spec.output.compression = compression;
                spec.output.rotation.packets = Some(200);
                assert_survives_a_full_disk(&spec);
            }
        }
    }
}

#[test]
fn a_capture_ends_before_it_takes_the_last_free_space() {
    const KEPT: u64 = 4 << 20;
    let Some(mount) = Mount::tmpfs(16 << 20, "") else {
        return;
    };
    let mut spec = spec(mount.path());
    spec.output.retention.min_free = Some(MinFree::Bytes(KEPT));
    let mut recorder = start(&spec);
    let mut sent = Vec::new();
    while recorder.failure().is_none() {
        let some = packets(20);
        send(&mut recorder, &some);
        sent.extend(some);
        recorder.tick(super::support::START);
        std::thread::sleep(Duration::from_millis(5));
    }
    let finished = finish(recorder);
    let failure = finished.failure.clone().expect("it ended");
    assert_eq!(failure.kind, FailureKind::DiskFull);
    assert!(failure.message.contains("--min-free"), "{failure}");
    assert_ledger(&finished, &sent);
    assert!(sent.starts_with(&read_all(mount.path())));
}

#[test]
fn a_read_only_directory_is_named_before_anything_is_captured() {
    let Some(mount) = Mount::tmpfs(1 << 20, ",ro") else {
        return;
    };
    let text = refused(&spec(mount.path()));
    assert!(
        text.contains(mount.path().to_str().expect("UTF-8")),
        "{text}"
    );
    assert!(text.contains("ead-only"), "{text}");
}

#[test]
fn a_directory_that_is_a_file_is_refused() {
    let file = tempfile::NamedTempFile::new().expect("tempfile");
    let text = refused(&spec(file.path()));
    assert!(
        text.contains(file.path().to_str().expect("UTF-8")),
        "{text}"
    );
}

#[test]
fn two_captures_of_one_name_in_one_directory_are_refused() {
    let directory = tempfile::tempdir().expect("tempdir");
    let first = start(&spec(directory.path()));
    let text = refused(&spec(directory.path()));
    assert!(
        text.contains("\"test\"") && text.contains("--name"),
        "{text}"
    );
    finish(first);
    finish(start(&spec(directory.path())));
    assert_eq!(capture_files(directory.path()).len(), 2);
}

fn refused(spec: &RecorderSpec) -> String {
    match Recorder::start(spec, Box::new(|_| None)) {
        Ok(_) => panic!("it was started"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_directory_that_vanishes_ends_the_capture_with_a_true_ledger() {
    let root = tempfile::tempdir().expect("tempdir");
    let directory = root.path().join("captures");
    let mut spec = spec(&directory);
    spec.output.rotation.packets = Some(100);
    let mut recorder = start(&spec);
    let sent = packets(1_000);
    send(&mut recorder, &sent[..250]);
    // Files that are made meanwhile are in the way.
    while std::fs::remove_dir_all(&directory).is_err() {}
    send(&mut recorder, &sent[250..]);
    let finished = finish(recorder);
    let failure = finished.failure.clone().expect("it cannot go on");
    assert_eq!(failure.kind, FailureKind::WriteError);
    for (id, (written, discarded)) in (0..).zip(&finished.interfaces) {
        let sent = sent.iter().filter(|packet| packet.interface == id).count();
        assert_eq!(written + discarded.total(), sent as u64);
    }
    let lost: u64 = finished
        .interfaces
        .iter()
        .map(|(_, lost)| lost.write_error)
        .sum();
    assert!(lost > 0);
}

/// Records until the process is killed, with this test or before.
fn record_for_ever(directory: &str, codec: &str) -> ! {
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let mut spec = spec(Path::new(directory));
    spec.output.compression = match codec {
        "gzip" => Compression::Gzip(1),
        "zstd" => Compression::Zstd(1),
        _ => Compression::None,
    };
    spec.output.rotation.packets = Some(KILLED_FILE);
    let mut recorder = start(&spec);
    let [template, ..] = &packets(2)[1..] else {
        unreachable!("two packets were asked for");
    };
    let mut packet = Sent {
        bytes: vec![0x5a; 700],
        interface: 0,
        ..template.clone()
    };
    // Bounded, should nobody kill it.
    for number in 0..20 * KILLED_FILE {
        packet.bytes[..8].copy_from_slice(&number.to_be_bytes());
        send(&mut recorder, std::slice::from_ref(&packet));
        if number.is_multiple_of(64) {
            recorder.tick(packet.timestamp);
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    std::process::exit(1);
}

/// Packets in each of its files.
const KILLED_FILE: u64 = 20_000;

/// Another process, killed when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_a_killed_capture_had_written_is_read_and_the_next_capture_leaves_it_alone() {
    const TEST: &str =
        "bad_days::what_a_killed_capture_had_written_is_read_and_the_next_capture_leaves_it_alone";
    const DIRECTORY: &str = "RECORD_FOR_EVER_INTO";
    const CODEC: &str = "RECORD_FOR_EVER_WITH";
    // This test runs itself again, as the process that is killed.
    if let (Ok(directory), Ok(codec)) = (std::env::var(DIRECTORY), std::env::var(CODEC)) {
        record_for_ever(&directory, &codec);
    }
    for codec in ["none", "gzip", "zstd"] {
        let directory = tempfile::tempdir().expect("tempdir");
        let child = Command::new(std::env::current_exe().expect("a path"))
            .args(["--exact", TEST])
            .env(DIRECTORY, directory.path())
            .env(CODEC, codec)
            .spawn();
        let mut killed = Killed(child.expect("this program"));
        let is_part = |path: &Path| path.to_string_lossy().ends_with(".part");
        // Killed in its third file or later, when that holds something.
        let part = loop {
            let files = capture_files(directory.path());
            if let [_, _, .., last] = &files[..]
                && files.len() > 2
                && is_part(last)
                && std::fs::metadata(last).is_ok_and(|file| file.len() > 0)
            {
                break last.clone();
            }
            let ended = killed.0.try_wait().expect("a child");
            assert!(ended.is_none(), "{ended:?}");
            std::thread::sleep(Duration::from_millis(2));
        };
        drop(killed);
        let mut joined: Vec<Sent> = Vec::new();
        for path in capture_files(directory.path()) {
            let (packets, cut) = read(&path);
            assert!(!cut || is_part(&path), "{path:?} is cut short");
            joined.extend(packets);
        }
        assert!(joined.len() as u64 >= 2 * KILLED_FILE);
        for (number, packet) in (0_u64..).zip(&joined) {
            assert_eq!(packet.bytes[..8], number.to_be_bytes(), "{codec}");
        }
        let before = capture_files(directory.path());
        finish(start(&spec(directory.path())));
        let after = capture_files(directory.path());
        assert_eq!(after.len(), before.len() + 1);
        assert!(after.starts_with(&before), "{codec}");
        // It goes when it is the oldest, as every other file.
        let mut spec = spec(directory.path());
        spec.output.retention.max_files = Some(1);
        finish(start(&spec));
        assert_eq!(capture_files(directory.path()).len(), 1);
        assert!(!part.exists());
    }
}
