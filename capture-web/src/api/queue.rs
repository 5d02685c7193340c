//! The queue of analyses, and the server's health.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The queue of analyses, over all replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Queue {
    /// Tasks that wait, uploads in progress included.
    pub waiting: u64,
    /// Tasks that run.
    pub running: u64,
    /// Tasks that may wait.
    pub capacity: u64,
    /// Analyses that this replica runs at once.
    pub workers: u32,
    /// Whether an upload would be accepted now.
    pub accepting: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The server's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// `ok` or `degraded`.
    pub status: String,
    /// The server's version.
    pub version: String,
    /// What does not work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}
