//! A Python environment with grpcio, for the test that any gRPC client works.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::command::{command, run};
use crate::workspace;

/// The packages that the test imports.
const PACKAGES: [&str; 2] = ["grpcio==1.71.0", "grpcio-reflection==1.71.0"];

/// The environment's interpreter, at the path that the test uses.
pub(crate) fn interpreter() -> PathBuf {
    workspace::root().join("target/python/bin/python")
}

/// Creates the environment unless it exists and is complete.
pub(crate) fn install() -> Result<()> {
    let ready = workspace::root().join("target/python/ready");
    if ready.is_file() {
        return Ok(());
    }
    eprintln!(
        "set-up: making a Python environment with grpcio in target/python, a gRPC client to test with"
    );
    run(command("python3").args(["-m", "venv", "target/python"]))?;
    run(command(interpreter())
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(PACKAGES))?;
    // Written last, so that an incomplete environment is created again.
    std::fs::write(&ready, PACKAGES.join("\n"))
        .with_context(|| format!("writing {}", ready.display()))
}
