//! Capture files on disk: pcap and pcapng, plain, gzip or zstd; read, merged in time order and written;
//! their names, and the manifest that a capture keeps of them.

mod decode;
pub mod manifest;
mod merge;
pub mod name;
mod read;
mod window;
mod write;

pub use decode::decoded;
pub use merge::{Input, MergeError, Merged, merge};
pub use name::FileName;
pub use read::{CaptureReader, Item, Packet, ReadError};
pub use write::{Container, Kind, WriteError, Writer};

/// Bytes in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
