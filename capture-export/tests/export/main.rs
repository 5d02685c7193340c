//! The real program, from a recorder's data directory to real sinks.

mod store;
mod support;
