//! What is checked without running anything: form, clippy, licences, sources, advisories.

use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{cargo, command, run};
use crate::requirements::Purpose;
use crate::stages::Stages;
use crate::tools::CARGO_DENY;
use crate::{setup, workspace};

enum Verdict {
    Checked,
    NotChecked(&'static str),
}

type Check = fn() -> Result<Verdict>;

/// Runs every check, so that one look shows all that is wrong.
pub(crate) fn all() -> Result<()> {
    let mut stages = Stages::default();
    stages.time("set-up", || {
        setup::prepare(&[Purpose::Build, Purpose::Lint])
    })?;
    let checks: [(&'static str, Check); 5] = [
        ("rustfmt", rustfmt),
        ("clippy", || checked(&mut clippy())),
        ("clippy, eBPF programs", || checked(&mut clippy_for_bpf())),
        ("licences and sources", || {
            checked(deny()?.args(["check", "bans", "licenses", "sources"]))
        }),
        ("advisories", advisories),
    ];
    let (mut failed, mut unchecked) = (Vec::new(), Vec::new());
    for (name, check) in checks {
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
    run(command)?;
    Ok(Verdict::Checked)
}

fn rustfmt() -> Result<Verdict> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    // The fuzz targets are a workspace of their own: they are built with other flags.
    let fuzz = "fuzz/Cargo.toml";
    if workspace::root().join(fuzz).exists() {
        run(cargo().args(["fmt", "--manifest-path", fuzz, "--check"]))?;
    }
    Ok(Verdict::Checked)
}

fn clippy() -> Command {
    let mut cargo = cargo();
    cargo.args(["clippy", "--all-targets", "--locked"]);
    cargo.args(["--", "-D", "warnings"]);
    cargo
}

/// Crates that are for the BPF target only.
const BPF_CRATES: [&str; 2] = ["capture-ebpf", "generator-ebpf"];

/// The BPF target has no prebuilt `core`, so this needs the variable and the flag that
/// capture-daemon's build script uses, and the cfg that aya's build sets.
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

/// The list of advisories comes from the network, which is no part of what is checked.
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
