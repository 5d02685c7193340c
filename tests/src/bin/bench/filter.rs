//! The cost of a filter per packet, measured by the kernel's test run, and compared with the same
//! expression as the kernel's classic socket filter.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use capture_tests::recorder::program;
use serde::{Deserialize, Serialize};

use crate::peer::GENERATOR_CORE;

/// One filter in the output of `captured filter bench`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The filter.
    pub(crate) filter: String,
    /// A packet that does not match.
    pub(crate) no_match: Nanoseconds,
    /// A packet that matches.
    pub(crate) matching: Option<Nanoseconds>,
}

/// Nanoseconds per packet.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Nanoseconds {
    /// Total.
    pub(crate) all: f64,
    /// Minus the time of an empty program.
    pub(crate) over_empty: f64,
    /// The same expression as a classic socket filter, minus one that decides at once.
    pub(crate) classic: Option<f64>,
}

/// Runs the measurement by `captured`, on one core.
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
