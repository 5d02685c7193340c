//! A Python environment with programs to test with: a gRPC client, and a search server with its client.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::command::{command, run};
use crate::workspace;

/// The packages that tests import or run: any gRPC client works; a server that speaks OpenSearch's API, as one
/// static program; and the client that its documents are read back with.
const PACKAGES: [&str; 4] = [
    "grpcio==1.71.0",
    "grpcio-reflection==1.71.0",
    "osmem-server==0.1.6",
    "opensearch-py==3.2.0",
];

/// The environment's interpreter, at the path that the test uses.
pub(crate) fn interpreter() -> PathBuf {
    workspace::root().join("target/python/bin/python")
}

/// Creates the environment unless it exists and is complete.
pub(crate) fn install() -> Result<()> {
    let ready = workspace::root().join("target/python/ready");
    let wanted = PACKAGES.join("\n");
    if std::fs::read_to_string(&ready).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    eprintln!(
        "set-up: making a Python environment in target/python, with a gRPC client and a search server to test with"
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
    std::fs::write(&ready, wanted).with_context(|| format!("writing {}", ready.display()))
}
