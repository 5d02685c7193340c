//! What a filter costs a packet: as the kernel's test run measures it, and beside it the same expression
//! as the kernel's own classic socket filter.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use capture_tests::recorder::program;
use serde::{Deserialize, Serialize};

use crate::peer::GENERATOR_CORE;

/// One filter, as `captured filter bench` tells of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) filter: String,
    /// A packet that does not match.
    pub(crate) no_match: Nanoseconds,
    /// One that does.
    pub(crate) matching: Option<Nanoseconds>,
}

/// Nanoseconds per packet.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Nanoseconds {
    /// All of it.
    pub(crate) all: f64,
    /// Less what an empty program takes.
    pub(crate) over_empty: f64,
    /// The same expression as a classic socket filter, less one that decides at once.
    pub(crate) classic: Option<f64>,
}

/// Lets `captured` measure, on one core.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let output = Command::new("taskset")
        .args(["-c", &GENERATOR_CORE.to_string()])
        .arg(program()?)
        .args(["filter", "bench", "--summary", "json"])
        .output()
        .context("running captured filter bench")?;
    ensure!(
        output.status.success(),
        "captured filter bench: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("captured filter bench: no JSON")
}
