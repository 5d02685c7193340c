//! buf, which checks the gRPC API: its conventions, and compatibility with earlier clients.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::{command, run};
use crate::workspace;

/// Its npm package; a later version may have other rules.
const PACKAGE: &str = "@bufbuild/buf@1.75.0";
const DIRECTORY: &str = "buf-1.75.0";
/// The API that clients rely on, as buf compiled it.
const BASELINE: &str = "baseline.binpb";

/// Installs the package unless this version is there.
pub(crate) fn install() -> Result<()> {
    let directory = directory()?;
    if program()?.is_file() {
        return Ok(());
    }
    eprintln!(
        "set-up: installing {PACKAGE}, which checks the gRPC API, into {}",
        directory.display()
    );
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("creating {}", directory.display()))?;
    // Without scripts: each platform has a package with the program, which only has to be unpacked.
    run(command("npm")
        .args([
            "install",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--no-save",
            "--prefix",
        ])
        .arg(&directory)
        .arg(PACKAGE))
}

fn directory() -> Result<PathBuf> {
    Ok(workspace::cache()?.join("tools").join(DIRECTORY))
}

fn program() -> Result<PathBuf> {
    Ok(directory()?.join("node_modules/.bin/buf"))
}

fn buf() -> Result<Command> {
    let mut buf = command(program()?);
    buf.current_dir(workspace::root().join("proto"));
    Ok(buf)
}

/// Checks that the API follows the conventions in `proto/buf.yaml`.
pub(crate) fn lint() -> Result<()> {
    run(buf()?.arg("lint"))
}

/// Checks that the API is compatible with the baseline.
pub(crate) fn breaking() -> Result<()> {
    run(buf()?.args(["breaking", "--against", BASELINE])).context(
        "clients of the API in proto/baseline.binpb would no longer work; where \
         that is meant, `cargo xtask api-baseline` takes the API of now for the next comparisons",
    )
}

/// Makes the current API the baseline.
pub(crate) fn renew_baseline() -> Result<()> {
    run(buf()?.args(["build", "--exclude-source-info", "--output", BASELINE]))
}
