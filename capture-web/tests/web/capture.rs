//! Capture files to upload.

/// A pcap file with this many SYNs that nobody answers.
pub(crate) fn syns(count: u32) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for number in 0..count {
        let packet = syn(number);
        let length = u32::try_from(packet.len()).unwrap();
        for word in [
            1_700_000_000 + number / 100,
            number % 100 * 10_000,
            length,
            length,
        ] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    file
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
