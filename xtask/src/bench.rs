//! Measurements against tcpdump and dumpcap.

use std::ffi::OsString;

use anyhow::Result;

use crate::command::{cargo, run};
use crate::requirements::Purpose;
use crate::workspace::Profile;
use crate::{build, setup};

pub(crate) const EXAMPLES: &str = "Examples:
  cargo xtask bench                                fifteen minutes
  cargo xtask bench -- --quick --json bench.json   two minutes
  cargo xtask bench export                         only the documents for search clusters
  cargo xtask bench web                            only uploads to the web server and their reports
  cargo xtask bench --dist                         the programs as images and releases have them
  cargo xtask bench -- --help";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Measure the programs as images and releases have them, instead of those of `cargo xtask build`
    #[arg(long)]
    dist: bool,
    /// Run only this part, as with `--only` of the benchmark
    part: Option<OsString>,
    /// Passed on to the benchmark
    #[arg(last = true)]
    benchmark: Vec<OsString>,
}

pub(crate) fn measure(arguments: &Arguments) -> Result<()> {
    setup::prepare(&[Purpose::Build, Purpose::Bench])?;
    let profile = if arguments.dist {
        Profile::Dist
    } else {
        Profile::Release
    };
    build::compile(profile)?;
    run(cargo()
        .args([
            "run",
            "--release",
            "--locked",
            "--package",
            "capture-tests",
            "--bin",
            "capture-bench",
            "--",
        ])
        .args(
            arguments
                .part
                .iter()
                .flat_map(|part| ["--only".as_ref(), part.as_os_str()]),
        )
        .args(&arguments.benchmark)
        .env("CAPTURED", profile.recorder()))
}
