use std::io::Write as _;

use super::*;
use crate::{Interface, Kind, PacketBuf, Writer};

fn packet(timestamp: u64, data: &[u8]) -> PacketBuf {
    PacketBuf {
        timestamp,
        original_length: 250_000,
        data: data.to_vec(),
        ..PacketBuf::default()
    }
}

fn file(name: &str, packets: &[PacketBuf]) -> Vec<u8> {
    let kind = Kind::of(name.as_ref());
    let mut writer = Writer::new(Vec::new(), kind, "a test").unwrap();
    writer.interface(&Interface::new(1, 0)).unwrap();
    for packet in packets {
        writer.packet(packet).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<PacketBuf>, ReadError> {
    let mut reader = CaptureReader::new(bytes)?;
    let mut packets = Vec::new();
    while let Some(item) = reader.next_item()? {
        if let Item::Packet(packet) = item {
            packets.push(packet.to_buf());
        }
    }
    Ok(packets)
}

#[test]
fn every_format_and_compression_gives_back_what_was_written() {
    let packets = [
        packet(1_700_000_000_123_456_789, b"first"),
        packet(1_700_000_000_123_456_790, &[7; 200_000]),
        packet(1_700_000_001_000_000_000, b""),
    ];
    for name in [
        "a.pcapng",
        "a.pcap",
        "a.pcapng.gz",
        "a.pcap.gz",
        "a.pcapng.zst",
        "a.pcap.zst",
    ] {
        assert_eq!(read(&file(name, &packets)).unwrap(), packets, "{name}");
    }
}

#[test]
fn a_file_cut_at_any_byte_gives_its_whole_packets_and_says_that_it_is_cut() {
    let packets: Vec<_> = (0..5).map(|n| packet(n, &[n as u8; 50])).collect();
    for name in ["a.pcapng", "a.pcap"] {
        let bytes = file(name, &packets);
        let whole: Vec<_> = (0..=5).map(|n| file(name, &packets[..n]).len()).collect();
        for length in 1..bytes.len() {
            let mut reader = CaptureReader::new(&bytes[..length]).unwrap();
            let mut count = 0;
            let ending = loop {
                match reader.next_item() {
                    Ok(Some(Item::Packet(packet))) => {
                        assert_eq!(packet.to_buf(), packets[count]);
                        assert_eq!(packet.number, count as u64 + 1);
                        count += 1;
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break true,
                    Err(ReadError::Cut { .. }) => break false,
                    Err(error) => panic!("{name} cut at {length}: {error}"),
                }
            };
            let expected = whole.iter().filter(|end| **end <= length).count();
            assert_eq!(count, expected.saturating_sub(1), "{name} cut at {length}");
            if whole.contains(&length) {
                assert!(ending, "{name} of {length} bytes is whole");
            }
        }
    }
}

#[test]
fn damage_is_told_apart_from_an_end() {
    let bytes = file(
        "a.pcapng.gz",
        &[packet(1, &[1; 5000]), packet(2, &[2; 5000])],
    );
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    assert!(matches!(
        read(&damaged),
        Err(ReadError::Damaged { .. } | ReadError::Cut { .. })
    ));
    assert!(matches!(
        read(&bytes[..bytes.len() - 20]),
        Err(ReadError::Cut { .. })
    ));
    assert!(matches!(
        read(b"this is no capture file, and long enough"),
        Err(ReadError::Damaged { .. })
    ));
    assert_eq!(read(b"").unwrap(), []);
    let mut huge = file("a.pcapng", &[]);
    huge.extend([6, 0, 0, 0, 0xf0, 0xff, 0xff, 0x7f]);
    huge.resize(40 << 20, 0);
    assert!(matches!(read(&huge), Err(ReadError::Damaged { .. })));
}

#[test]
fn members_and_frames_one_after_the_other_are_one_file() {
    let packets = [packet(1, b"one"), packet(2, b"two")];
    let plain = file("a.pcapng", &packets);
    let (front, back) = plain.split_at(plain.len() - 30);
    let mut gzip = Vec::new();
    for part in [front, back] {
        let mut encoder = flate2::write::GzEncoder::new(&mut gzip, flate2::Compression::default());
        encoder.write_all(part).unwrap();
        encoder.finish().unwrap();
    }
    assert_eq!(read(&gzip).unwrap(), packets);
    let frames = [zstd::encode_all(front, 1), zstd::encode_all(back, 1)];
    let zstd: Vec<u8> = frames.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(read(&zstd).unwrap(), packets);
}

/// A pcapng block in a byte order.
fn block(big: bool, kind: u32, body: &[u8]) -> Vec<u8> {
    let number = |value: u32| {
        if big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let length = number(body.len() as u32 + 12);
    [&number(kind)[..], &length, body, &length].concat()
}

/// A body of numbers of 32 bits.
fn numbers(big: bool, values: &[u32]) -> Vec<u8> {
    let number = |value: &u32| {
        if big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    values.iter().flat_map(number).collect()
}

#[test]
fn sections_of_either_byte_order_in_one_file_are_read_with_all_that_they_say() {
    let mut bytes = Vec::new();
    for big in [false, true] {
        let halves = |first: u16, second: u16| {
            let (first, second) = (u32::from(first), u32::from(second));
            numbers(
                big,
                &[if big {
                    first << 16 | second
                } else {
                    second << 16 | first
                }],
            )
        };
        let section = [&numbers(big, &[0x1a2b_3c4d])[..], &halves(1, 0), &[0xff; 8]].concat();
        bytes.extend(block(big, 0x0a0d_0d0a, &section));
        // Microseconds: there is no if_tsresol. This project does not record link type 228.
        let interface = [
            &halves(228, 0)[..],
            &numbers(big, &[2]),
            &halves(2, 3),
            b"if0\0",
        ]
        .concat();
        bytes.extend(block(big, 1, &interface));
        let names = [&halves(1, 9)[..], &[10, 0, 0, 1], b"host\0\0\0\0", &[0; 4]].concat();
        bytes.extend(block(big, 4, &names));
        let packet = [
            &numbers(big, &[0, 0, 7, 2, 60])[..],
            b"ab\0\0",
            &halves(2, 4),
        ]
        .concat();
        bytes.extend(block(big, 6, &[&packet[..], &numbers(big, &[2])].concat()));
        // A comment that claims to be longer than the block: other readers accept the packet as
        // well.
        let packet = [
            &numbers(big, &[0, 0, 8, 2, 60])[..],
            b"cd\0\0",
            &halves(1, 99),
        ]
        .concat();
        bytes.extend(block(big, 6, &packet));
        bytes.extend(block(
            big,
            3,
            &[&numbers(big, &[60])[..], b"ef\0\0"].concat(),
        ));
        let statistics = [
            &numbers(big, &[0, 0, 9])[..],
            &halves(2, 8),
            &numbers(big, &[0, 5]),
            &halves(4, 8),
            if big {
                &[0, 0, 0, 0, 0, 0, 0, 3]
            } else {
                &[3, 0, 0, 0, 0, 0, 0, 0]
            },
        ];
        bytes.extend(block(big, 5, &statistics.concat()));
        bytes.extend(block(big, 77, b"what"));
    }
    let mut reader = CaptureReader::new(&bytes[..]).unwrap();
    let (mut interfaces, mut packets, mut rest) = (0, Vec::new(), 0);
    while let Some(item) = reader.next_item().unwrap() {
        match item {
            Item::Section(_) => {}
            Item::Interface(interface) => {
                assert_eq!((interface.link_type, interface.snaplen), (228, 2));
                assert_eq!(interface.name().as_deref(), Some("if0"));
                interfaces += 1;
            }
            Item::Packet(packet) => packets.push((
                packet.number,
                packet.interface,
                packet.timestamp,
                packet.data.to_vec(),
                packet.direction(),
            )),
            Item::Names(names) => {
                assert_eq!(names[0].address.to_string(), "10.0.0.1");
                assert_eq!(names[0].names, ["host"]);
                rest += 1;
            }
            Item::Statistics(statistics) => {
                assert_eq!(statistics.timestamp, 9_000);
                assert_eq!(statistics.interface + 1, interfaces);
                assert_eq!(statistics.received(), Some(3));
                let start = statistics.options.options().get(2).unwrap();
                assert_eq!(start.words(), Some(5_000));
                rest += 1;
            }
        }
    }
    let out = Some(capture_types::Direction::Out);
    let expected = [0_u64, 1].map(|section| {
        let packet = |number, time, data: &[u8], direction| {
            (
                section * 3 + number,
                section as u32,
                time,
                data.to_vec(),
                direction,
            )
        };
        [
            packet(1, 7_000, b"ab", out),
            packet(2, 8_000, b"cd", None),
            packet(3, 0, b"ef", None),
        ]
    });
    assert_eq!(packets, expected.as_flattened());
    assert_eq!((interfaces, rest), (2, 4));
    assert_eq!(reader.malformed_options(), 2);
    assert_eq!(reader.offset(), bytes.len() as u64);
}

#[test]
fn classic_files_of_either_byte_order_and_resolution_are_read() {
    for big in [false, true] {
        for (magic, nanoseconds) in [(0xa1b2_c3d4, 1000), (0xa1b2_3c4d, 1)] {
            let header = numbers(big, &[magic, 0, 0, 0, 65_535, 0xf000_0000 | 113]);
            let record = numbers(big, &[3, 7, 4, 60]);
            let bytes = [&header[..], &record, b"data"].concat();
            let mut reader = CaptureReader::new(&bytes[..]).unwrap();
            let Some(Item::Interface(interface)) = reader.next_item().unwrap() else {
                panic!("an interface");
            };
            assert_eq!(interface.link_type, 113);
            let Some(Item::Packet(packet)) = reader.next_item().unwrap() else {
                panic!("a packet");
            };
            assert_eq!(packet.timestamp, 3_000_000_000 + 7 * nanoseconds);
            assert_eq!((packet.data, packet.original_length), (&b"data"[..], 60));
            assert!(reader.next_item().unwrap().is_none());
        }
    }
}

#[test]
fn every_byte_changed_or_removed_ends_in_an_answer() {
    let whole = file("a.pcapng", &[packet(1, b"one"), packet(2, b"another")]);
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            let _ = read(&bytes);
            bytes.remove(at);
            let _ = read(&bytes);
        }
    }
}
