//! Fuzzing for a bounded time.

use anyhow::{Context as _, Result, bail};

use crate::command::{command, run};
use crate::requirements::Purpose;
use crate::tools::CARGO_FUZZ;
use crate::{setup, workspace};

pub(crate) const EXAMPLES: &str = "Examples:
  cargo xtask fuzz                      every target for a minute
  cargo xtask fuzz --quick              readers, filters and the analysis, ten seconds each, as in .ci/run
  cargo xtask fuzz --seconds 600 NAME   one target for ten minutes";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Seconds for each target [default: 60; with --quick 10]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: Option<u32>,
    /// Only targets outside the daemon, hardly optimized and without the address sanitizer, to build in minutes
    #[arg(long)]
    quick: bool,
    /// Names of targets, as in fuzz/fuzz_targets/ [default: all]
    targets: Vec<String>,
}

/// Targets of code in the daemon: the feature `daemon` in fuzz/Cargo.toml.
const OF_THE_DAEMON: [&str; 3] = ["api_request", "configuration", "state_file"];

pub(crate) fn all(arguments: &Arguments) -> Result<()> {
    let known = targets()?;
    if let Some(name) = arguments.targets.iter().find(|name| !known.contains(name)) {
        bail!(
            "there is no fuzz target `{name}`; there are: {}",
            known.join(", ")
        );
    }
    setup::prepare(&[Purpose::Build, Purpose::Fuzz])?;
    let mut chosen = if arguments.targets.is_empty() {
        known
    } else {
        arguments.targets.clone()
    };
    if arguments.quick {
        chosen.retain(|name| !OF_THE_DAEMON.contains(&name.as_str()));
    }
    let seconds = arguments
        .seconds
        .unwrap_or(if arguments.quick { 10 } else { 60 });
    for target in &chosen {
        let mut fuzz = command(CARGO_FUZZ.program()?);
        fuzz.arg("run")
            .arg("--target-dir")
            .arg(workspace::target().join("fuzz"));
        if arguments.quick {
            fuzz.args(["--dev", "--no-default-features", "--sanitizer", "none"]);
        }
        fuzz.args([target, "--"])
            .arg(format!("-max_total_time={seconds}"))
            // Coverage and sanitizers are unstable flags of the pinned toolchain.
            .env("RUSTC_BOOTSTRAP", "1");
        run(&mut fuzz)?;
    }
    println!(
        "{} targets, {seconds} s each: nothing was found",
        chosen.len()
    );
    Ok(())
}

fn targets() -> Result<Vec<String>> {
    let directory = workspace::root().join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(&directory)
        .with_context(|| format!("looking for fuzz targets in {}", directory.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if let (Some("rs"), Some(name)) = (
            path.extension().and_then(|one| one.to_str()),
            path.file_stem(),
        ) {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
