//! A packet's path in user space: ring buffer, drain, encode, compress, write, finalize, retain.

mod block;
mod buffer;
mod checkpoints;
pub mod clock;
mod compress;
mod copying;
mod digest;
mod direct_file;
pub mod drain;
pub mod encode;
mod exported;
mod file_size;
mod finalize;
#[doc(hidden)]
pub mod fuzzing;
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
