//! Generates the reference pages of the manual from the programs' output. A test compares them.

use anyhow::Result;

use crate::command::{cargo_for_tests, run};
use crate::requirements::Purpose;
use crate::{setup, workspace};

/// Builds the programs without optimisation and generates docs/reference.
pub(crate) fn write() -> Result<()> {
    setup::prepare(&[Purpose::Build, Purpose::Test])?;
    let programs = ["--package", "capture-daemon", "--package", "capture-cli"];
    run(cargo_for_tests("build").args(programs))?;
    let captured = workspace::programs_of_tests().join("release/captured");
    let documented = [
        "capture-tests",
        "capture-coordinator",
        "capture-export",
        "capture-web",
    ];
    for package in documented {
        run(cargo_for_tests("test")
            .args(["--package", package, "--test", "reference"])
            .env("CAPTURED", &captured)
            .env("CAPTURE_DOCS", "write"))?;
    }
    Ok(())
}
