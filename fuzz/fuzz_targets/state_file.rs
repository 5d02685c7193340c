//! Any bytes as the state of a capture that an earlier daemon has left.
#![no_main]

use capture_daemon::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzzing::state_file(bytes));
