use std::io::Write as _;

use super::{
    super::{Container, Kind, Writer},
    *,
};

fn packet(timestamp: u64, data: &[u8]) -> Packet {
    Packet {
        timestamp,
        interface: 0,
        original_length: 250_000,
        data: data.to_vec(),
        options: Vec::new(),
    }
}

fn interface() -> InterfaceDescriptionBlock<'static> {
    InterfaceDescriptionBlock {
        linktype: pcap_file::DataLink::ETHERNET,
        snaplen: 0,
        options: vec![InterfaceDescriptionOption::IfTsResol(9)],
    }
}

fn file(name: &str, packets: &[Packet]) -> Vec<u8> {
    let kind = Kind::of(name.as_ref());
    let mut writer = Writer::new(Vec::new(), kind, "a test").unwrap();
    writer.interface(interface()).unwrap();
    for packet in packets {
        writer.packet(packet.clone()).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<Packet>, ReadError> {
    let mut reader = CaptureReader::new(bytes)?;
    let mut packets = Vec::new();
    while let Some(item) = reader.next_item()? {
        if let Item::Packet(packet) = item {
            packets.push(packet);
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
    assert_eq!(Kind::of("x.pcap.zst".as_ref()).container, Container::Pcap);
    assert_eq!(Kind::of("x".as_ref()), Kind::PCAPNG);
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
                        assert_eq!(packet, packets[count]);
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

#[test]
fn timestamps_in_other_units_become_nanoseconds() {
    let units = |resolution, offset| {
        let mut block = interface();
        block.options = vec![
            InterfaceDescriptionOption::IfTsResol(resolution),
            InterfaceDescriptionOption::IfTsOffset(offset),
        ];
        in_nanoseconds(block).map(|(units, _)| units)
    };
    assert_eq!(units(6, 0).unwrap().nanoseconds(5), Some(5_000));
    assert_eq!(
        units(0x80 | 1, 10).unwrap().nanoseconds(3),
        Some(11_500_000_000)
    );
    assert!(units(127, 0).is_err());
}
