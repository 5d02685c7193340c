//! Capture files on this side: read whatever their format and compression, merged, written.

mod decode;
mod merge;
mod read;
mod window;
mod write;

pub use decode::decoded;
pub use merge::{Input, MergeError, Merged, merge};
pub use read::{CaptureReader, Item, Packet, ReadError};
pub use write::{Container, Kind, WriteError, Writer};
