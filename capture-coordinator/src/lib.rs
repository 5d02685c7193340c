//! The coordinator: turns the Kubernetes resource `PacketCaptureConfig` into captures on the right
//! interfaces of the right nodes, follows the pods while they move, and reports the outcome of every packet.
//!
//! ```text
//! API server -> controller/watch -> cluster/index --+
//! daemons    -> nodes/agent ------------------------+-> decide -> controller/act -> daemons
//!                                                             \-> status, events, ConfigMaps
//! ```
//!
//! [`decide`] is a pure function of a snapshot; other modules read and act.

pub mod api;
mod authority;
pub mod cli;
pub mod cluster;
pub mod controller;
pub mod decide;
pub mod delete_all;
pub mod fixed;
pub mod lease;
pub mod metrics;
pub mod nodes;
pub mod request;
pub mod resource;
pub mod run;
pub mod settings;
