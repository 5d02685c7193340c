//! `captured serve` from outside, through its API.

mod access;
mod any_client;
mod bounds;
mod certificates;
mod changes;
mod checkpoints;
mod export;
mod faults;
mod filters;
mod hostile;
mod lab;
mod life;
mod many;
mod metrics;
mod once;
mod outage;
mod outputs;
mod own_traffic;
mod pods;
mod pods_apart;
mod recovery;
mod stream;
