//! Packets for tests: every kind that pcap-filter has a name for, varied and mutated, from a fixed
//! seed.

/// SplitMix64: small, seedable, the same on all platforms.
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

const MACS: [[u8; 6]; 6] = [
    [2, 0, 0, 0, 0, 1],
    [2, 0, 0, 0, 0, 2],
    [2, 0, 0, 0, 0, 3],
    [0xff; 6],
    [1, 0, 0x5e, 0, 0, 1],
    [0x33, 0x33, 0, 0, 0, 1],
];
const PORTS: [u16; 13] = [
    80, 443, 53, 22, 8080, 0, 65535, 1, 15, 445, 50000, 4789, 6081,
];

fn address4(random: &mut Random) -> [u8; 4] {
    let last = 1 + random.below(5) as u8;
    match random.below(8) {
        0..5 => [10, 0, 0, last],
        5 => [192, 168, 1, last],
        6 => random.pick(&[
            [224, 0, 0, 1],
            [255, 255, 255, 255],
            [0, 0, 0, 0],
            [10, 0, 0, 255],
        ]),
        _ => [172, 16, last, 1],
    }
}

fn address6(random: &mut Random) -> [u8; 16] {
    let mut address = [0; 16];
    address[0] = 0xfd;
    address[15] = 1 + random.below(4) as u8;
    match random.below(6) {
        0 => address[..2].copy_from_slice(&[0xfe, 0x80]),
        1 => address[..2].copy_from_slice(&[0xff, 0x02]),
        2 => address[7] = 1,
        _ => {}
    }
    address
}

fn transport(random: &mut Random, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let (from, to) = (random.pick(&PORTS), random.pick(&PORTS));
    let mut bytes = Vec::new();
    match protocol {
        6 => {
            bytes.extend(from.to_be_bytes());
            bytes.extend(to.to_be_bytes());
            bytes.extend(random.bytes(8));
            let words = if random.below(3) == 0 { 8 } else { 5 };
            bytes.push(words << 4);
            bytes.push(random.pick(&[2, 0x12, 0x10, 0x18, 4, 1, 0x20, 0xc2]));
            bytes.extend(random.bytes(6));
            bytes.resize(usize::from(words) * 4, 1);
        }
        17 => {
            bytes.extend(from.to_be_bytes());
            bytes.extend(to.to_be_bytes());
            bytes.extend((payload.len() as u16 + 8).to_be_bytes());
            bytes.extend([0, 0]);
        }
        132 => {
            bytes.extend(from.to_be_bytes());
            bytes.extend(to.to_be_bytes());
            bytes.extend(random.bytes(8));
            bytes.push(random.pick(&[0, 1, 3]));
            bytes.extend([0, 0, 4]);
        }
        1 => bytes.extend([
            random.pick(&[0, 8, 3, 5, 11, 12]),
            random.pick(&[0, 3]),
            0,
            0,
        ]),
        58 => bytes.extend([random.pick(&[128, 129, 133, 134, 135, 136]), 0, 0, 0]),
        2 => bytes.extend([random.pick(&[0x11, 0x16]), 0, 0, 0]),
        _ => bytes.extend(random.bytes(8)),
    }
    bytes.extend(payload);
    bytes
}

const PROTOCOLS4: [u8; 20] = [
    6, 6, 6, 6, 17, 17, 17, 1, 2, 132, 47, 50, 51, 103, 112, 9, 6, 17, 1, 4,
];
const PROTOCOLS6: [u8; 16] = [6, 6, 6, 17, 17, 17, 58, 58, 132, 44, 0, 50, 51, 60, 103, 59];

fn ipv4(random: &mut Random, protocol: u8, body: &[u8]) -> Vec<u8> {
    let words = if random.below(5) == 0 {
        5 + random.below(11) as u8
    } else {
        5
    };
    let fragment: u16 = match random.below(8) {
        0 => 0x2000,
        1 => random.below(0x2000) as u16,
        2 => 0x4000,
        _ => 0,
    };
    let mut bytes = vec![0x40 | words, random.pick(&[0, 0xb8, 1, 3])];
    bytes.extend((u16::from(words) * 4 + body.len() as u16).to_be_bytes());
    bytes.extend(random.bytes(2));
    bytes.extend(fragment.to_be_bytes());
    bytes.extend([random.pick(&[1, 63, 64, 255, 32]), protocol, 0, 0]);
    bytes.extend(address4(random));
    bytes.extend(address4(random));
    bytes.resize(usize::from(words) * 4, 1);
    bytes.extend(body);
    bytes
}

