//! The web page of packet captures and its HTTP API: captures are started and watched, files uploaded, analysed
//! and their reports shared.
//!
//! `http` takes requests, `access` knows who sent them, `database` has tasks and sessions, `objects` the files,
//! `queue` claims tasks, and `worker` works on them in a child process that may do nothing else.

pub mod access;
pub mod api;
mod audit;
pub mod cli;
pub mod database;
pub mod http;
pub mod live;
mod metrics;
pub mod objects;
pub mod page;
pub mod queue;
mod run;
mod scratch;
pub mod settings;
pub mod worker;

use std::path::Path;

/// A new id of a task: 128 random bits in hexadecimal, which nobody guesses.
fn new_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(capture_file::hex(&bytes))
}

/// Bytes free on the file system of a path.
fn free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}
