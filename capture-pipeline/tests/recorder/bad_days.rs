//! Full disks, directories that cannot be written to or are removed, captures that are killed.

use std::{
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use capture_file::{manifest::FileEndReason, name};
use capture_pipeline::{
    FailureKind,
    recorder::{Finished, Recorder, RecorderSpec},
};
use capture_types::{CompressWhen, Compression, Discarded, Format, MinFree};

use super::{
    mounts::Mount,
    support::{
        START, Sent, as_pcap, assert_ledger, capture_files, finish, of_link_type, packets,
        packets_of_two_link_types, read, read_all, send, spec, start,
    },
};

/// Sends more than there is room for and checks the result.
fn assert_survives_a_full_disk(spec: &RecorderSpec) {
    let sent = packets_of_two_link_types(8_000);
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
    // Every file is whole, including the last one: it ends with the last packet that had room.
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
    for raw in [false, true] {
        let (read, sent) = match spec.output.format {
            Format::Pcapng => (of_link_type(&read, raw), of_link_type(&sent, raw)),
            Format::Pcap => (as_pcap(&read, raw), as_pcap(&sent, raw)),
            Format::Text => panic!("a file of lines holds no packets to read"),
        };
        assert_in_order(&read, &sent);
    }
}

/// The packets read were sent, in the same order; some may be missing.
fn assert_in_order(read: &[Sent], sent: &[Sent]) {
    let mut sent = sent.iter();
    for packet in read {
        assert!(sent.any(|one| one == packet), "{packet:?} was not sent");
    }
}

/// Sends packets and advances the time until a condition holds.
fn send_until(recorder: &mut Recorder, sent: &mut Vec<Sent>, happened: impl Fn(&Recorder) -> bool) {
    let begun = Instant::now();
    while !happened(recorder) {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "the condition did not hold in time: {} written, {:?}, {} queued",
            written(recorder),
            recorder.progress().warnings(),
            recorder.progress().queued()
        );
        let some = packets(20);
        send(recorder, &some);
        sent.extend(some);
        recorder.tick(START);
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Packets written, of all interfaces.
fn written(recorder: &Recorder) -> u64 {
    outcomes(recorder, |(written, _)| written)
}

fn outcomes(recorder: &Recorder, of: impl Fn((u64, Discarded)) -> u64) -> u64 {
    let mut outcomes = Vec::new();
    recorder.copy_outcomes(&mut outcomes);
    outcomes.into_iter().map(of).sum()
}

/// The ledger adds up, and the finished files contain as many packets as it says.
fn assert_files_hold_what_was_written(finished: &Finished, sent: &[Sent]) {
    assert_ledger(finished, sent);
    for file in &finished.files {
        let (packets, cut) = read(&file.path);
        assert!(!cut, "{:?} is cut short", file.path);
        assert_eq!(
            Some(packets.len() as u64),
            file.entry.packets,
            "{:?}",
            file.path
        );
    }
}

fn lost(finished: &Finished, of: impl Fn(&Discarded) -> u64) -> u64 {
    finished.interfaces.iter().map(|(_, lost)| of(lost)).sum()
}

#[test]
fn a_capture_goes_on_when_a_full_disk_has_room_again() {
    for compression in [Compression::None, Compression::Zstd(1)] {
        let Some(mount) = Mount::tmpfs(16 << 20, "") else {
            return;
        };
        let ballast = mount.path().join("ballast");
        std::fs::write(&ballast, vec![1; 15 << 20]).expect("there is room");
        let mut spec = spec(mount.path());
        spec.output.compression = compression;
        let mut recorder = start(&spec);
        let mut sent = Vec::new();
        send_until(&mut recorder, &mut sent, |recorder| {
            outcomes(recorder, |(_, lost)| lost.disk_full) > 0
        });
        assert!(recorder.failure().is_none(), "it is not over");
        let warnings = recorder.progress().warnings();
        assert!(warnings[0].contains("cannot write"), "{warnings:?}");
        let before = written(&recorder);
        std::fs::remove_file(&ballast).expect("it is there");
        send_until(&mut recorder, &mut sent, |recorder| {
            written(recorder) > before
        });
        let finished = finish(recorder);
        assert_eq!(finished.failure, None);
        assert_files_hold_what_was_written(&finished, &sent);
        assert_eq!(lost(&finished, |lost| lost.write_error), 0);
    }
}

#[test]
fn what_somebody_does_to_a_file_being_written_is_noticed_counted_and_survived() {
    type Damage = fn(&Path);
    let truncate: Damage = |part| {
        let file = std::fs::File::options().write(true).open(part);
        let file = file.expect("it is there");
        let half = file.metadata().expect("metadata").len() / 2;
        file.set_len(half).expect("truncate");
    };
    let empty: Damage = |part| std::fs::write(part, b"").expect("truncate");
    let remove: Damage = |part| std::fs::remove_file(part).expect("remove");
    let rename: Damage =
        |part| std::fs::rename(part, part.with_extension("elsewhere")).expect("rename");
    let replace: Damage = |part| {
        std::fs::remove_file(part).expect("remove");
        std::fs::write(part, b"another's").expect("write");
    };
    for (damage, what) in [
        (truncate, "truncated"),
        (empty, "truncated"),
        (remove, "removed"),
        (rename, "removed or renamed"),
        (replace, "removed"),
    ] {
        for compression in [Compression::None, Compression::Zstd(1)] {
            let directory = tempfile::tempdir().expect("tempdir");
            let mut spec = spec(directory.path());
            spec.output.compression = compression;
            let mut recorder = start(&spec);
            let mut sent = Vec::new();
            send_until(&mut recorder, &mut sent, |recorder| written(recorder) > 0);
            let files = capture_files(directory.path());
            damage(&files[0]);
            send_until(&mut recorder, &mut sent, |recorder| {
                !recorder.progress().warnings().is_empty()
            });
            let warnings = recorder.progress().warnings();
            assert!(warnings[0].contains(what), "{warnings:?}");
            let after = written(&recorder);
            send_until(&mut recorder, &mut sent, |recorder| {
                written(recorder) > after
            });
            assert!(recorder.failure().is_none(), "it goes on");
            let finished = finish(recorder);
            assert_eq!(finished.failure, None, "{what}");
            assert!(lost(&finished, |lost| lost.write_error) > 0, "{what}");
            assert_files_hold_what_was_written(&finished, &sent);
            if what == "removed" && files[0].exists() {
                let left = std::fs::read(&files[0]).expect("read");
                assert_eq!(left, b"another's", "it is not ours");
            }
        }
    }
}

#[test]
fn a_file_in_the_way_of_the_next_one_is_left_alone_and_the_capture_goes_on() {
    let directory = tempfile::tempdir().expect("tempdir");
    let mut spec = spec(directory.path());
    spec.output.rotation.packets = Some(100);
    let mut recorder = start(&spec);
    let mut sent = packets(100);
    send(&mut recorder, &sent);
    let next = packets(1);
    let name = name::file_name(
        &spec.name,
        next[0].timestamp,
        2,
        spec.output.format,
        Compression::None,
    );
    let in_the_way = directory.path().join(format!("{name}.part"));
    std::fs::write(&in_the_way, b"another's").expect("write");
    send_until(&mut recorder, &mut sent, |recorder| {
        outcomes(recorder, |(_, lost)| lost.write_error) > 0
    });
    let before = written(&recorder);
    send_until(&mut recorder, &mut sent, |recorder| {
        written(recorder) > before
    });
    let finished = finish(recorder);
    assert_eq!(finished.failure, None);
    assert_files_hold_what_was_written(&finished, &sent);
    assert_eq!(std::fs::read(&in_the_way).expect("read"), b"another's");
}

#[test]
fn a_full_disk_keeps_every_finished_file_and_costs_no_packet_that_had_room() {
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
fn a_capture_stops_writing_before_it_takes_the_last_free_space_and_goes_on_with_what_it_may_remove()
{
    const KEPT: u64 = 4 << 20;
    let Some(mount) = Mount::tmpfs(16 << 20, "") else {
        return;
    };
    let mut spec = spec(mount.path());
    spec.output.retention.min_free = Some(MinFree::Bytes(KEPT));
    let mut recorder = start(&spec);
    let mut sent = Vec::new();
    send_until(&mut recorder, &mut sent, |recorder| {
        outcomes(recorder, |(_, lost)| lost.disk_full) > 0
    });
    let warnings = recorder.progress().warnings();
    assert!(warnings[0].contains("--min-free"), "{warnings:?}");
    // The file that was being written is finished now, and may be removed.
    let before = written(&recorder);
    send_until(&mut recorder, &mut sent, |recorder| {
        written(recorder) > before
    });
    let finished = finish(recorder);
    for (id, (written, discarded)) in (0..).zip(&finished.interfaces) {
        let sent = sent.iter().filter(|packet| packet.interface == id).count();
        assert_eq!(written + discarded.total(), sent as u64);
    }
    assert_in_order(&read_all(mount.path()), &sent);
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

/// A start that fails after the recorder's drops it.
#[test]
fn a_recorder_that_is_dropped_gives_its_directory_free() {
    let directory = tempfile::tempdir().expect("tempdir");
    let mut spec = spec(directory.path());
    spec.output.compression = Compression::Gzip(1);
    spec.output.compress_when = CompressWhen::Rotated;
    drop(start(&spec));
    let begun = Instant::now();
    let second = loop {
        match Recorder::start(&spec, Box::new(|_| None)) {
            Ok(second) => break second,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(30), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    finish(second);
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
    // Files that are created meanwhile make the removal fail.
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

/// Records until the process is killed by the test.
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
    // Bounded, in case nobody kills it.
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
    // This test runs itself again, as the process to be killed.
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
        // Killed in its third file or later, once that contains packets.
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
        // It is removed when it is the oldest, like any other file.
        let mut spec = spec(directory.path());
        spec.output.retention.max_files = Some(1);
        finish(start(&spec));
        assert_eq!(capture_files(directory.path()).len(), 1);
        assert!(!part.exists());
    }
}
