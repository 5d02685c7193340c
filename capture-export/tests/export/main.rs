//! The real program, from a recorder's data directory to real sinks.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod commands;
mod malcolm;
mod metrics;
mod named;
mod search;
mod store;
mod support;
