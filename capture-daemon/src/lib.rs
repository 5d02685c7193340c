//! Records packets from network interfaces into rotating, compressed capture files.

pub mod attach;
pub mod audit;
pub mod cli;
pub mod cut;
pub mod filters;
#[doc(hidden)]
pub mod fuzzing;
pub mod grpc;
pub mod interfaces;
pub mod log;
pub mod manager;
pub mod serve;
pub mod session;
pub mod signals;
pub mod tls;
