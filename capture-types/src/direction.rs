//! Directions of packets, and which of them a capture takes.

use serde::{Deserialize, Serialize};

/// The direction of a packet through its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// Received.
    In,
    /// Sent.
    Out,
}

/// Which packets of an interface are captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Directions {
    /// Those received.
    In,
    /// Those sent.
    Out,
    /// Both.
    InOut,
}
