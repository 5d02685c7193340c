//! Capture files to upload, and those that come back.

use std::io::Write as _;

use capture_tests::frame::{IPV4, Ipv4, ethernet, ipv4, tcp, udp};

/// Bytes before the first packet.
const HEAD: usize = 24;

/// A pcap file with this many SYNs that nobody answers.
pub(crate) fn syns(count: u32) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for number in 0..count {
        record(&mut file, number, &syn(number));
    }
    file
}

/// Adds a packet, so many hundredths of a second after the first.
fn record(file: &mut Vec<u8>, time: u32, packet: &[u8]) {
    let length = u32::try_from(packet.len()).unwrap();
    for word in [
        1_700_000_000 + time / 100,
        time % 100 * 10_000,
        length,
        length,
    ] {
        file.extend(word.to_le_bytes());
    }
    file.extend(packet);
}

/// A compressed file that takes long to analyse: these packets many times.
pub(crate) fn long(times: usize) -> Vec<u8> {
    let packets = syns(10_000);
    let member = |bytes: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    };
    let mut file = member(&packets[..HEAD]);
    file.extend(member(&packets[HEAD..]).repeat(times));
    file
}

/// A pcap file with names and paths that are nobody's business: HTTP requests and DNS queries without answers.
pub(crate) fn secrets() -> Vec<u8> {
    let packet = |protocol, payload: &[u8]| {
        let header = Ipv4 {
            protocol,
            ..Ipv4::default()
        };
        ethernet(IPV4, &ipv4(header, payload))
    };
    let request = "GET /login?user=bob HTTP/1.1\r\nHost: www.secret.example\r\n\r\n";
    let request = packet(6, &tcp(40_000, 8080, request.as_bytes()));
    let query = |id: u16| {
        let mut message = id.to_be_bytes().to_vec();
        message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        message.extend(b"\x03www\x06secret\x07example\0\0\x01\0\x01");
        packet(17, &udp(50_000 + id, 53, &message))
    };
    let mut file = syns(0);
    let frames = std::iter::repeat_n(request, 9).chain((0..12).map(query));
    for (number, frame) in (0..).zip(frames) {
        record(&mut file, number * 30, &frame);
    }
    file
}

/// A compressed file of so many flows, each of one packet.
pub(crate) fn flows(count: u32) -> Vec<u8> {
    let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let packet = syns(1);
    file.write_all(&packet[..HEAD]).unwrap();
    let mut packet = packet[HEAD..].to_vec();
    for number in 0..count {
        // The last bytes of the sender's address, after the record's head, Ethernet and 13 bytes of IPv4.
        packet[16 + 14 + 13..][..3].copy_from_slice(&number.to_be_bytes()[1..]);
        file.write_all(&packet).unwrap();
    }
    file.finish().unwrap()
}

fn syn(number: u32) -> Vec<u8> {
    let port = 40_000 + u16::try_from(number % 100).unwrap();
    let mut packet = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    packet.extend([
        0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ]);
    packet.extend(port.to_be_bytes());
    packet.extend(80_u16.to_be_bytes());
    packet.extend((1000 + number).to_be_bytes());
    packet.extend([0; 4]);
    packet.extend([0x50, 2, 32, 0, 0, 0, 0, 0]);
    packet
}

/// The packets in a capture file.
pub(crate) fn packets(file: &[u8]) -> u64 {
    let mut reader = capture_file::CaptureReader::new(file).unwrap();
    let mut count = 0;
    while let Some(item) = reader.next_item().unwrap() {
        count += u64::from(matches!(item, capture_file::Item::Packet(_)));
    }
    count
}
