//! The release binaries.

use anyhow::Result;

use crate::command::{cargo, run};
use crate::requirements::Purpose;
use crate::setup;

/// Sets up, then builds into `target/release/`.
pub(crate) fn release() -> Result<()> {
    setup::prepare(&[Purpose::Build])?;
    compile()
}

/// Builds what the machine has been set up for.
pub(crate) fn compile() -> Result<()> {
    run(cargo().args([
        "build",
        "--release",
        "--locked",
        "--package",
        "capture-daemon",
        "--package",
        "capture-cli",
    ]))
}
