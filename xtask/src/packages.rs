//! Installs Debian packages: as root with apt-get; other users are shown the command to run.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::command::{command, output, run};
use crate::requirements::{self, LLVM_PACKAGE, Purpose, Requirement};

const INSTALL: &[&str] = &["install", "-y", "--no-install-recommends"];

/// LLVM's own package repository, for distributions without LLVM 22, set up as described at
/// <https://apt.llvm.org>.
mod llvm_repository {
    pub(super) const KEY: &str = "https://apt.llvm.org/llvm-snapshot.gpg.key";
    pub(super) const KEY_FILE: &str = "/etc/apt/keyrings/apt.llvm.org.asc";
    pub(super) const LIST_FILE: &str = "/etc/apt/sources.list.d/llvm-22.list";

    pub(super) fn line(codename: &str) -> String {
        format!(
            "deb [signed-by={KEY_FILE}] https://apt.llvm.org/{codename}/ llvm-toolchain-{codename}-22 main\n"
        )
    }
}

/// Installs missing packages for these purposes.
///
/// # Errors
/// The missing packages, and the command to run, if this is not root or there is no apt-get.
pub(crate) fn install_missing(purposes: &[Purpose]) -> Result<()> {
    let missing = requirements::missing(purposes);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = missing.iter().map(|one| one.package).collect();
    let listed = explain(&missing);
    if requirements::program("apt-get").is_none() {
        bail!(
            "missing on this machine, by the names of their Debian packages:\n{listed}\
             there is no apt-get here: install the corresponding packages, then try again"
        );
    }
    if !rustix::process::geteuid().is_root() {
        bail!(
            "missing on this machine:\n{listed}install them, then try again:\n  \
             sudo apt-get update && sudo apt-get {} {}",
            INSTALL.join(" "),
            packages.join(" ")
        );
    }
    eprint!("set-up: installing with apt-get:\n{listed}");
    apt_get(&["update"])?;
    if packages.contains(&LLVM_PACKAGE) && !has_candidate(LLVM_PACKAGE)? {
        add_llvm_repository()?;
    }
    apt_get(&[INSTALL, &packages].concat())?;

    let still = requirements::missing(purposes);
    if !still.is_empty() {
        bail!(
            "apt-get installed the packages, but what these should provide is still missing:\n{}",
            explain(&still)
        );
    }
    Ok(())
}

/// Installs packages for a task that few people run, by name and a file that each provides.
pub(crate) fn install_named(packages: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .filter(|(_, file)| !Path::new(file).exists())
        .map(|(package, _)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let line = format!("{} {}", INSTALL.join(" "), missing.join(" "));
    if requirements::program("apt-get").is_none() || !rustix::process::geteuid().is_root() {
        bail!("missing on this machine; as root, run: apt-get update && apt-get {line}");
    }
    eprintln!("set-up: installing with apt-get: {}", missing.join(" "));
    apt_get(&["update"])?;
    apt_get(&[INSTALL, &missing].concat())
}

fn explain(requirements: &[&Requirement]) -> String {
    requirements
        .iter()
        .map(|one| format!("  {:<18} {}\n", one.package, one.reason))
        .collect()
}

pub(crate) fn apt_get(arguments: &[&str]) -> Result<()> {
    // tshark's package asks who may capture, and nobody can answer.
    run(command("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Another apt-get, such as the nightly one, may hold the lock. The unit is seconds.
        .args(["-q", "-o", "DPkg::Lock::Timeout=120"])
        .args(arguments))
}

/// Whether apt can install the package from its sources.
fn has_candidate(package: &str) -> Result<bool> {
    let policy = output(
        command("apt-cache")
            .env("LC_ALL", "C")
            .args(["policy", package]),
    )?;
    Ok(candidate(&policy))
}

fn candidate(policy: &str) -> bool {
    policy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Candidate:"))
        .any(|version| version.trim() != "(none)")
}

fn add_llvm_repository() -> Result<()> {
    let release = std::fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let codename = codename(&release).context(
        "/etc/os-release names no VERSION_CODENAME: install LLVM 22's libllvm22 by hand",
    )?;
    eprintln!(
        "set-up: {codename} has no {LLVM_PACKAGE}, adding LLVM's own package repository: {}",
        llvm_repository::LIST_FILE
    );
    if let Some(directory) = Path::new(llvm_repository::KEY_FILE).parent() {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("creating {}", directory.display()))?;
    }
    // apt's own download helper: a bare machine has neither curl nor wget.
    run(command("/usr/lib/apt/apt-helper").args([
        "download-file",
        llvm_repository::KEY,
        llvm_repository::KEY_FILE,
    ]))?;
    std::fs::write(llvm_repository::LIST_FILE, llvm_repository::line(codename))
        .with_context(|| format!("writing {}", llvm_repository::LIST_FILE))?;
    apt_get(&["update"])?;
    if !has_candidate(LLVM_PACKAGE)? {
        bail!("LLVM's repository has no {LLVM_PACKAGE} for {codename}: install LLVM 22 by hand");
    }
    Ok(())
}

fn codename(release: &str) -> Option<&str> {
    release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches('"'))
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_without_a_candidate_is_not_taken_for_installable() {
        assert!(candidate(
            "libllvm22:\n  Installed: (none)\n  Candidate: 1:22.1.8-1~deb12u1\n"
        ));
        assert!(!candidate(
            "libllvm22:\n  Installed: (none)\n  Candidate: (none)\n"
        ));
        assert!(!candidate(""));
    }

    #[test]
    fn the_codename_is_read_from_os_release_and_its_absence_is_seen() {
        assert_eq!(
            codename("NAME=\"Ubuntu\"\nVERSION_CODENAME=noble\n"),
            Some("noble")
        );
        assert_eq!(codename("VERSION_CODENAME=\"trixie\"\n"), Some("trixie"));
        assert_eq!(codename("NAME=Arch\nVERSION_CODENAME=\n"), None);
        assert_eq!(codename("NAME=Arch\n"), None);
    }

    #[test]
    fn the_llvm_repository_is_trusted_for_its_own_key_only() {
        let line = llvm_repository::line("noble");
        assert!(line.contains("signed-by=/etc/apt/keyrings/"), "{line}");
        assert!(line.contains("llvm-toolchain-noble-22 main"), "{line}");
    }
}
