//! Capture files are read in a child process, which may do nothing but read its input and write its output: a
//! hostile file harms nobody.
//!
//! The server writes one [`Order`] to the child's stdin, as a line of JSON, and the child answers with lines of
//! JSON ([`Answer`]). When the server is gone, stdin ends, and so does the child.

mod analyse;
mod child;
mod extract;
mod merge;
mod order;
mod process;
mod redact;
mod sandbox;

pub use child::run;
pub use extract::PACKETS;
pub use order::{Answer, Bounds, Failure, Order, Summary, Work};
pub use process::{Outcome, Progress, Worker, WorkerError};
