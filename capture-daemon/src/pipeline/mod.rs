//! The way of a packet in user space: ring buffer, drain, encode, compress, write, finalize, retain.

mod block;
mod buffer;
mod compress;
mod copying;
mod digest;
mod direct_file;
pub mod drain;
pub mod encode;
mod file_size;
mod finalize;
mod idle;
pub mod interface_counters;
mod interfaces;
mod messages;
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
mod system;
pub mod tap;
mod write;

pub use copying::Copying;
pub use outcome::{FailureKind, RecorderFailure};
pub use progress::{Progress, WRITE_BOUNDS, Writes};
