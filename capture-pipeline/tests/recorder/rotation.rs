//! Rotation loses nothing and repeats nothing: the concatenated files are what was sent.

use capture_file::{CaptureReader, Item, manifest::FileEndReason};
use capture_pipeline::{packet::InterfaceId, recorder::Recorder};
use capture_types::{CompressWhen, Compression, Format, Rotation};

use super::support::{
    SECOND, START, Sent, as_pcap, assert_ledger, capture_files, finish, of_link_type,
    packets_of_two_link_types, read_all, send, spec, start, start_with,
};

const COMPRESSIONS: [(Compression, CompressWhen); 5] = [
    (Compression::None, CompressWhen::Streaming),
    (Compression::Gzip(1), CompressWhen::Streaming),
    (Compression::Zstd(1), CompressWhen::Streaming),
    (Compression::Gzip(1), CompressWhen::Rotated),
    (Compression::Zstd(1), CompressWhen::Rotated),
];

/// Sends packets under a rotation, in each format and compression, and checks that the files
/// contain them all, once and in order; calls `check` with the finished files' entries.
fn assert_nothing_lost(
    rotation: Rotation,
    check: impl Fn(&[capture_pipeline::recorder::FinishedFile], Compression),
) {
    let sent = packets_of_two_link_types(2_500);
    for format in [Format::Pcapng, Format::Pcap] {
        for (compression, when) in COMPRESSIONS {
            let directory = tempfile::tempdir().expect("tempdir");
            let mut spec = spec(directory.path());
            spec.output.format = format;
            spec.output.compression = compression;
            spec.output.compress_when = when;
            spec.output.rotation = rotation;
            let mut recorder = start(&spec);
            for chunk in sent.chunks(500) {
                send(&mut recorder, chunk);
                recorder.tick(chunk[chunk.len() - 1].timestamp);
            }
            let finished = finish(recorder);
            assert_eq!(finished.failure, None);
            assert_ledger(&finished, &sent);
            assert_eq!(capture_files(directory.path()).len(), finished.files.len());
            let read = read_all(directory.path());
            let case = format!("{format:?} {compression:?} {when:?}");
            for raw in [false, true] {
                let (read, sent) = match format {
                    Format::Pcapng => (of_link_type(&read, raw), of_link_type(&sent, raw)),
                    Format::Pcap => (as_pcap(&read, raw), as_pcap(&sent, raw)),
                    Format::Text => panic!("a file of lines holds no packets to read"),
                };
                assert!(read == sent, "{case}");
            }
            check(&finished.files, compression);
        }
    }
}

#[test]
fn a_capture_in_one_file_is_what_was_sent() {
    assert_nothing_lost(Rotation::default(), |files, _| {
        for file in files {
            assert_eq!(file.entry.ended, Some(FileEndReason::End));
        }
    });
}

#[test]
fn files_rotated_by_size_are_within_it_and_joined_what_was_sent() {
    const SIZE: u64 = 1 << 20;
    let rotation = Rotation {
        size: Some(SIZE),
        ..Rotation::default()
    };
    assert_nothing_lost(rotation, |files, compression| {
        assert!(files.len() > 3 || compression != Compression::None);
        for file in files {
            assert!(file.entry.bytes <= SIZE || compression != Compression::None);
        }
    });
}

#[test]
fn files_rotated_by_packets_have_as_many_and_joined_are_what_was_sent() {
    let rotation = Rotation {
        packets: Some(300),
        ..Rotation::default()
    };
    assert_nothing_lost(rotation, |files, _| {
        for file in files {
            match file.entry.ended {
                Some(FileEndReason::Packets) => assert_eq!(file.entry.packets, Some(300)),
                ended => assert_eq!(ended, Some(FileEndReason::End)),
            }
        }
    });
}

#[test]
fn files_rotated_on_the_clock_hold_their_interval_and_joined_are_what_was_sent() {
    let rotation = Rotation {
        interval: Some(std::time::Duration::from_secs(1)),
        ..Rotation::default()
    };
    assert_nothing_lost(rotation, |files, _| {
        assert!(files.len() >= 3);
        for file in files {
            let interval = |time: u64| (time - START) / SECOND;
            let first = file
                .entry
                .first
                .as_ref()
                .map(|time| interval(time.nanoseconds));
            let last = file
                .entry
                .last
                .as_ref()
                .map(|time| interval(time.nanoseconds));
            assert_eq!(first, last);
        }
    });
}

/// Sends ten packets of an interface.
fn send_ten(recorder: &mut Recorder, interface: u32) {
    let packet = |number| Sent {
        timestamp: START + number,
        interface,
        out: false,
        original_length: 60,
        bytes: vec![7; 60],
    };
    let packets: Vec<Sent> = (0..10).map(packet).collect();
    send(recorder, &packets);
}

/// The names of the interfaces that a file describes and has statistics of.
fn described(path: &std::path::Path) -> (Vec<String>, Vec<String>) {
    let mut reader = CaptureReader::new(std::fs::File::open(path).expect("a file")).expect("reads");
    let (mut names, mut counted) = (Vec::new(), Vec::new());
    while let Some(item) = reader.next_item().expect("reads") {
        match item {
            Item::Interface(interface) => names.push(interface.name().expect("a name")),
            Item::Statistics(statistics) => {
                counted.push(names[statistics.interface as usize].clone());
            }
            _ => {}
        }
    }
    (names, counted)
}

#[test]
fn an_interface_that_has_left_is_described_until_a_file_has_its_final_counts() {
    let directory = tempfile::tempdir().expect("tempdir");
    let mut spec = spec(directory.path());
    spec.output.rotation.packets = Some(10);
    let mut recorder = start_with(&spec, 2);
    send_ten(&mut recorder, 0);
    recorder.retire_interface(InterfaceId(1));
    for interface in [0, 0, 1, 0] {
        send_ten(&mut recorder, interface);
    }
    let finished = finish(recorder);
    assert_eq!(finished.failure, None);
    let written: Vec<u64> = finished.interfaces.iter().map(|one| one.0).collect();
    assert_eq!(written, [40, 10]);
    let files: Vec<_> = finished
        .files
        .iter()
        .map(|file| described(&file.path))
        .collect();
    let (both, one) = (vec!["eth0", "eth1"], vec!["eth0"]);
    // In the second file are its final counts, in the fourth are packets that came late.
    let expected = [&both, &both, &one, &both, &one];
    assert_eq!(files.len(), expected.len());
    for ((names, counted), expected) in files.iter().zip(expected) {
        assert_eq!(names, expected);
        assert_eq!(counted, expected);
    }
}
