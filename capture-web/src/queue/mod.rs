//! Tasks are claimed, worked on and removed. Any number of servers do so on one database.

mod removal;
mod runner;

pub use removal::{Removal, RemovalError};
pub use runner::{Runner, RunnerSettings};
