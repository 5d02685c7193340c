//! Files cut at every byte.

use std::{
    fs::{self, File},
    io::{Seek as _, Write as _},
};

use super::{directory, scan, scan::Extent};
use crate::{
    Baseline, Codec, Interface, Kind, PacketBuf, Writer,
    digest::digest,
    manifest::{FileEndReason, Manifest},
};
use capture_types::{CaptureName, DigestAlgorithm, Format, time};

pub(super) const START: u64 = 1_767_225_600_123_456_789;

/// A file as the recorder writes it, with the ends of its header and of each packet.
pub(super) struct Sample {
    pub(super) bytes: Vec<u8>,
    pub(super) ends: Vec<usize>,
}

pub(super) fn name() -> CaptureName {
    CaptureName::new("a").expect("valid")
}

impl Sample {
    pub(super) fn new(format: Format) -> Self {
        let bytes = |packets: u8| {
            let packets = (0..packets).map(|number| PacketBuf {
                timestamp: START + u64::from(number),
                original_length: 100,
                data: vec![number; usize::from(number) * 7],
                ..PacketBuf::default()
            });
            if format == Format::Text {
                let lines = packets.map(|packet| {
                    let time = time::rfc3339(packet.timestamp);
                    format!("{time} eth0 In {}\n", packet.data.len())
                });
                return lines.collect::<String>().into_bytes();
            }
            let kind = Kind {
                format,
                codec: Codec::Plain,
            };
            let mut writer = Writer::new(Vec::new(), kind, "a").expect("memory");
            let interface = Interface::new(1, 100).named("eth0");
            writer.interface(&interface).expect("memory");
            for packet in packets {
                writer.packet(&packet).expect("memory");
            }
            writer.finish().expect("memory")
        };
        Self {
            bytes: bytes(12),
            ends: (0..=12).map(|packets| bytes(packets).len()).collect(),
        }
    }

    /// Packets that are whole in the first `bytes` bytes.
    fn packets(&self, bytes: usize) -> usize {
        self.ends[1..].iter().filter(|end| **end <= bytes).count()
    }
}

pub(super) const FORMATS: [(Format, &str); 3] = [
    (Format::Pcapng, "pcapng"),
    (Format::Pcap, "pcap"),
    (Format::Text, "txt"),
];

pub(super) fn compress(bytes: &[u8], suffix: &str) -> Vec<u8> {
    if suffix == ".gz" {
        let mut member = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
        member.write_all(bytes).expect("memory");
        member.finish().expect("memory")
    } else {
        zstd::encode_all(bytes, 1).expect("memory")
    }
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("tempfile");
    file.write_all(bytes).expect("write");
    file.rewind().expect("rewind");
    file
}

fn whole(file: &File, name: &str) -> Extent {
    let whole = scan::whole(file, Kind::of(name.as_ref())).expect("read");
    assert!(whole.link_types.len() <= 1);
    whole.extent
}

fn times(whole: &Extent) -> (Option<u64>, Option<u64>) {
    (whole.first, whole.last)
}

#[test]
fn a_plain_file_cut_anywhere_keeps_every_packet_that_is_whole_and_nothing_else() {
    for (format, extension) in FORMATS {
        let sample = Sample::new(format);
        let file = file(&sample.bytes);
        for cut in (0..=sample.bytes.len()).rev() {
            file.set_len(cut as u64).expect("cut");
            let whole = whole(&file, &format!("a.{extension}"));
            let packets = sample.packets(cut);
            let case = format!("{extension} cut at {cut}: {whole:?}");
            assert_eq!(whole.packets, packets as u64, "{case}");
            if packets > 0 {
                assert_eq!(whole.stored, sample.ends[packets] as u64, "{case}");
                assert_eq!(whole.raw, whole.stored, "{case}");
                let last = START + packets as u64 - 1;
                assert_eq!(times(&whole), (Some(START), Some(last)), "{case}");
            } else {
                assert!(whole.stored <= cut as u64, "{case}");
                assert_eq!(times(&whole), (None, None), "{case}");
            }
        }
    }
}

#[test]
fn a_compressed_file_cut_anywhere_keeps_every_whole_member() {
    for (format, extension) in FORMATS {
        for suffix in [".gz", ".zst"] {
            let sample = Sample::new(format);
            let mut bytes = Vec::new();
            // The ends of members: compressed, and before compression.
            let mut ends = vec![(0, 0)];
            let mut begin = 0;
            for packets in [1, 2, 6, 7, 12] {
                let end = sample.ends[packets];
                bytes.extend(compress(&sample.bytes[begin..end], suffix));
                ends.push((bytes.len(), end));
                begin = end;
            }
            let file = file(&bytes);
            for cut in (0..=bytes.len()).rev() {
                file.set_len(cut as u64).expect("cut");
                let name = format!("a.{extension}{suffix}");
                let whole = whole(&file, &name);
                let kept = ends.iter().rev().find(|end| end.0 <= cut);
                let &(stored, raw) = kept.expect("nothing at least");
                let case = format!("{name} cut at {cut}: {whole:?}");
                assert_eq!(whole.stored, stored as u64, "{case}");
                assert_eq!(whole.raw, raw as u64, "{case}");
                assert_eq!(whole.packets, sample.packets(raw) as u64, "{case}");
            }
        }
    }
}

