//! The programs that users run: `captured` and `capturectl`.

use anyhow::Result;

use crate::command::{cargo, run};
use crate::requirements::Purpose;
use crate::setup;
use crate::stages::Stages;
use crate::workspace::Profile;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Build as images and releases are, into target/dist/: with link-time optimization, which takes minutes
    #[arg(long)]
    dist: bool,
}

pub(crate) fn programs(arguments: &Arguments) -> Result<()> {
    set_up_and_compile(if arguments.dist {
        Profile::Dist
    } else {
        Profile::Release
    })
}

/// Sets up, then builds, and says how long each took.
pub(crate) fn set_up_and_compile(profile: Profile) -> Result<()> {
    let mut stages = Stages::default();
    stages.time("set-up", || setup::prepare(&[Purpose::Build]))?;
    stages.time("build", || compile(profile))
}

/// Builds what the machine has been set up for.
pub(crate) fn compile(profile: Profile) -> Result<()> {
    run(cargo().args([
        "build",
        "--profile",
        profile.name(),
        "--locked",
        "--package",
        "capture-daemon",
        "--package",
        "capture-cli",
    ]))
}
