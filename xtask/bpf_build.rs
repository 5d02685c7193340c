// Shared by build scripts that embed eBPF programs. Not a module of xtask: they include it.
//
// Every build, whatever its profile and package, compiles into `bpf/` in cargo's output directory.
// There `core` for the BPF target is compiled once; it costs more than all eBPF programs together.

use std::{env, ffi::OsString, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};

/// Compiles the programs of a package and copies the object into `OUT_DIR`. `sources` are the directories of
/// the package and its dependencies, relative to the top of the checkout.
fn build(package: &str, object: &str, sources: &[&str]) -> Result<()> {
    let top = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("..");
    for source in ["Cargo.lock"].iter().chain(sources) {
        println!("cargo::rerun-if-changed={}", top.join(source).display());
    }
    let out = PathBuf::from(variable("OUT_DIR")?);
    // Below the output directory OUT_DIR is PROFILE/build/PACKAGE/out.
    let target = out.ancestors().nth(4).context("OUT_DIR is too short")?;
    let target = target.join("bpf");
    let triple = match variable("CARGO_CFG_TARGET_ENDIAN")?.to_str() {
        Some("big") => "bpfeb-unknown-none",
        _ => "bpfel-unknown-none",
    };
    let mut flags = OsString::from("--cfg=bpf_target_arch=\"");
    flags.push(variable("CARGO_CFG_TARGET_ARCH")?);
    flags.push("\"\x1f-Clink-arg=--btf");
    let status = Command::new(variable("CARGO")?)
        .args(["build", "--quiet", "--package", package, "--bins", "--profile", "bpf"])
        .args(["--target", triple, "-Z", "build-std=core", "--target-dir"])
        .arg(&target)
        // What of it ends up in the programs is optimized with them, when they are linked. In Cargo.toml every other
        // build would warn of these packages, which it does not have.
        .args(["--config", "profile.bpf.package.core.opt-level=0"])
        .args(["--config", "profile.bpf.package.compiler_builtins.opt-level=1"])
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        // The BPF target has no prebuilt `core`, and building one is an unstable flag of cargo, which a
        // stable toolchain accepts only with this variable. It affects only this build.
        .env("RUSTC_BOOTSTRAP", "1")
        // Set by clippy, which checks these programs separately.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status()
        .context("starting cargo")?;
    if !status.success() {
        bail!("cargo could not build {package}; `cargo xtask setup` installs its requirements");
    }
    let built = target.join(triple).join("bpf").join(object);
    std::fs::copy(&built, out.join(object))
        .with_context(|| format!("copying {}", built.display()))?;
    Ok(())
}

fn variable(name: &str) -> Result<OsString> {
    env::var_os(name).with_context(|| format!("{name} is not set: cargo runs this"))
}
