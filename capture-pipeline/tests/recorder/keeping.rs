//! Retention, and the manifest's record of it.

use std::{os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use capture_file::manifest::{FileEndReason, Manifest};
use capture_types::{CompressWhen, Compression, Format};

use super::support::{
    SECOND, START, Sent, assert_ledger, capture_files, finish, output_of, packets, read, read_all,
    send, spec, start,
};

fn manifest(directory: &Path) -> Manifest {
    let text = std::fs::read_to_string(directory.join("test.manifest.jsonl")).expect("manifest");
    Manifest::parse(&text)
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).expect("exists").len()
}

#[test]
fn a_capture_that_saw_nothing_leaves_one_valid_file() {
    for format in [Format::Pcapng, Format::Pcap] {
        for compression in [
            Compression::None,
            Compression::Gzip(6),
            Compression::Zstd(3),
        ] {
            let directory = tempfile::tempdir().expect("tempdir");
            let mut spec = spec(directory.path());
            spec.output.format = format;
            spec.output.compression = compression;
            let finished = finish(start(&spec));
            assert_eq!(finished.files.len(), 1);
            let files = capture_files(directory.path());
            assert_eq!(files.len(), 1);
            assert_eq!(read(&files[0]), (Vec::new(), false));
            output_of("capinfos", &[files[0].to_str().expect("UTF-8")]);
        }
    }
}

#[test]
fn exactly_as_many_packets_are_written_as_the_limit_says() {
    let directory = tempfile::tempdir().expect("tempdir");
    let mut spec = spec(directory.path());
    spec.packet_limit = Some(123);
    let mut recorder = start(&spec);
    let sent = packets(200);
    send(&mut recorder, &sent);
    assert!(recorder.limit_reached());
    let finished = finish(recorder);
    assert_ledger(&finished, &sent);
    let stopped: u64 = finished
        .interfaces
        .iter()
        .map(|(_, lost)| lost.stopped)
        .sum();
    assert_eq!(stopped, 77);
    assert_eq!(read_all(directory.path()), sent[..123]);
}

#[test]
fn packets_that_find_every_block_taken_are_counted_and_the_others_written() {
    let directory = tempfile::tempdir().expect("tempdir");
    let mut spec = spec(directory.path());
    // Much slower than packets are sent.
    spec.output.compression = Compression::Gzip(9);
    let mut recorder = start(&spec);
    let some = packets(2_000);
    let mut sent = Vec::new();
    for _ in 0..10 {
        for packet in &some {
            recorder.packet(&packet.packet());
        }
        sent.extend_from_slice(&some);
    }
    let finished = finish(recorder);
    assert_ledger(&finished, &sent);
    let lost: u64 = finished
        .interfaces
        .iter()
        .map(|(_, lost)| lost.queue_full)
        .sum();
    assert!(lost > 0);
    let read = read_all(directory.path());
    assert_eq!(read.len() as u64 + lost, sent.len() as u64);
    let mut sent = sent.iter();
    assert!(read.iter().all(|packet| sent.any(|other| other == packet)));
}

