//! The components of the pinned Rust toolchain.
//!
//! rustup installs the components that `rust-toolchain.toml` names together with the toolchain, but adds none
//! to a toolchain that is already installed.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::command::{command, output, run};

/// A component, and a file in the toolchain's directory that proves that it is installed.
const COMPONENTS: &[(&str, &str)] = &[
    ("rust-src", "lib/rustlib/src/rust/library/core/src/lib.rs"),
    ("rustfmt", "bin/rustfmt"),
    ("clippy", "bin/cargo-clippy"),
];

/// Adds missing components.
pub(crate) fn complete() -> Result<()> {
    let directory = directory()?;
    let missing: Vec<_> = COMPONENTS
        .iter()
        .filter(|(_, file)| !directory.join(file).exists())
        .map(|(component, _)| *component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let toolchain = std::env::var("RUSTUP_TOOLCHAIN").with_context(|| {
        format!(
            "the Rust toolchain lacks {}: install it, or use rustup's cargo",
            missing.join(", ")
        )
    })?;
    eprintln!(
        "set-up: adding to the Rust toolchain: {}",
        missing.join(", ")
    );
    run(command("rustup")
        .args(["component", "add", "--toolchain", &toolchain])
        .args(&missing))?;
    if let Some((component, file)) = COMPONENTS
        .iter()
        .find(|(_, file)| !directory.join(file).exists())
    {
        bail!(
            "rustup added {component}, but there is no {}",
            directory.join(file).display()
        );
    }
    Ok(())
}

/// The toolchain's directory. `CARGO` is a path in it, which saves a call of rustc.
fn directory() -> Result<PathBuf> {
    let from_cargo = std::env::var_os("CARGO")
        .map(PathBuf::from)
        .and_then(|cargo| Some(cargo.parent()?.parent()?.to_path_buf()))
        .filter(|directory| directory.join("lib/rustlib").is_dir());
    match from_cargo {
        Some(directory) => Ok(directory),
        None => {
            let printed = output(command("rustc").args(["--print", "sysroot"]))?;
            Ok(PathBuf::from(printed.trim_end()))
        }
    }
}
