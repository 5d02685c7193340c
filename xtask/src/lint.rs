//! Checks that run no program.

use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{cargo, command, run};
use crate::requirements::Purpose;
use crate::stages::Stages;
use crate::tools::CARGO_DENY;
use crate::{buf, helm, layers, manifests, modules, setup, workspace};

enum Verdict {
    Checked,
    NotChecked(&'static str),
}

type Check = fn() -> Result<Verdict>;

pub(crate) const EXAMPLES: &str = "Examples:
  cargo xtask lint           every check
  cargo xtask lint api       the checks with `api` in their names";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run only the checks with this in their names
    name: Option<String>,
}

/// Runs every check, even after one has failed, so that one run reports all problems.
pub(crate) fn all(arguments: &Arguments) -> Result<()> {
    let mut stages = Stages::default();
    stages.time("set-up", || {
        setup::prepare(&[Purpose::Build, Purpose::Lint])
    })?;
    let checks: [(&'static str, Check); 11] = [
        ("rustfmt", rustfmt),
        ("clippy", || checked(&mut clippy())),
        ("clippy, eBPF programs", || checked(&mut clippy_for_bpf())),
        ("documentation", || checked(&mut documentation())),
        ("dependency rules", || passed(layers::check())),
        ("import cycles", || passed(modules::check())),
        ("api, conventions", || passed(buf::lint())),
        ("api, compatibility", || passed(buf::breaking())),
        ("chart and manifests", chart),
        ("licences and sources", || {
            checked(deny()?.args(["check", "bans", "licenses", "sources"]))
        }),
        ("advisories", advisories),
    ];
    let wanted = |name: &str| {
        arguments
            .name
            .as_ref()
            .is_none_or(|part| name.contains(part))
    };
    if !checks.iter().any(|(name, _)| wanted(name)) {
        let names = checks.map(|(name, _)| name).join("; ");
        bail!(
            "no check has `{}` in its name; the checks are: {names}",
            arguments.name.as_deref().unwrap_or_default()
        );
    }
    let (mut failed, mut unchecked) = (Vec::new(), Vec::new());
    for (name, check) in checks.into_iter().filter(|(name, _)| wanted(name)) {
        match stages.time(name, check) {
            Ok(Verdict::Checked) => {}
            Ok(Verdict::NotChecked(reason)) => {
                unchecked.push(format!("NOT CHECKED: {name}: {reason}\n"))
            }
            Err(error) => {
                eprintln!("{name}: {error:#}");
                failed.push(name);
            }
        }
    }
    print!("\n{}{}", stages.table(), unchecked.concat());
    if !failed.is_empty() {
        bail!("lint found something in: {}", failed.join("; "));
    }
    Ok(())
}

fn checked(command: &mut Command) -> Result<Verdict> {
    passed(run(command))
}

fn passed(result: Result<()>) -> Result<Verdict> {
    result.map(|()| Verdict::Checked)
}

fn chart() -> Result<Verdict> {
    if !helm::program()?.is_file() {
        return Ok(Verdict::NotChecked("Helm is installed on x86-64 alone"));
    }
    passed(manifests::check())
}

fn rustfmt() -> Result<Verdict> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    // The fuzz targets are a separate workspace: they are built with other flags.
    let fuzz = "fuzz/Cargo.toml";
    if workspace::root().join(fuzz).exists() {
        run(cargo().args(["fmt", "--manifest-path", fuzz, "--check"]))?;
    }
    Ok(Verdict::Checked)
}

fn clippy() -> Command {
    let mut cargo = cargo();
    cargo.args(["clippy", "--all-targets", "--locked"]);
    cargo.args(["--profile", workspace::TEST_PROFILE]);
    cargo.args(["--", "-D", "warnings"]);
    cargo
}

fn documentation() -> Command {
    let mut cargo = cargo();
    cargo
        .args(["doc", "--no-deps", "--locked"])
        .args(["--profile", workspace::TEST_PROFILE])
        .env("RUSTDOCFLAGS", "-D warnings");
    cargo
}

/// Crates that are compiled for the BPF target only.
const BPF_CRATES: [&str; 2] = ["capture-ebpf", "generator-ebpf"];

/// Uses the same variable, flags and directory as `xtask/bpf_build.rs`.
fn clippy_for_bpf() -> Command {
    let mut cargo = cargo();
    cargo
        .arg("clippy")
        .args(BPF_CRATES.iter().flat_map(|name| ["--package", name]))
        .args(["--target", "bpfel-unknown-none", "--locked"])
        .args(["-Z", "build-std=core", "--", "-D", "warnings"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env(
            "CARGO_TARGET_BPFEL_UNKNOWN_NONE_RUSTFLAGS",
            format!("--cfg bpf_target_arch=\"{}\"", std::env::consts::ARCH),
        )
        .env("CARGO_TARGET_DIR", workspace::target().join("bpf"));
    cargo
}

/// The list of advisories comes from the network. If it cannot be fetched, the check is skipped.
fn advisories() -> Result<Verdict> {
    if run(deny()?.args(["fetch", "db"])).is_err() {
        return Ok(Verdict::NotChecked(
            "the list of advisories cannot be fetched from here",
        ));
    }
    checked(deny()?.args(["check", "--disable-fetch", "advisories"]))
}

fn deny() -> Result<Command> {
    Ok(command(CARGO_DENY.program()?))
}