fn ipv6(random: &mut Random, protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend([protocol, random.pick(&[1, 64, 255])]);
    bytes.extend(address6(random));
    bytes.extend(address6(random));
    bytes.extend(body);
    bytes
}

/// An IPv4 or IPv6 packet, including extension headers and fragments.
pub(super) fn ip_packet(random: &mut Random) -> (u16, Vec<u8>) {
    let length = random.pick(&[0, 4, 18, 40, 100, 300, 1400]);
    let mut payload = random.bytes(length);
    if random.below(4) == 0 {
        payload.splice(..payload.len().min(4), *b"GET ");
    }
    if random.below(2) == 0 {
        let protocol = random.pick(&PROTOCOLS4);
        let body = transport(random, protocol, &payload);
        return (0x0800, ipv4(random, protocol, &body));
    }
    let protocol = random.pick(&PROTOCOLS6);
    let inner = random.pick(&[6, 17, 58]);
    let body = match protocol {
        // Fragment, hop-by-hop, destination options: 8 bytes that name the next header.
        0 | 44 | 60 => {
            let mut body = vec![inner, 0, 0, random.pick(&[0, 1, 0x18]), 0, 0, 0, 0];
            body.extend(transport(random, inner, &payload));
            body
        }
        protocol => transport(random, protocol, &payload),
    };
    (0x86dd, ipv6(random, protocol, &body))
}

fn arp(random: &mut Random) -> Vec<u8> {
    let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, 1 + random.below(4) as u8];
    bytes.extend(random.pick(&MACS));
    bytes.extend(address4(random));
    bytes.extend(random.pick(&MACS));
    bytes.extend(address4(random));
    bytes
}

/// The data after the Ethernet addresses: type or length, and the rest.
fn ethernet_body(random: &mut Random, depth: usize) -> Vec<u8> {
    let typed = |kind: u16, body: &[u8]| {
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend(body);
        bytes
    };
    match random.below(if depth < 3 { 20 } else { 10 }) {
        0..8 => {
            let (kind, packet) = ip_packet(random);
            typed(kind, &packet)
        }
        8 => {
            let body = arp(random);
            typed(random.pick(&[0x0806, 0x0806, 0x8035]), &body)
        }
        9 => {
            let kind = random.pick(&[
                0x88cc, 0x6003, 0x6004, 0x6002, 0x6001, 0x809b, 0x80f3, 0x8137, 0x8863, 0x88a8,
                0x1234, 0x22f4,
            ]);
            let body = random.bytes(60);
            typed(kind, &body)
        }
        10..14 => {
            let tag: u16 = random.pick(&[5, 100, 200, 0x2005, 0xf064]);
            let mut bytes = random
                .pick(&[0x8100_u16, 0x8100, 0x88a8, 0x9100])
                .to_be_bytes()
                .to_vec();
            bytes.extend(tag.to_be_bytes());
            bytes.extend(ethernet_body(random, depth + 1));
            bytes
        }
        14 => {
            let mut body = Vec::new();
            let labels = 1 + random.below(2);
            for label in 1..=labels {
                let value: u32 = random.pick(&[1000, 1024, 16]);
                let bottom = u32::from(label == labels) << 8;
                body.extend((value << 12 | bottom | 64).to_be_bytes());
            }
            let (_, packet) = ip_packet(random);
            body.extend(packet);
            typed(random.pick(&[0x8847, 0x8848]), &body)
        }
        15 => {
            let (kind, packet) = ip_packet(random);
            let mut body = vec![0x11, 0, 0, random.pick(&[7, 8])];
            body.extend((packet.len() as u16 + 2).to_be_bytes());
            body.extend(if kind == 0x0800 { [0, 0x21] } else { [0, 0x57] });
            body.extend(packet);
            typed(0x8864, &body)
        }
        16 | 17 => {
            let packet = tunnelled(random, depth);
            typed(if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd }, &packet)
        }
        _ => {
            let (dsap, control) = (
                random.pick(&[0x42_u8, 0xfe, 0xe0, 0xf0, 0xaa, 6]),
                random.pick(&[3_u8, 0, 1, 5, 9, 0x63, 0x43, 0x6f, 0xe3, 0xaf, 0x87, 0x0f]),
            );
            let mut body = vec![dsap, dsap, control];
            match dsap {
                0xaa => body.extend([0, 0, 0, 0x80, 0xf3]),
                0xfe => body.extend([
                    random.pick(&[0x83, 0x81, 0x82]),
                    0x14,
                    1,
                    0,
                    random.pick(&[15, 16, 17, 18, 20, 24, 25, 26, 27]),
                ]),
                _ => {}
            }
            body.extend(random.bytes(50));
            typed(body.len() as u16, &body)
        }
    }
}

