//! The entry point of a fuzz target: the reader of the ring buffers, which is private otherwise.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::OwnedFd,
};

use capture_kernel::rings::RingMap;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use crate::records::Records;

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

/// Reads all packets in a ring buffer's memory, and returns their number.
fn read_ring(descriptor: OwnedFd, size: u32) -> io::Result<u64> {
    let ring = RingMap { descriptor, size };
    let mut records = Records::new(&ring)?;
    let mut packets = 0;
    loop {
        let before = records.position();
        let until = records.look();
        let mut run = records.run(until);
        while let Some((header, bytes)) = run.packet() {
            assert_eq!(bytes.len(), header.captured_length as usize);
            packets += 1;
            run.advance();
        }
        run.settle();
        if records.position() == before {
            return Ok(packets);
        }
    }
}
