//! Attacks on the programs, and faults around them.

use std::ffi::OsString;

use anyhow::Result;

use crate::command::{cargo_for_tests, run};
use crate::requirements::Purpose;
use crate::workspace::Profile;
use crate::{build, setup};

pub(crate) const EXAMPLES: &str = "Examples:
  cargo xtask torture                          all of them, less than fifteen minutes
  cargo xtask torture -- --quick               those that take seconds
  cargo xtask torture -- full-disk             one of them
  cargo xtask torture -- --list                what there is";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to capture-torture
    #[arg(last = true)]
    torture: Vec<OsString>,
}

pub(crate) fn attack(arguments: &Arguments) -> Result<()> {
    setup::prepare(&[Purpose::Build, Purpose::Test])?;
    build::compile(Profile::Release)?;
    let target = ["--package", "capture-tests", "--bin", "capture-torture"];
    run(cargo_for_tests("run")
        .args(target)
        .arg("--")
        .args(&arguments.torture)
        .env("CAPTURED", Profile::Release.recorder()))
}
