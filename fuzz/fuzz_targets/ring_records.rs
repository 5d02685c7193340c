//! Any bytes as the memory of a ring buffer: packets are found or not, without accesses out of
//! bounds.
#![no_main]

use capture_pipeline::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = fuzzing::ring_records(bytes) {
        panic!("{error}");
    }
});
