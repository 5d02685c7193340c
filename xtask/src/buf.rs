//! buf, which checks the gRPC API: its conventions, and compatibility with earlier clients.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::{command, run};
use crate::npm::Package;
use crate::workspace;

/// A later version may have other rules.
const BUF: Package = Package {
    package: "@bufbuild/buf@1.75.0",
    directory: "buf-1.75.0",
    program: "node_modules/.bin/buf",
    reason: "checks the gRPC API",
};
/// The API that clients rely on, as buf compiled it.
const BASELINE: &str = "baseline.binpb";

/// Installs it unless this version is there.
pub(crate) fn install() -> Result<()> {
    BUF.install()
}

fn buf() -> Result<Command> {
    let mut buf = command(BUF.program()?);
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
