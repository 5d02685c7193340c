//! The committed code of the API is what its `.proto` files say. After a change of them:
//! `CAPTURE_PROTO=write cargo test --test generated`

#![cfg(test)]

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use prost::Message as _;
use prost_types::FileDescriptorSet;

const CODE: &str = "capture.v1.rs";
const DESCRIPTORS: &str = "capture.v1.binpb";

/// The `.proto` files in `capture/v1`, relative to this crate.
fn sources(top: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(top.join("capture/v1")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|one| one == "proto"));
    files.sort();
    files
}

#[test]
fn the_generated_code_is_that_of_the_proto_files() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fresh = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        // Packets and file chunks are passed on without another copy.
        .bytes(".capture.v1.Packet.data")
        .bytes(".capture.v1.FileChunk.data")
        .file_descriptor_set_path(fresh.path().join(DESCRIPTORS))
        .out_dir(fresh.path())
        .compile_protos(&sources(top), &[top.to_owned()])
        .unwrap();

    let committed = top.join("src/generated");
    if env::var_os("CAPTURE_PROTO").is_some_and(|value| value == "write") {
        for name in [CODE, DESCRIPTORS] {
            fs::copy(fresh.path().join(name), committed.join(name)).unwrap();
        }
    }
    let cure = "run `CAPTURE_PROTO=write cargo test --test generated`, and commit the result";
    let code = |directory: &Path| fs::read_to_string(directory.join(CODE)).unwrap();
    assert!(code(fresh.path()) == code(&committed), "{CODE}: {cure}");
    // Decoded, because releases of protoc may encode them differently.
    let descriptors = |directory: &Path| {
        let bytes = fs::read(directory.join(DESCRIPTORS)).unwrap();
        FileDescriptorSet::decode(bytes.as_slice()).unwrap()
    };
    assert!(
        descriptors(fresh.path()) == descriptors(&committed),
        "{DESCRIPTORS}: {cure}"
    );
}
