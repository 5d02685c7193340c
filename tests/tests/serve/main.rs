//! `captured serve` from outside, through its API.

mod access;
mod any_client;
mod certificates;
mod changes;
mod hostile;
mod lab;
mod life;
mod many;
mod metrics;
mod outputs;
mod recovery;
mod stream;
