//! Makes the machine ready for a purpose: packages, then the toolchain, then the tools built with it.

use anyhow::Result;

use crate::requirements::Purpose;
use crate::tools::{BPF_LINKER, CARGO_DENY, CARGO_FUZZ};
use crate::{buf, kernels, packages, python, toolchain};

/// Installs what is missing and says so; costs milliseconds and no network when nothing is.
///
/// # Errors
/// Says what is missing and what to run, when it cannot be installed from here.
pub(crate) fn prepare(purposes: &[Purpose]) -> Result<()> {
    packages::install_missing(purposes)?;
    toolchain::complete()?;
    BPF_LINKER.install()?;
    if purposes.contains(&Purpose::Test) {
        python::install()?;
        kernels::fetch()?;
    }
    if purposes.contains(&Purpose::Lint) {
        CARGO_DENY.install()?;
        buf::install()?;
    }
    if purposes.contains(&Purpose::Fuzz) {
        CARGO_FUZZ.install()?;
    }
    Ok(())
}
