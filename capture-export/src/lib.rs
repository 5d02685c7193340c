//! The exporter: delivers finished capture files to object storage, search clusters and Malcolm.
//!
//! ```text
//! manifests -> follow -> worker (one per sink) -> sink: store, malcolm, search
//!                           |
//!                        checkpoint
//! ```
//!
//! Each file is delivered at least once to each sink, the oldest first. A sink's checkpoint moves only past what
//! the sink has acknowledged.

pub mod backoff;
pub mod by_hand;
pub mod checkpoint;
pub mod cli;
pub mod documents;
pub mod file;
pub mod follow;
pub mod lock;
pub mod malcolm;
pub mod metrics;
pub mod redact;
pub mod renewal;
pub mod requests;
pub mod route;
pub mod run;
pub mod search;
pub mod secret;
pub mod settings;
pub mod sink;
pub mod status;
pub mod store;
pub mod worker;
