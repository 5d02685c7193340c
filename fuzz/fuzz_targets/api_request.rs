//! Any bytes as a request to start or to change a capture: it is converted or rejected with
//! reasons.
#![no_main]

use std::path::PathBuf;

use capture_daemon::{fuzzing, grpc::Defaults};
use capture_types::{Compression, MinFree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let defaults = Defaults {
        ring_size: 8 << 20,
        compression: Compression::None,
        rotation_size: None,
        max_files: None,
        min_free: MinFree::Bytes(0),
        data_dir: PathBuf::from("/nonexistent"),
    };
    fuzzing::start_request(bytes, &defaults);
    fuzzing::update_request(bytes);
});
