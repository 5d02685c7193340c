//! Generates the reference pages of the manual from the programs' output. A test compares them.

use anyhow::Result;

use crate::command::{cargo, run};
use crate::requirements::Purpose;
use crate::{setup, workspace};

/// Builds the programs without optimisation and generates docs/reference.
pub(crate) fn write() -> Result<()> {
    setup::prepare(&[Purpose::Build, Purpose::Test])?;
    let programs = ["--package", "capture-daemon", "--package", "capture-cli"];
    run(cargo().args(["build", "--locked"]).args(programs))?;
    let mut tests = cargo();
    tests.args([
        "test",
        "--locked",
        "--package",
        "capture-tests",
        "--test",
        "reference",
    ]);
    tests.env("CAPTURED", workspace::target().join("debug/captured"));
    run(tests.env("CAPTURE_DOCS", "write"))?;
    for package in ["capture-coordinator", "capture-export", "capture-web"] {
        let mut document = cargo();
        document.args([
            "test",
            "--locked",
            "--package",
            package,
            "--test",
            "reference",
        ]);
        run(document.env("CAPTURE_DOCS", "write"))?;
    }
    Ok(())
}
