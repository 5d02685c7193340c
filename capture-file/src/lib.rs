//! Capture files on disk: pcap, pcapng and lines; plain, gzip or zstd. They are read, merged by timestamp,
//! written and repaired; also a capture's directory, the names of its files, and its manifest.

pub mod checkpoint;
mod codec;
mod digest;
mod directory;
mod error;
mod index;
mod lines;
pub mod manifest;
mod merge;
pub mod name;
mod names;
mod options;
mod packet;
mod part_checkpoint;
mod read;
pub mod repair;
mod save_cost;
mod totals;
mod version;
mod window;
mod write;

pub use codec::decoded;
pub use digest::{Hasher, digest};
pub use directory::{Directory, DirectoryError};
pub use error::ReadError;
pub use index::{FileIndex, Recompressed};
pub use lines::LineReader;
pub use merge::{Input, MergeError, Merged, merge};
pub use name::{Codec, FileName, Kind, Naming};
pub use options::{ByteOrder, Opt, OptionIter, OptionList, Options};
pub use packet::{AddressNames, Interface, Item, Packet, PacketBuf, Section, Statistics};
pub use part_checkpoint::{PartCheckpoint, Position, Tail, boot_id};
pub use read::CaptureReader;
pub use totals::{Baseline, FileTotals};
pub use version::FileVersion;
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
