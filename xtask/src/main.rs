//! Set-up, build, run, test, lint, fuzz and bench: `cargo xtask --help`.

mod azurite;
mod bench;
mod beside;
mod browser;
mod buf;
mod build;
mod cluster;
mod command;
mod docs;
#[cfg(test)]
mod documents;
mod failures;
mod fuzz;
mod helm;
mod image;
mod kernels;
mod krew;
mod kube;
mod layers;
mod lint;
mod manifests;
mod modules;
mod npm;
mod packages;
mod python;
mod requirements;
mod run;
mod setup;
#[cfg(test)]
mod sources;
mod stages;
mod test;
mod toolchain;
mod tools;
mod torture;
mod totals;
mod web;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use requirements::Purpose;

/// Everything a developer does with this project, from a bare machine on.
///
/// Each command first installs its requirements, and reports it. When nothing is missing this takes a
/// fraction of a second and no network. Packages are installed only as root: other users are shown the
/// command to run.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

const EXAMPLES: &str = "Examples:
  cargo xtask run                              record every interface into ./captures until Ctrl-C
  cargo xtask run -- -i eth0 --duration 30s    one interface for half a minute
  cargo xtask run --web                        the web page on http://127.0.0.1:8000
  cargo xtask test                             all tests
  cargo xtask test -- rotation                 the tests with `rotation` in their names
  cargo xtask lint                             formatting, clippy, licences and advisories";

#[derive(Subcommand)]
enum Task {
    /// Install the requirements of building, testing and linting, and nothing else
    Setup,
    /// Build the programs for users into target/release/
    Build(build::Arguments),
    /// Build, then record this machine's interfaces into ./captures until Ctrl-C
    #[command(after_help = run::EXAMPLES)]
    Run(run::Arguments),
    /// Build, then run every test and print the totals
    #[command(after_help = test::EXAMPLES)]
    Test(test::Arguments),
    /// Write container images of the programs, without a container engine or a registry
    #[command(after_help = image::EXAMPLES)]
    Image(image::Arguments),
    /// Pack `kubectl capture` for krew, kubectl's plugin manager
    #[command(after_help = krew::EXAMPLES)]
    Krew(krew::Arguments),
    /// Run a real Kubernetes cluster of two nodes on this machine, with the chart installed
    #[command(after_help = cluster::EXAMPLES)]
    Cluster(cluster::Arguments),
    /// Write the plain Kubernetes manifests that the chart renders
    Manifests,
    /// Measure against tcpdump and dumpcap
    #[command(after_help = bench::EXAMPLES)]
    Bench(bench::Arguments),
    /// Attack the programs, and report the results
    #[command(after_help = torture::EXAMPLES)]
    Torture(torture::Arguments),
    /// Check formatting, clippy, documentation, dependencies, the gRPC API, licences and advisories
    #[command(after_help = lint::EXAMPLES)]
    Lint(lint::Arguments),
    /// Make the current gRPC API the baseline that `lint` compares with
    ApiBaseline,
    /// Generate the reference pages of the manual from the programs
    Docs,
    /// Fuzz for a bounded time
    #[command(after_help = fuzz::EXAMPLES)]
    Fuzz(fuzz::Arguments),
}

fn main() -> ExitCode {
    match perform(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        // Without anyhow's backtrace, which would show xtask's own code only.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<()> {
    match task {
        Task::Setup => {
            setup::prepare(&[Purpose::Build, Purpose::Test, Purpose::Lint])?;
            println!("set-up: nothing is missing");
            Ok(())
        }
        Task::Build(arguments) => build::programs(&arguments),
        Task::Run(arguments) => run::record(&arguments),
        Task::Test(arguments) => test::all(&arguments),
        Task::Image(arguments) => image::all(&arguments),
        Task::Krew(arguments) => krew::pack(&arguments),
        Task::Cluster(arguments) => cluster::act(&arguments),
        Task::Manifests => {
            helm::install()?;
            manifests::write()
        }
        Task::Bench(arguments) => bench::measure(&arguments),
        Task::Torture(arguments) => torture::attack(&arguments),
        Task::Lint(arguments) => lint::all(&arguments),
        Task::ApiBaseline => {
            setup::prepare(&[Purpose::Lint])?;
            buf::renew_baseline()
        }
        Task::Docs => docs::write(),
        Task::Fuzz(arguments) => fuzz::all(&arguments),
    }
}
