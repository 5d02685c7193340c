//! The client of captured: starts, follows, pulls and merges captures on one node or many.

pub mod cli;
pub mod client;
pub mod extcap;
pub mod live;
pub mod model;
pub mod order;
pub mod pull;
pub mod settings;
pub mod target;
