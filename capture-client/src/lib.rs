//! A client for the nodes of captured: connections with certificates, contexts, captures, live packets
//! merged by timestamp, and resumable downloads. It prints nothing and is independent of command lines and
//! terminals, so that a coordinator of many nodes can use it as well as `capturectl`.

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
pub mod resource;
pub mod settings;
mod target;
mod tls;

pub use captures::Update;
pub use client::{CallOptions, Client};
pub use error::{ClientError, Refusal};
pub use files::Piece;
pub use target::{Address, Target, Tls};
