//! Packets to send, and reading files back.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::AtomicBool,
};

use capture_pipeline::{
    packet::{InterfaceDescription, InterfaceId, Packet},
    recorder::{Finished, Recorder, RecorderSpec},
};
use capture_tests::gate;
use capture_types::{
    CaptureName, CompressWhen, Compression, DigestAlgorithm, Direction, Format, LinkType,
    OutputSpec, Retention, Rotation,
};
use pcap_file::{
    pcap::PcapReader,
    pcapng::{
        Block, PcapNgReader,
        blocks::{
            enhanced_packet::EnhancedPacketOption,
            interface_description::InterfaceDescriptionOption,
        },
    },
};

/// 2026-01-01T00:00:00Z.
pub(crate) const START: u64 = 1_767_225_600_000_000_000;
pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const SNAPLEN: u32 = 262_144;

/// A packet that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) timestamp: u64,
    pub(crate) interface: u32,
    pub(crate) out: bool,
    pub(crate) original_length: u32,
    pub(crate) bytes: Vec<u8>,
}

impl Sent {
    pub(crate) fn packet(&self) -> Packet<'_> {
        Packet {
            timestamp: self.timestamp,
            interface: InterfaceId(self.interface),
            direction: if self.out {
                Direction::Out
            } else {
                Direction::In
            },
            packet_type: 0,
            original_length: self.original_length,
            bytes: &self.bytes,
        }
    }
}

/// Packets of every length up to 9,000 bytes and a few of 65,568, a millisecond apart, on two
/// interfaces of one link type; all different.
pub(crate) fn packets(count: u32) -> Vec<Sent> {
    packets_on(2, count)
}

/// The same on three interfaces, the last of which has another link type.
pub(crate) fn packets_of_two_link_types(count: u32) -> Vec<Sent> {
    packets_on(3, count)
}

fn packets_on(interfaces: u64, count: u32) -> Vec<Sent> {
    let mut state = 7_u64;
    let mut next = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    (0..count)
        .map(|number| {
            let length = match number % 50 {
                0 => 65_568,
                1 => 0,
                _ => next() % 3_000 * (next() % 4),
            };
            let mut bytes = vec![0x5a; length as usize];
            // Half of it is incompressible.
            for piece in bytes[..length as usize / 2].chunks_mut(4) {
                piece.copy_from_slice(&(next() as u32).to_le_bytes()[..piece.len()]);
            }
            for (byte, mark) in bytes.iter_mut().zip(number.to_be_bytes()) {
                *byte = mark;
            }
            Sent {
                timestamp: START + u64::from(number) * 1_000_000 + next() % 1_000,
                interface: (next() % interfaces) as u32,
                out: next() % 2 == 0,
                original_length: (length + next() % 2 * 100) as u32,
                bytes,
            }
        })
        .collect()
}

pub(crate) fn name() -> CaptureName {
    CaptureName::new("test").expect("valid")
}

pub(crate) fn spec(directory: &Path) -> RecorderSpec {
    RecorderSpec {
        name: name(),
        output: OutputSpec {
            directory: directory.to_owned(),
            format: Format::Pcapng,
            compression: Compression::None,
            compress_when: CompressWhen::Streaming,
            rotation: Rotation::default(),
            retention: Retention::default(),
            digest: Some(DigestAlgorithm::Sha256),
        },
        snaplen: SNAPLEN,
        filter: Some("udp or vlan".to_owned()),
        packet_limit: None,
        export_sink: None,
        export: Vec::new(),
        checkpoint_every: Some(1 << 20),
    }
}

/// A recorder with three interfaces; the last one has no link-layer header.
pub(crate) fn start(spec: &RecorderSpec) -> Recorder {
    start_with(spec, 3)
}

pub(crate) fn start_with(spec: &RecorderSpec, interfaces: u32) -> Recorder {
    let mut recorder = Recorder::start(spec, Box::new(|_| None)).expect("start");
    for number in 0..interfaces {
        recorder.add_interface(interface(number));
    }
    recorder
}

pub(crate) fn interface(number: u32) -> InterfaceDescription {
    InterfaceDescription {
        name: format!("eth{number}"),
        ifindex: number + 2,
        comment: String::new(),
        description: if number == 0 { "uplink" } else { "" }.to_owned(),
        link_type: link_type(number),
        mac: (number < 2).then_some([2, 0, 0, 0, 0, number as u8]),
    }
}

fn link_type(interface: u32) -> LinkType {
    if interface == 2 {
        LinkType::Raw
    } else {
        LinkType::Ethernet
    }
}

/// Sends with waits: a test's packets come faster than any network's.
pub(crate) fn send(recorder: &mut Recorder, packets: &[Sent]) {
    for packet in packets {
        while recorder.is_backlogged() && recorder.failure().is_none() {
            std::thread::yield_now();
        }
        recorder.packet(&packet.packet());
    }
}

pub(crate) fn finish(recorder: Recorder) -> Finished {
    recorder.finish(&AtomicBool::new(false))
}

