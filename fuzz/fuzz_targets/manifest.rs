//! Any text as a manifest: its lines are parsed or skipped, and nothing else happens.
#![no_main]

use capture_file::manifest::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = Manifest::parse(text);
});