/// An IP packet with an Ethernet frame in VXLAN or Geneve.
pub(super) fn tunnelled(random: &mut Random, depth: usize) -> Vec<u8> {
    let geneve = random.below(2) == 0;
    let port: u16 = match (random.below(4), geneve) {
        (0, _) => random.pick(&PORTS),
        (_, true) => 6081,
        (_, false) => 4789,
    };
    let mut payload = if geneve {
        let words = random.pick(&[0_u8, 0, 1, 3, 63]);
        let mut header = vec![words, random.pick(&[0, 0x40, 0x80])];
        header.extend(random.pick(&[[0x65, 0x58], [0x65, 0x58], [0x65, 0x58], [0x08, 0x00]]));
        header.extend([0, 0, random.pick(&[5, 6]), 0]);
        header.extend(random.bytes(usize::from(words) * 4));
        header
    } else {
        vec![8, 0, 0, 0, 0, 0, random.pick(&[5, 6]), 0]
    };
    payload.extend(ethernet(random, depth + 1));
    let mut udp = random.pick(&PORTS).to_be_bytes().to_vec();
    udp.extend(port.to_be_bytes());
    udp.extend((payload.len() as u16 + 8).to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    if random.below(2) == 0 {
        ipv4(random, 17, &udp)
    } else {
        ipv6(random, 17, &udp)
    }
}

/// An Ethernet frame.
pub(super) fn ethernet(random: &mut Random, depth: usize) -> Vec<u8> {
    let mut bytes = random.pick(&MACS).to_vec();
    bytes.extend(random.pick(&MACS));
    bytes.extend(ethernet_body(random, depth));
    bytes
}

/// A packet that begins with its IP header.
pub(super) fn raw(random: &mut Random) -> Vec<u8> {
    if random.below(8) == 0 {
        tunnelled(random, 0)
    } else {
        ip_packet(random).1
    }
}

/// An IP packet or other data after a "cooked" header, version 2 (LINKTYPE_LINUX_SLL2).
pub(super) fn sll2(random: &mut Random) -> Vec<u8> {
    let body = ethernet_body(random, 0);
    let mut bytes = body[..2].to_vec();
    bytes.extend([0, 0, 0, 0, 0, random.pick(&[1, 2, 3])]);
    bytes.extend([0, 1, random.pick(&[0, 1, 2, 3, 4]), 6]);
    bytes.extend(random.pick(&MACS));
    bytes.extend([0, 0]);
    bytes.extend(&body[2..]);
    bytes
}

/// `count` packets made by `make`; every third one has a few bytes changed, mostly in its headers.
pub(super) fn many(seed: u64, count: usize, make: impl Fn(&mut Random) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed);
    (0..count)
        .map(|index| {
            let mut packet = make(&mut random);
            if index % 3 == 2 {
                for _ in 0..=random.below(4) {
                    let reach = if random.below(4) == 0 {
                        packet.len()
                    } else {
                        60
                    };
                    let at = random.below(reach.min(packet.len()));
                    packet[at] = match random.below(3) {
                        0 => packet[at] ^ 1 << random.below(8),
                        1 => random.next() as u8,
                        _ => packet[at].wrapping_add(1),
                    };
                }
            }
            packet
        })
        .collect()
}

/// An IP packet in an Ethernet frame, with up to two tags.
pub(super) fn framed(random: &mut Random, packet: &[u8]) -> Vec<u8> {
    let mut bytes = random.pick(&MACS).to_vec();
    bytes.extend(random.pick(&MACS));
    for _ in 0..random.below(3) {
        bytes.extend(random.pick(&[0x8100_u16, 0x88a8, 0x9100]).to_be_bytes());
        bytes.extend([0, 5]);
    }
    let kind: u16 = if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd };
    bytes.extend(kind.to_be_bytes());
    bytes.extend(packet);
    bytes
}

/// The packet without the outer VLAN tag in its bytes, if it has one.
pub(super) fn without_tag(packet: &[u8]) -> Option<Vec<u8>> {
    let kind = u16::from_be_bytes([*packet.get(12)?, *packet.get(13)?]);
    if !crate::ir::VLAN_TYPES.contains(&kind.into()) {
        return None;
    }
    let behind = packet.get(16..).unwrap_or_default();
    Some([&packet[..12], behind].concat())
}
