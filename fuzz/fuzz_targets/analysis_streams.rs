//! Any bytes as what applications say to each other: headers are right, so that the analysers behind them,
//! and the pages on what they found, get to see the bytes.
#![no_main]

use arbitrary::Arbitrary;
use capture_analysis::{Analysis, Packet, Settings, Sources, render};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Carrier {
    Tcp { skip: u8, flags: u8, window: u16 },
    Udp,
    Icmp,
    Arp,
}

#[derive(Debug, Arbitrary)]
struct Given {
    elapsed: u16,
    carrier: Carrier,
    port: u8,
    from_client: bool,
    bytes: Vec<u8>,
}

/// Ports behind which an analyser waits, and one for streams of media.
const PORTS: [u16; 8] = [53, 443, 80, 67, 22, 5353, 40_000, 30_000];

fuzz_target!(|packets: Vec<Given>| {
    let mut analysis = Analysis::new(&Settings::default());
    let mut timestamp = 1_700_000_000_000_000_000;
    let mut next = [1_000_u32; 2];
    for (frame, given) in (1..).zip(&packets) {
        timestamp += u64::from(given.elapsed) * 1_000_000;
        let data = frame_of(given, &mut next);
        analysis.packet(&Packet {
            timestamp,
            interface: 0,
            link_type: 1,
            original_length: data.len() as u32,
            data: &data,
            file: 0,
            frame,
        });
    }
    let report = analysis.finish(Sources::default());
    assert_eq!(report.inventory.packets, packets.len() as u64);
    let mut page = String::new();
    render::html(&report, 10, &mut page).expect("a page");
    assert!(!page.contains("<script"));
    let terminal = render::terminal(&report, 10);
    assert!(!terminal.contains(|character: char| character.is_control() && character != '\n'));
    for table in render::tables(&report) {
        table.write(&mut std::io::sink()).expect("a table");
    }
});

fn frame_of(given: &Given, next: &mut [u32; 2]) -> Vec<u8> {
    let bytes = &given.bytes[..given.bytes.len().min(1_400)];
    let port = PORTS[usize::from(given.port) % PORTS.len()];
    let ports = if given.from_client {
        [50_000, port]
    } else {
        [port, 50_000]
    };
    let mut payload = ports.map(u16::to_be_bytes).concat();
    let protocol = match &given.carrier {
        Carrier::Arp => {
            let mut frame = vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6];
            frame.extend([0, 1, 8, 0, 6, 4, 0]);
            frame.extend(bytes);
            return frame;
        }
        Carrier::Tcp {
            skip,
            flags,
            window,
        } => {
            let (own, other) = if given.from_client { (0, 1) } else { (1, 0) };
            let sequence = next[own].wrapping_add(u32::from(*skip % 4) * 100);
            payload.extend(sequence.to_be_bytes());
            payload.extend(next[other].to_be_bytes());
            payload.extend([0x50, *flags]);
            payload.extend(window.to_be_bytes());
            payload.extend([0; 4]);
            next[own] = sequence.wrapping_add(bytes.len() as u32);
            6
        }
        Carrier::Udp => {
            payload.extend((bytes.len() as u16 + 8).to_be_bytes());
            payload.extend([0, 0]);
            17
        }
        Carrier::Icmp => {
            payload.clear();
            1
        }
    };
    payload.extend(bytes);
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    frame.extend((payload.len() as u16 + 20).to_be_bytes());
    frame.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
    let ends = [[10, 0, 0, 1], [198, 51, 100, 1]];
    let [first, second] = if given.from_client {
        ends
    } else {
        [ends[1], ends[0]]
    };
    frame.extend(first);
    frame.extend(second);
    frame.extend(payload);
    frame
}
