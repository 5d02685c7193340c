//! `captured serve` from outside, through its API.

mod access;
mod any_client;
mod changes;
mod hostile;
mod life;
mod many;
mod metrics;
mod outputs;
mod recovery;
mod stream;
