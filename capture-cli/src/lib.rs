//! The client of captured: starts, follows, pulls and merges captures on one node or many.

pub mod cli;
pub mod extcap;
pub mod live;