/// Every packet sent is in the ledger once: written, or discarded for a reason.
pub(crate) fn assert_ledger(finished: &Finished, sent: &[Sent]) {
    let mut by_interface = BTreeMap::new();
    for packet in sent {
        *by_interface.entry(packet.interface).or_insert(0) += 1;
    }
    for (id, (written, discarded)) in (0..).zip(&finished.interfaces) {
        let sent = by_interface.get(&id).copied().unwrap_or(0);
        assert_eq!(written + discarded.total(), sent, "interface {id}");
    }
    let in_files: u64 = finished
        .files
        .iter()
        .filter_map(|file| file.entry.packets)
        .sum();
    let written: u64 = finished.interfaces.iter().map(|(written, _)| written).sum();
    assert_eq!(in_files, written);
}

/// Files of the directory that belong to the capture, in the order of their numbers.
pub(crate) fn capture_files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .expect("directory")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| {
            let name = path.file_name().expect("a file").to_string_lossy();
            // `test-` and a year.
            name.starts_with("test-20") && name.contains(".pcap")
        })
        .collect();
    // The first file is named after the time of the test, the others after their packets'.
    files.sort_by_key(|path| sequence(path));
    files
}

fn sequence(path: &Path) -> u64 {
    let name = path.file_name().expect("a file").to_string_lossy();
    let stem = name.split('.').next().expect("a stem");
    stem.rsplit('-')
        .next()
        .expect("a number")
        .parse()
        .expect("a number")
}

fn open(path: &Path) -> Box<dyn Read> {
    let file = File::open(path).expect("open");
    let name = path.to_string_lossy();
    let name = name.strip_suffix(".part").unwrap_or(&name);
    if name.ends_with(".gz") {
        Box::new(flate2::read::MultiGzDecoder::new(file))
    } else if name.ends_with(".zst") {
        Box::new(zstd::Decoder::new(file).expect("zstd"))
    } else {
        Box::new(file)
    }
}

/// A file's packets up to its end or to where it is cut off; returns whether it was cut off.
pub(crate) fn read(path: &Path) -> (Vec<Sent>, bool) {
    let mut packets = Vec::new();
    if path.to_string_lossy().contains(".pcapng") {
        let mut reader = PcapNgReader::new(open(path)).expect("section header");
        // The numbers in the capture of the file's interfaces.
        let mut interfaces: Vec<u32> = Vec::new();
        loop {
            match reader.next_block() {
                None => return (packets, false),
                Some(Err(_)) => return (packets, true),
                Some(Ok(Block::EnhancedPacket(block))) => {
                    let flags = block.options.iter().find_map(|option| match option {
                        EnhancedPacketOption::Flags(flags) => Some(*flags),
                        _ => None,
                    });
                    packets.push(Sent {
                        timestamp: block.timestamp.as_nanos() as u64,
                        interface: interfaces[block.interface_id as usize],
                        out: flags.expect("flags") & 0b11 == 0b10,
                        original_length: block.original_len,
                        bytes: block.data.into_owned(),
                    });
                }
                Some(Ok(Block::InterfaceDescription(block))) => {
                    let name = block.options.iter().find_map(|option| match option {
                        InterfaceDescriptionOption::IfName(name) => name.strip_prefix("eth"),
                        _ => None,
                    });
                    interfaces.push(name.expect("a name").parse().expect("a number"));
                }
                Some(Ok(_)) => {}
            }
        }
    }
    let mut reader = PcapReader::new(open(path)).expect("header");
    let raw = reader.header().datalink == pcap_file::DataLink::RAW;
    loop {
        match reader.next_packet() {
            None => return (packets, false),
            Some(Err(_)) => return (packets, true),
            // The format knows neither interface nor direction.
            Some(Ok(packet)) => packets.push(Sent {
                timestamp: packet.timestamp.as_nanos() as u64,
                interface: if raw { 2 } else { 0 },
                out: false,
                original_length: packet.orig_len,
                bytes: packet.data.into_owned(),
            }),
        }
    }
}

/// All packets of all files, which are complete, in the order of the files.
pub(crate) fn read_all(directory: &Path) -> Vec<Sent> {
    capture_files(directory)
        .iter()
        .flat_map(|path| {
            let (packets, cut) = read(path);
            assert!(!cut, "{path:?} is cut short");
            packets
        })
        .collect()
}

/// The packets of one link type, which are in files of their own.
pub(crate) fn of_link_type(packets: &[Sent], raw: bool) -> Vec<Sent> {
    let of = packets
        .iter()
        .filter(|packet| (packet.interface == 2) == raw);
    of.cloned().collect()
}

/// What a pcap file can tell of packets of one link type.
pub(crate) fn as_pcap(packets: &[Sent], raw: bool) -> Vec<Sent> {
    let of = of_link_type(packets, raw).into_iter();
    of.map(|packet| Sent {
        interface: if raw { 2 } else { 0 },
        out: false,
        ..packet
    })
    .collect()
}

/// The output of a command; `None`, after a report, where it is not installed.
pub(crate) fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    if !gate::has_programs(&[program]).expect("writes to stderr") {
        return None;
    }
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect("starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    Some(String::from_utf8(output.stdout).expect("UTF-8"))
}
