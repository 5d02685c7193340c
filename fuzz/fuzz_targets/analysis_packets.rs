//! Packets of any bytes at any time, of every link type and on several interfaces: decoder and analysers
//! process them, and every packet is counted once.
#![no_main]

use arbitrary::Arbitrary;
use capture_analysis::{Analysis, Packet, Settings, Sources};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Given {
    elapsed: u32,
    interface: u8,
    link_type: u8,
    longer: u16,
    data: Vec<u8>,
}

const LINK_TYPES: [u16; 8] = [1, 0, 9, 101, 104, 108, 113, 276];

fuzz_target!(|packets: Vec<Given>| {
    let mut settings = Settings::default();
    settings.flows.live = 64;
    let mut analysis = Analysis::new(&settings);
    let mut timestamp = 1_700_000_000_000_000_000;
    for (frame, given) in (1..).zip(&packets) {
        timestamp += u64::from(given.elapsed);
        analysis.packet(&Packet {
            timestamp,
            interface: u32::from(given.interface % 3),
            link_type: LINK_TYPES[usize::from(given.link_type) % LINK_TYPES.len()],
            original_length: given.data.len() as u32 + u32::from(given.longer),
            data: &given.data,
            file: 0,
            frame,
        });
    }
    let report = analysis.finish(Sources::default());
    assert_eq!(report.inventory.packets, packets.len() as u64);
});
