//! Measurements against tcpdump and dumpcap.

use std::ffi::{OsStr, OsString};

use anyhow::{Context as _, Result};

use crate::command::{cargo, run};
use crate::requirements::Purpose;
use crate::workspace::{self, Profile};
use crate::{build, cluster, kube, setup};

pub(crate) const EXAMPLES: &str = "Examples:
  cargo xtask bench                                fifteen minutes
  cargo xtask bench -- --quick --json bench.json   two minutes
  cargo xtask bench export                         only the documents for search clusters
  cargo xtask bench web                            only uploads to the web server and their reports
  cargo xtask bench cluster                        the coordinator among 1,000 simulated nodes; needs root
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
    if arguments.part.as_deref() == Some(OsStr::new("cluster")) {
        return measure_coordinator(arguments);
    }
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

/// The coordinator beside a real API server and simulated nodes.
fn measure_coordinator(arguments: &Arguments) -> Result<()> {
    setup::prepare(&[Purpose::Build, Purpose::Cluster])?;
    kube::prepare()?;
    let profile = if arguments.dist {
        Profile::Dist
    } else {
        Profile::Release
    };
    build::packages(profile, None, &["capture-coordinator"])?;
    let directory = workspace::target().join("bench-cluster");
    run(cluster::program(&directory)?.args(["up", "--nodes", "0"]))?;
    let measured = run(cargo()
        .args(["bench", "--locked", "--profile", "release"])
        .args(["--package", "capture-coordinator"])
        .args(["--bench", "cluster", "--"])
        .args(&arguments.benchmark)
        .env("KUBECONFIG", directory.join("admin.kubeconfig"))
        .env("COORDINATOR", profile.coordinator()));
    let ended = run(cluster::program(&directory)?.arg("down"));
    measured.context("measuring the coordinator")?;
    ended
}
