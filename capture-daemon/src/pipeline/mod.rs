//! The way of a packet in user space: ring buffer, drain, encode, compress, write, retain.

mod block;
mod book;
mod buffer;
mod catalog;
mod compress;
mod copying;
mod digest;
mod directory;
pub mod drain;
pub mod encode;
mod file;
mod holdings;
pub mod interface_counters;
mod lane;
pub mod packet;
mod progress;
pub mod recorder;
mod records;
pub mod repair;
mod retain;
mod ring;
mod squeeze;
mod stdout;
mod system;
mod tally;
pub mod tap;
mod write;

pub use copying::Copying;
pub use directory::DirectoryError;
pub use holdings::{Begun, Held};
pub use progress::{Progress, WRITE_BOUNDS, Writes};
pub use tally::{FailureKind, RecorderFailure};
