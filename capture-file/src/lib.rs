//! Capture files on disk: pcap and pcapng, plain, gzip or zstd; read, merged in time order and written;
//! their names, and the manifest that a capture keeps of them.

mod codec;
mod error;
pub mod manifest;
mod merge;
pub mod name;
mod options;
mod packet;
mod read;
mod window;
mod write;

pub use codec::decoded;
pub use error::ReadError;
pub use merge::{Input, MergeError, Merged, merge};
pub use name::{Codec, FileName, Kind};
pub use options::{ByteOrder, Opt, OptionIter, OptionList, Options};
pub use packet::{AddressNames, Interface, Item, Packet, PacketBuf, Section, Statistics};
pub use read::CaptureReader;
pub use write::{WriteError, Writer};

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
