//! Any text as a manifest: what it says of files is taken or left, and nothing else happens.
#![no_main]

use capture_file::manifest::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = Manifest::parse(text);
});
