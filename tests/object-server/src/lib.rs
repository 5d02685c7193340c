//! An S3 server to test with: a real implementation of the protocol ([`s3s_fs`]) over a directory, on a
//! loopback port that the system chooses. A test tells it to fail with [`Faults`].
//!
//! It checks signatures, checksums and conditions of requests. It is no store for data that matters.

mod faults;
mod server;

pub use faults::{Faults, Request};
pub use server::{ACCESS_KEY, ObjectServer, SECRET_KEY};
