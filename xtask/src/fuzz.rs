//! Fuzzing for a bounded time.

use anyhow::{Context as _, Result, bail};

use crate::command::{command, run};
use crate::requirements::Purpose;
use crate::tools::CARGO_FUZZ;
use crate::{setup, workspace};

pub(crate) const EXAMPLES: &str = "Examples:
  cargo xtask fuzz                      every target for a minute
  cargo xtask fuzz --seconds 600 NAME   one target for ten minutes";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Seconds for each target
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Names of targets, as in fuzz/fuzz_targets/ [default: all]
    targets: Vec<String>,
}

pub(crate) fn all(arguments: &Arguments) -> Result<()> {
    let known = targets()?;
    if let Some(name) = arguments.targets.iter().find(|name| !known.contains(name)) {
        bail!(
            "there is no fuzz target `{name}`; there are: {}",
            known.join(", ")
        );
    }
    setup::prepare(&[Purpose::Build, Purpose::Fuzz])?;
    let chosen = if arguments.targets.is_empty() {
        &known
    } else {
        &arguments.targets
    };
    for target in chosen {
        run(command(CARGO_FUZZ.program()?)
            .arg("run")
            .arg("--target-dir")
            .arg(workspace::target().join("fuzz"))
            .args([target, "--"])
            .arg(format!("-max_total_time={}", arguments.seconds))
            // The sanitizers are unstable flags of the pinned toolchain.
            .env("RUSTC_BOOTSTRAP", "1"))?;
    }
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
