//! Sets the machine up for a purpose: packages, then the Rust toolchain, then the tools built with it.

use std::time::Instant;

use anyhow::Result;

use crate::requirements::Purpose;
use crate::tools::{BPF_LINKER, CARGO_DENY, CARGO_FUZZ};
use crate::{azurite, browser, buf, helm, kernels, packages, python, toolchain};

/// Installs and reports missing requirements. When nothing is missing, this takes milliseconds and
/// no network.
///
/// # Errors
/// What is missing and what to run, if it cannot be installed automatically.
pub(crate) fn prepare(purposes: &[Purpose]) -> Result<()> {
    step("packages", || packages::install_missing(purposes))?;
    step("Rust toolchain", toolchain::complete)?;
    step("bpf-linker", || BPF_LINKER.install())?;
    if purposes.contains(&Purpose::Test) {
        step("Python packages", python::install)?;
        step("kernels to test with", kernels::fetch)?;
        step("tools of the browser tests", browser::install)?;
        step("Azure Blob storage for tests", azurite::install)?;
    }
    if purposes.contains(&Purpose::Cluster) || purposes.contains(&Purpose::Lint) {
        step("Helm", helm::install)?;
    }
    if purposes.contains(&Purpose::Lint) {
        step("cargo-deny", || CARGO_DENY.install())?;
        step("buf", buf::install)?;
    }
    if purposes.contains(&Purpose::Fuzz) {
        step("cargo-fuzz", || CARGO_FUZZ.install())?;
    }
    Ok(())
}

/// Prints how long a step took, unless there was nothing to do.
fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    work()?;
    let took = start.elapsed().as_secs_f64();
    if took >= 1.0 {
        eprintln!("set-up: {name}: {took:.0} s");
    }
    Ok(())
}
