//! What the fuzz targets call: readers of input from outside that are private otherwise.

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

/// Reads a ring buffer whose memory holds these bytes: the producer's position in its first eight bytes,
/// and the records. Gives the packets found.
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
    // No more than there is room for: this much the kernel answers for.
    let produced = u64::from_le_bytes(produced) % (size as u64 + 1);
    let mut contents = vec![0; page];
    contents.extend(produced.to_ne_bytes());
    contents.resize(2 * page, 0);
    // The data stands twice, one after the other.
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
    // A refusal is as good as any other answer, here and below.
    let _ = serde_json::from_slice::<Record>(bytes);
}

/// Reads a configuration file and checks it.
pub fn configuration(text: &str) {
    filters::compile_in_this_process();
    if let Ok((layers, tables)) = config::read(Some(("fuzz", text)), std::iter::empty(), &[]) {
        let _ = Config::check(&layers, &tables);
    }
}

/// Converts a request to start a capture. Its filters are left out: they have targets of their own.
pub fn start_request(bytes: &[u8], defaults: &Defaults) {
    if let Ok(mut request) = v1::StartCaptureRequest::decode(bytes) {
        if let Some(spec) = &mut request.spec {
            spec.filter.clear();
            spec.inner_filter = None;
        }
        grpc::convert_start(request, defaults);
    }
}

/// Converts a request to change a capture, likewise.
pub fn update_request(bytes: &[u8]) {
    if let Ok(mut request) = v1::UpdateCaptureRequest::decode(bytes) {
        if let Some(spec) = &mut request.spec {
            spec.filter.clear();
            spec.inner_filter = None;
        }
        grpc::convert_update(&request);
    }
}
