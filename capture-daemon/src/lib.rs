//! Records packets from network interfaces into rotating, compressed capture files.

pub mod audit;
pub mod cli;
pub mod cut;
#[doc(hidden)]
pub mod fuzzing;
pub mod grpc;
pub mod log;
pub mod manager;
pub mod serve;
pub mod signals;
pub mod tls;
