//! Generates the API's types, client and server from the `.proto` files.

use std::{env, error::Error, path::PathBuf};

const FILES: [&str; 10] = [
    "capture/v1/capture.proto",
    "capture/v1/capture_service.proto",
    "capture/v1/cluster_service.proto",
    "capture/v1/file.proto",
    "capture/v1/file_service.proto",
    "capture/v1/ledger.proto",
    "capture/v1/node_service.proto",
    "capture/v1/packet.proto",
    "capture/v1/pod.proto",
    "capture/v1/spec.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let descriptors = PathBuf::from(env::var("OUT_DIR")?).join("capture_v1_descriptor.bin");
    tonic_prost_build::configure()
        // Packets and file chunks are passed on without another copy.
        .bytes(".capture.v1.Packet.data")
        .bytes(".capture.v1.FileChunk.data")
        .file_descriptor_set_path(descriptors)
        .compile_protos(&FILES, &["."])?;
    Ok(())
}
