//! The web page of packet captures and its HTTP API: captures are started and watched, files uploaded, analysed
//! and their reports shared.

pub mod api;
pub mod cli;
pub mod page;
