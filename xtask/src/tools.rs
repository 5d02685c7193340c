//! Developer tools that are built from Rust sources, once per user.
//!
//! They are stored in the user's cache. In cargo's home they would replace another project's bpf-linker, and
//! in `target/` each checkout and each `cargo clean` would build them again.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::command::{command, run};
use crate::requirements::{LLVM_LIBRARY, library};
use crate::workspace;

/// A crate with a program of the same name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
    reason: &'static str,
    options: &'static [&'static str],
}

/// Linked with the LLVM of rustc 1.95; its default features would use a later one.
pub(crate) const BPF_LINKER: Tool = Tool {
    name: "bpf-linker",
    version: "0.13.0",
    reason: "links the eBPF programs",
    // LLVM does the work; the rest builds in half the time without optimization.
    options: &["--no-default-features", "--features", "llvm-22", "--debug"],
};

pub(crate) const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    reason: "checks licences and advisories",
    // Without optimization it builds in half the time, and still runs only for seconds.
    options: &["--debug"],
};

pub(crate) const CARGO_FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    version: "0.13.2",
    reason: "runs the fuzz targets",
    options: &["--debug"],
};

impl Tool {
    /// Builds the tool unless this version is installed.
    pub(crate) fn install(self) -> Result<()> {
        let directory = directory()?;
        if self.is_installed(&directory) {
            return Ok(());
        }
        let Self {
            name,
            version,
            reason,
            options,
        } = self;
        eprintln!(
            "set-up: building {name} {version}, which {reason}, into {}; this takes a minute or more",
            directory.display()
        );
        let build = directory.join(format!("build-{name}"));
        let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args([
                "install",
                name,
                "--version",
                version,
                "--locked",
                "--force",
                "--root",
            ])
            .arg(&directory)
            .args(options)
            .env("CARGO_TARGET_DIR", &build)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            // Links the tools through xtask/linker too.
            .current_dir(workspace::root());
        if name == BPF_LINKER.name && std::env::var_os("LLVM_PREFIX").is_none() {
            cargo.env("LLVM_PREFIX", llvm_prefix(&directory)?);
        }
        run(&mut cargo)?;
        // Hundreds of megabytes that are no longer needed.
        std::fs::remove_dir_all(&build).or_else(ignore_absence)?;
        if !self.is_installed(&directory) {
            bail!(
                "cargo built {name} {version}, but it is not in {}",
                directory.display()
            );
        }
        Ok(())
    }

    /// The path of the installed program.
    pub(crate) fn program(self) -> Result<PathBuf> {
        Ok(directory()?.join("bin").join(self.name))
    }

    /// Read from cargo's list of installed crates, which is faster than starting the program.
    fn is_installed(self, directory: &Path) -> bool {
        let list = std::fs::read_to_string(directory.join(".crates.toml")).unwrap_or_default();
        directory.join("bin").join(self.name).is_file()
            && list.contains(&format!("\"{} {} (", self.name, self.version))
    }
}

fn ignore_absence(error: std::io::Error) -> Result<()> {
    match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error).context("removing the build directory of the tools"),
    }
}

fn directory() -> Result<PathBuf> {
    Ok(workspace::cache()?.join("tools"))
}

/// A directory that looks like an LLVM installation to bpf-linker's build, which needs only the library under
/// the name that the linker searches. The package with this name installs 600 MB of headers and compilers.
fn llvm_prefix(directory: &Path) -> Result<PathBuf> {
    let library = library(LLVM_LIBRARY).with_context(|| format!("{LLVM_LIBRARY} is missing"))?;
    let prefix = directory.join("llvm-22");
    let link = prefix.join("lib").join("libLLVM.so");
    std::fs::create_dir_all(prefix.join("lib"))
        .with_context(|| format!("creating {}", prefix.join("lib").display()))?;
    std::fs::remove_file(&link).or_else(ignore_absence)?;
    std::os::unix::fs::symlink(&library, &link)
        .with_context(|| format!("linking {} to {}", link.display(), library.display()))?;
    Ok(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_of_another_version_or_without_its_program_is_not_taken_for_installed() {
        let directory = tempfile::tempdir().unwrap();
        let list = directory.path().join(".crates.toml");
        let program = directory.path().join("bin").join("bpf-linker");
        std::fs::create_dir(directory.path().join("bin")).unwrap();
        assert!(!BPF_LINKER.is_installed(directory.path()));

        std::fs::write(
            &list,
            "[v1]\n\"bpf-linker 0.13.0 (registry)\" = [\"bpf-linker\"]\n",
        )
        .unwrap();
        assert!(
            !BPF_LINKER.is_installed(directory.path()),
            "the program is missing"
        );
        std::fs::write(&program, "").unwrap();
        assert!(BPF_LINKER.is_installed(directory.path()));

        std::fs::write(
            &list,
            "[v1]\n\"bpf-linker 0.12.0 (registry)\" = [\"bpf-linker\"]\n",
        )
        .unwrap();
        assert!(
            !BPF_LINKER.is_installed(directory.path()),
            "an older version"
        );
    }
}
