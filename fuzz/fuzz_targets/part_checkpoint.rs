//! Any bytes as the checkpoint of a growing file, also with the right digest: it is read or rejected, and one that
//! is read is written and read again as the same.
#![no_main]

use capture_file::{PartCheckpoint, digest};
use capture_types::DigestAlgorithm;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let read = |content: &[u8]| {
        if let Ok(checkpoint) = PartCheckpoint::decode(content) {
            assert_eq!(PartCheckpoint::decode(&checkpoint.encode()), Ok(checkpoint));
        }
    };
    read(bytes);
    let Ok(known) = digest(bytes, DigestAlgorithm::Xxh128) else {
        return;
    };
    read(&[bytes, format!("\n{known}\n").as_bytes()].concat());
});
