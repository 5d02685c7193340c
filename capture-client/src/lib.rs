//! A client of captured's nodes: connections with certificates, contexts, captures, live packets merged by
//! timestamp, and resumable downloads. It prints nothing and knows neither command lines nor terminals, so
//! that a coordinator of many nodes uses it as `capturectl` does.

mod captures;
mod client;
pub mod cluster;
pub mod contexts;
mod convert;
mod error;
mod files;
pub mod model;
mod node;
pub mod pull;
pub mod reorder;
pub mod settings;
mod target;
mod tls;

pub use captures::Update;
pub use client::{CallOptions, Client};
pub use error::{ClientError, Refusal};
pub use files::Piece;
pub use target::{Address, Target, Tls};
