//! Any text as the daemon's configuration file: it is accepted or rejected with reasons.
#![no_main]

use capture_daemon::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // A filter in it would be compiled, without limits here.
    if !text.contains("filter") {
        fuzzing::configuration(text);
    }
});
