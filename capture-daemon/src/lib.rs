//! Records packets from network interfaces into rotating, compressed capture files.

pub mod ledger;
pub mod pipeline;
pub mod spec;
