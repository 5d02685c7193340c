//! Capture files to upload.

use capture_tests::frame::{IPV4, Ipv4, ethernet, ipv4, tcp, udp};

/// Nanoseconds since 1970, of the first packet.
const START: u64 = 1_750_000_000_000_000_000;
const MILLISECOND: u64 = 1_000_000;

/// A request that is sent again eight times, and DNS queries without answers.
pub(crate) fn bad() -> Vec<u8> {
    let mut frames = vec![request("/cart"); 9];
    frames.extend((0..12).map(|id| query(id, "shop.example")));
    file(&frames)
}

/// The same without what is conspicuous.
pub(crate) fn good() -> Vec<u8> {
    file(&[request("/cart")])
}

/// Names that would be markup, code, or lines, if they were taken for it.
pub(crate) fn hostile() -> Vec<u8> {
    let mut frames = vec![request("/<script>window.hurt=1</script>?q='\"")];
    frames.push(query(1, "<svg/onload=hurt()>.example"));
    file(&frames)
}

fn request(target: &str) -> Vec<u8> {
    let text = format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    packet(6, &tcp(40_000, 8080, text.as_bytes()))
}

fn query(id: u16, name: &str) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    packet(17, &udp(50_000 + id, 53, &message))
}

fn packet(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let header = Ipv4 {
        protocol,
        ..Ipv4::default()
    };
    ethernet(IPV4, &ipv4(header, payload))
}

/// Classic pcap with nanoseconds, Ethernet; a packet every 300 ms.
fn file(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(0xa1b2_3c4d_u32.to_le_bytes());
    bytes.extend([2, 0, 4, 0]);
    for field in [0, 0, 262_144, 1_u32] {
        bytes.extend(field.to_le_bytes());
    }
    let mut time = START;
    for frame in frames {
        let length = frame.len() as u64;
        for field in [time / 1_000_000_000, time % 1_000_000_000, length, length] {
            bytes.extend(u32::try_from(field).unwrap_or(u32::MAX).to_le_bytes());
        }
        bytes.extend(frame);
        time += 300 * MILLISECOND;
    }
    bytes
}