#[test]
fn a_growing_file_shows_its_packets_before_it_is_full() {
    for compression in [
        Compression::None,
        Compression::Gzip(6),
        Compression::Zstd(3),
    ] {
        let directory = tempfile::tempdir().expect("tempdir");
        let mut spec = spec(directory.path());
        spec.output.compression = compression;
        let mut recorder = start(&spec);
        let sent = packets(90);
        // Three times, to check the blocks after a flush as well.
        for shown in [30, 60, 90] {
            send(&mut recorder, &sent[shown - 30..shown]);
            loop {
                recorder.tick(START);
                let files = capture_files(directory.path());
                if length(&files[0]) > 0 {
                    let (packets, cut) = read(&files[0]);
                    if packets.len() == shown {
                        assert!(!cut);
                        assert!(packets == sent[..shown]);
                        break;
                    }
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        finish(recorder);
        assert!(read_all(directory.path()) == sent);
    }
}

#[test]
fn an_interface_that_joins_later_is_in_the_file_with_its_packets() {
    let directory = tempfile::tempdir().expect("tempdir");
    let mut recorder = super::support::start_with(&spec(directory.path()), 1);
    let sent: Vec<Sent> = (0..)
        .zip(packets(60))
        .map(|(number, packet)| Sent {
            interface: number / 30,
            ..packet
        })
        .collect();
    send(&mut recorder, &sent[..30]);
    let id = recorder.add_interface(super::support::interface(1));
    assert_eq!(id.0, 1);
    send(&mut recorder, &sent[30..]);
    assert_ledger(&finish(recorder), &sent);
    assert!(read_all(directory.path()) == sent);
    let files = capture_files(directory.path());
    let file = files[0].to_str().expect("UTF-8");
    let fields = ["-T", "fields", "-e", "frame.interface_name"];
    if let Some(output) = output_of("tshark", &[&["-n", "-r", file], &fields[..]].concat()) {
        let names: Vec<&str> = output.lines().collect();
        assert_eq!(names[..30], ["eth0"; 30]);
        assert_eq!(names[30..], ["eth1"; 30]);
    }
}

#[test]
fn a_file_ends_on_the_clock_also_when_no_packet_comes() {
    let directory = tempfile::tempdir().expect("tempdir");
    let mut spec = spec(directory.path());
    spec.output.rotation.interval = Some(Duration::from_secs(10));
    let mut recorder = start(&spec);
    let sent = packets(10);
    // Nothing yet: the file stays.
    recorder.tick(START - 100 * SECOND);
    recorder.tick(START);
    send(&mut recorder, &sent);
    recorder.tick(START + 9 * SECOND);
    recorder.tick(START + 11 * SECOND);
    // A clock that jumps begins no file without a packet.
    for time in [
        START + 500 * SECOND,
        START - 500 * SECOND,
        START,
        START + SECOND,
    ] {
        recorder.tick(time);
    }
    let finished = finish(recorder);
    assert_ledger(&finished, &sent);
    assert_eq!(finished.files.len(), 1);
    assert_eq!(finished.files[0].entry.ended, Some(FileEndReason::Interval));
}

#[test]
fn a_clock_set_back_begins_one_new_file() {
    let directory = tempfile::tempdir().expect("tempdir");
    let mut spec = spec(directory.path());
    spec.output.rotation.interval = Some(Duration::from_secs(10));
    let mut recorder = start(&spec);
    let sent = packets(10);
    let earlier: Vec<Sent> = sent
        .iter()
        .map(|packet| Sent {
            timestamp: packet.timestamp - 3600 * SECOND,
            ..packet.clone()
        })
        .collect();
    send(&mut recorder, &sent);
    recorder.tick(START + SECOND);
    for packet in &earlier {
        recorder.tick(packet.timestamp);
        send(&mut recorder, std::slice::from_ref(packet));
    }
    let finished = finish(recorder);
    assert_eq!(finished.files.len(), 2);
    assert!(read_all(directory.path()) == [sent, earlier].concat());
}

#[test]
fn the_manifest_says_of_each_file_what_is_true() {
    for when in [CompressWhen::Streaming, CompressWhen::Rotated] {
        let directory = tempfile::tempdir().expect("tempdir");
        let mut spec = spec(directory.path());
        spec.output.compression = Compression::Gzip(1);
        spec.output.compress_when = when;
        spec.output.rotation.packets = Some(100);
        let mut recorder = start(&spec);
        let sent = packets(450);
        send(&mut recorder, &sent);
        let finished = finish(recorder);
        assert_ledger(&finished, &sent);
        let manifest = manifest(directory.path());
        let capture = manifest.capture.expect("a first line");
        assert!(capture.ended.is_some());
        assert_eq!(capture.last_sequence, 5);
        let written: u64 = capture
            .interfaces
            .iter()
            .filter_map(|of| of.ledger.written)
            .sum();
        assert_eq!(written, 450);
        let entries: Vec<_> = finished
            .files
            .iter()
            .map(|file| file.entry.clone())
            .collect();
        assert_eq!(manifest.files, entries);
        let files = capture_files(directory.path());
        assert_eq!(files.len(), 5);
        for (number, (path, entry)) in files.iter().zip(&entries).enumerate() {
            let last = number == 4;
            let plain = when == CompressWhen::Rotated && last;
            assert_eq!(path.extension().is_some_and(|end| end == "gz"), !plain);
            assert!(path.ends_with(&entry.file));
            let (packets, cut) = read(path);
            assert!(!cut);
            assert_eq!(packets, sent[number * 100..][..if last { 50 } else { 100 }]);
            assert_eq!(entry.packets, Some(packets.len() as u64));
            assert_eq!(entry.bytes, length(path));
            assert_eq!(entry.link_types, [1]);
            let time = |packet: Option<&Sent>| packet.map(|packet| packet.timestamp.into());
            assert_eq!(entry.first, time(packets.first()));
            assert_eq!(entry.last, time(packets.last()));
            let ledger = entry.ledger.expect("a ledger");
            assert_eq!(
                ledger.written,
                Some(number as u64 * 100 + packets.len() as u64)
            );
            let mode = std::fs::metadata(path)
                .expect("exists")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
            let path = path.to_str().expect("UTF-8");
            if let Some(sum) = output_of("sha256sum", &[path]) {
                let digest = entry.digest.as_ref().expect("a digest").hexadecimal();
                assert!(sum.starts_with(digest), "{path}");
            }
        }
    }
}

/// Records this many files of 100 packets each under a retention, and returns the numbers of the
/// remaining files.
fn left(directory: &Path, change: impl Fn(&mut capture_types::Retention)) -> Vec<u64> {
    let mut spec = spec(directory);
    spec.output.rotation.packets = Some(100);
    change(&mut spec.output.retention);
    let mut recorder = start(&spec);
    let sent = packets(1_000);
    send(&mut recorder, &sent);
    let finished = finish(recorder);
    assert_eq!(finished.failure, None);
    let manifest = manifest(directory);
    let numbers: Vec<u64> = manifest.files.iter().map(|file| file.sequence).collect();
    assert_eq!(capture_files(directory).len(), numbers.len());
    let removed = manifest.capture.expect("a first line").removed;
    assert_eq!(removed.packets, removed.files * 100);
    numbers
}

#[test]
fn no_more_files_are_removed_than_are_too_many_and_never_anothers() {
    let directory = tempfile::tempdir().expect("tempdir");
    let other = directory
        .path()
        .join("test-1-20260101-000000-000001.pcapng");
    std::fs::write(&other, "another capture's").expect("write");
    assert_eq!(left(directory.path(), |_| ()).len(), 10);
    // The files of the previous capture have the same name and are removed first.
    let numbers = left(directory.path(), |retention| retention.max_files = Some(14));
    assert_eq!(numbers, (7..=20).collect::<Vec<_>>());
    let numbers = left(directory.path(), |retention| retention.max_files = Some(3));
    assert_eq!(numbers, [28, 29, 30]);
    // Numbers are not reused.
    let numbers = left(directory.path(), |retention| retention.max_files = Some(1));
    assert_eq!(numbers, [40]);
    assert!(other.exists());
}

#[test]
fn no_more_bytes_are_removed_than_are_too_many() {
    let directory = tempfile::tempdir().expect("tempdir");
    left(directory.path(), |_| ());
    let sizes: Vec<u64> = capture_files(directory.path())
        .iter()
        .map(|path| length(path))
        .collect();
    // The same packets make the same files: room for the last four and a half.
    let most = sizes[6..].iter().sum::<u64>() + sizes[5] / 2;
    let numbers = left(directory.path(), |retention| {
        retention.max_bytes = Some(most)
    });
    assert_eq!(numbers, [17, 18, 19, 20]);
}
