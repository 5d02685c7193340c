//! An S3 server to test with: a real implementation of the protocol ([`s3s_fs`]) over a directory, on a
//! loopback port that the system chooses. A test tells it to fail with [`Faults`].
//!
//! It also speaks the XML API of Google Cloud Storage, as far as that differs from S3: tokens, names of headers,
//! conditions.
//!
//! It checks signatures, checksums and conditions of requests. It is no store for data that matters.

mod faults;
mod google;
mod server;

pub use faults::{Faults, Request};
pub use google::Account;
pub use server::{ACCESS_KEY, ObjectServer, SECRET_KEY};
