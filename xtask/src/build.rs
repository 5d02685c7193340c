//! The programs that users run: `captured` and `capturectl`.

use anyhow::Result;

use crate::command::{cargo, run};
use crate::requirements::Purpose;
use crate::setup;
use crate::stages::Stages;
use crate::workspace::Profile;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Build as for images and releases, into target/dist/: with link-time optimization, which takes minutes
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

/// Sets up, then builds, and prints how long each took.
pub(crate) fn set_up_and_compile(profile: Profile) -> Result<()> {
    let mut stages = Stages::default();
    stages.time("set-up", || setup::prepare(&[Purpose::Build]))?;
    stages.time("build", || compile(profile))
}

/// Builds; the machine has been set up.
pub(crate) fn compile(profile: Profile) -> Result<()> {
    packages(profile, None, &["capture-daemon", "capture-cli"])
}

/// Builds the programs of these packages; for another target with its toolchain's environment.
pub(crate) fn packages(profile: Profile, target: Option<&Target>, packages: &[&str]) -> Result<()> {
    let mut cargo = cargo();
    cargo.args(["build", "--profile", profile.name(), "--locked"]);
    if let Some(target) = target {
        cargo.args(["--target", target.triple]);
        cargo.envs(target.environment.iter().cloned());
    }
    for package in packages {
        cargo.args(["--package", package]);
    }
    run(&mut cargo)
}

/// A target other than the machine's own.
pub(crate) struct Target {
    /// Rust's name of the target.
    pub(crate) triple: &'static str,
    /// Where its linker and its libraries are.
    pub(crate) environment: Vec<(String, std::ffi::OsString)>,
}
