//! The programs of the project that tests and measurements run.

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::recorder;

/// A program of a package: next to the tested `captured`, or built.
pub fn find(package: &str, name: &str) -> Result<PathBuf> {
    let beside = recorder::program()?.with_file_name(name);
    if env::var_os("CAPTURED").is_some() && beside.is_file() {
        return Ok(beside);
    }
    // target/PROFILE/deps/TEST
    let own = env::current_exe()?;
    let profile = own
        .ancestors()
        .skip(1)
        .find(|directory| !directory.ends_with("deps"))
        .context("a test without a target directory")?;
    let mut build = recorder::cargo();
    build
        .args(["build", "--quiet", "--package", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        build.arg("--release");
    }
    ensure!(build.status()?.success(), "building {name} failed");
    let program = profile.join(name);
    ensure!(program.is_file(), "no {} after a build", program.display());
    Ok(program)
}
