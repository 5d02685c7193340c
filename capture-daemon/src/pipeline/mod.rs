//! A packet's path in user space: ring buffer, drain, encode, compress, write, finalize, retain.

mod block;
mod buffer;
mod compress;
mod copying;
mod digest;
mod direct_file;
pub mod drain;
pub mod encode;
mod exported;
mod file_size;
mod finalize;
mod idle;
mod inbox;
pub mod interface_counters;
mod interfaces;
mod messages;
mod names;
mod open_file;
mod outcome;
mod output;
pub mod packet;
mod progress;
mod recompress;
pub mod recorder;
mod records;
mod retain;
mod ring;
mod stdout;
mod stream;
mod system;
pub mod tap;
mod write;

pub use copying::Copying;
pub use exported::ExportSink;
pub use outcome::{FailureKind, RecorderFailure};
pub use progress::{Progress, WRITE_BOUNDS, Writes};

/// Reads all packets in a ring buffer's memory, and returns their number.
pub(crate) fn read_ring(descriptor: std::os::fd::OwnedFd, size: u32) -> std::io::Result<u64> {
    let ring = crate::kernel::rings::RingMap { descriptor, size };
    let mut records = records::Records::new(&ring)?;
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