#[test]
fn a_member_that_ends_within_a_packet_counts_only_with_the_next_one() {
    for suffix in [".gz", ".zst"] {
        let sample = Sample::new(Format::Pcap);
        let parts = [0, sample.ends[3], sample.ends[5] + 9, sample.ends[8]];
        let members: Vec<_> = parts
            .windows(2)
            .map(|part| compress(&sample.bytes[part[0]..part[1]], suffix))
            .collect();
        let packets = |count: usize| {
            let file = file(&members[..count].concat());
            whole(&file, &format!("a.pcap{suffix}")).packets
        };
        assert_eq!([packets(1), packets(2), packets(3)], [3, 3, 8]);
    }
}

#[test]
fn garbage_behind_what_was_written_is_cut_off() {
    for (format, extension) in FORMATS {
        let sample = Sample::new(format);
        for garbage in [
            &[0; 5000][..],
            &[0xff; 5000],
            b"\n\n\n",
            b"neither a packet nor a line\n",
        ] {
            for suffix in ["", ".gz", ".zst"] {
                let mut bytes = match suffix {
                    "" => sample.bytes.clone(),
                    _ => compress(&sample.bytes, suffix),
                };
                let sound = bytes.len() as u64;
                bytes.extend_from_slice(garbage);
                let name = format!("a.{extension}{suffix}");
                let whole = whole(&file(&bytes), &name);
                let case = format!("{name} and {:?}...", &garbage[..3]);
                assert_eq!((whole.packets, whole.stored), (12, sound), "{case}");
            }
        }
    }
}

#[test]
fn what_a_dead_recorder_left_gets_its_name_and_its_line_in_the_manifest() {
    let root = tempfile::tempdir().expect("tempdir");
    let sample = Sample::new(Format::Pcapng);
    let cut = sample.ends[5] + 3;
    let part = |sequence: u32, end: &str| format!("a-20260101-000000-{sequence:06}.{end}.part");
    let put = |name: &str, bytes: &[u8]| fs::write(root.path().join(name), bytes).expect("write");
    put(&part(1, "pcapng"), &sample.bytes[..cut]);
    put(&part(2, "pcapng"), &[]);
    put(&part(3, "pcapng"), &sample.bytes[..sample.ends[0]]);
    let lines = Sample::new(Format::Text);
    put(&part(4, "txt.zst"), &compress(&lines.bytes, ".zst"));
    // It had its final name, and no line in the manifest.
    put("a-20260101-000000-000005.pcapng", &sample.bytes);
    let begun = Baseline {
        sequence: 1,
        ..Baseline::default()
    };
    let recovered = directory(root.path(), &name(), Some(&begun)).expect("repaired");
    let added = recovered.added.expect("it is known how it began");
    assert_eq!((added.files, added.packets), (2, 24), "all but the first");
    let repaired = recovered.files;
    let packets: Vec<_> = repaired.iter().map(|one| (one.packets, one.cut)).collect();
    let head = sample.ends[0] as u64;
    assert_eq!(packets[..2], [(5, 3), (0, 0)]);
    assert_eq!(packets[2].0, 0, "{head} bytes are no packet");
    assert_eq!(packets[3], (12, 0));
    let mut left: Vec<_> = fs::read_dir(root.path())
        .expect("list")
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .filter(|name| !name.starts_with('.'))
        .collect();
    left.sort();
    let finished = "a-20260101-000000-000001.pcapng";
    let text = "a-20260101-000000-000004.txt.zst";
    let whole = "a-20260101-000000-000005.pcapng";
    assert_eq!(left, [finished, text, whole, "a.manifest.jsonl"]);
    let content = fs::read(root.path().join(finished)).expect("read");
    assert_eq!(content, sample.bytes[..sample.ends[5]]);
    let manifest = fs::read_to_string(root.path().join("a.manifest.jsonl")).expect("read");
    let manifest = Manifest::parse(&manifest);
    assert_eq!(manifest.files[0].packets, Some(5));
    assert_eq!(manifest.files[0].ended, Some(FileEndReason::Interrupted));
    assert_eq!(manifest.files[1].packets, Some(12));
    let unentered = &manifest.files[2];
    assert_eq!((unentered.packets, unentered.ended), (Some(12), None));
    let last = manifest.files[1].last.as_ref().map(|last| last.nanoseconds);
    assert_eq!(last, Some(START + 11));
    for file in &manifest.files {
        let stored = fs::read(root.path().join(&file.file)).expect("read");
        let digest = digest(&stored[..], DigestAlgorithm::default()).expect("digest");
        assert_eq!(file.digest, Some(digest), "{}", file.file);
    }
    let again = directory(root.path(), &name(), None).expect("again");
    assert_eq!((again.files, again.added), (vec![], None));
}
