//! Entry points of the fuzz targets: parsers of outside input that are private otherwise.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::OwnedFd,
};

use capture_proto::v1;
use prost::Message as _;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use crate::{
    filters,
    grpc::{self, Defaults},
    manager::Record,
    pipeline::read_ring,
    serve::config::{self, Config},
};

/// Reads a ring buffer whose memory contains these bytes: the producer's position in the first eight
/// bytes, and the records. Returns the number of packets found.
///
/// # Errors
///
/// No memory for the ring.
pub fn ring_records(bytes: &[u8]) -> io::Result<u64> {
    let page = rustix::param::page_size();
    let size = (bytes.len() + 1).next_power_of_two().max(page);
    let memory = memfd_create("ring", MemfdFlags::CLOEXEC)?;
    ftruncate(&memory, 2 * (page + size) as u64)?;
    let mut file = File::from(memory);
    let (position, records) = bytes.split_at(bytes.len().min(8));
    let mut produced = [0; 8];
    produced[..position.len()].copy_from_slice(position);
    // No more than the ring's size, which the kernel guarantees.
    let produced = u64::from_le_bytes(produced) % (size as u64 + 1);
    let mut contents = vec![0; page];
    contents.extend(produced.to_ne_bytes());
    contents.resize(2 * page, 0);
    // The data is mapped twice, one copy after the other.
    for _ in 0..2 {
        contents.extend_from_slice(records);
        contents.resize(contents.len().next_multiple_of(size.max(page)), 0);
    }
    file.write_all(&contents)?;
    let size = u32::try_from(size).map_err(io::Error::other)?;
    read_ring(OwnedFd::from(file), size)
}

/// Reads a state file of a capture.
pub fn state_file(bytes: &[u8]) {
    // A rejection is as good as any other result, here and below.
    let _ = serde_json::from_slice::<Record>(bytes);
}

/// Reads a configuration file and checks it.
pub fn configuration(text: &str) {
    filters::compile_in_this_process();
    if let Ok((layers, tables)) = config::read(Some(("fuzz", text)), std::iter::empty(), &[]) {
        let _ = Config::check(&layers, &tables);
    }
}

/// Converts a request to start a capture. Its filters are removed: they have separate fuzz targets.
pub fn start_request(bytes: &[u8], defaults: &Defaults) {
    if let Ok(mut request) = v1::StartCaptureRequest::decode(bytes) {
        if let Some(spec) = &mut request.spec {
            spec.filter.clear();
            spec.inner_filter = None;
        }
        grpc::convert_start(request, defaults);
    }
}

/// Converts a request to change a capture; also without filters.
pub fn update_request(bytes: &[u8]) {
    if let Ok(mut request) = v1::UpdateCaptureRequest::decode(bytes) {
        if let Some(spec) = &mut request.spec {
            spec.filter.clear();
            spec.inner_filter = None;
        }
        grpc::convert_update(&request);
    }
}
