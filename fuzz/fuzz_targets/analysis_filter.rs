//! Any text as an expression, on any packet: an answer or an error comes of it, in bounded time.
#![no_main]

use capture_analysis::{Filter, Packet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|given: (&str, u8, Vec<u8>)| {
    let (expression, link_type, data) = given;
    let Ok(mut filter) = Filter::parse(expression) else {
        return;
    };
    for link_type in [1, u16::from(link_type), 113, 276] {
        let packet = Packet {
            timestamp: 0,
            interface: 0,
            link_type,
            original_length: data.len() as u32,
            data: &data,
            file: 0,
            frame: 1,
        };
        filter.matches(&packet);
    }
});
