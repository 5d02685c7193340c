//! Directions of packets, and which of them a capture records.

use std::fmt;

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
    /// Received packets.
    In,
    /// Sent packets.
    Out,
    /// Both.
    InOut,
}

impl fmt::Display for Directions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::In => "in",
            Self::Out => "out",
            Self::InOut => "inout",
        })
    }
}
