//! Records packets from network interfaces into rotating, compressed capture files.

pub mod attach;
pub mod cli;
pub mod clock;
pub mod filter;
pub mod interfaces;
pub mod kernel;
pub mod ledger;
pub mod pipeline;
pub mod session;
pub mod spec;
