//! Helm, which installs the chart like a user.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{Cluster, printed};

/// The program `helm`, and the chart of this checkout.
#[derive(Debug, Clone)]
pub struct Helm {
    program: PathBuf,
    chart: PathBuf,
}

impl Helm {
    /// Uses this program.
    #[must_use]
    pub fn new(program: &Path) -> Self {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        Self {
            program: program.to_owned(),
            chart: top.join("deploy/chart"),
        }
    }

    /// The directory of the chart.
    #[must_use]
    pub fn chart(&self) -> &Path {
        &self.chart
    }

    /// `helm` with the cluster's administrator, without the user's configuration.
    #[must_use]
    pub fn command(&self, cluster: &Cluster, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let home = cluster.directory().join("helm");
        command
            .args(words)
            .env("KUBECONFIG", cluster.kubeconfig())
            .env("HELM_CACHE_HOME", home.join("cache"))
            .env("HELM_CONFIG_HOME", home.join("config"))
            .env("HELM_DATA_HOME", home.join("data"));
        command
    }

    /// Installs the chart, or upgrades to other values, and waits until everything is ready.
    ///
    /// # Errors
    /// The output of `helm`.
    pub fn install(
        &self,
        cluster: &Cluster,
        release: &str,
        namespace: &str,
        values: &[&str],
    ) -> Result<String> {
        let mut command = self.command(cluster, &["upgrade", "--install", release]);
        command
            .arg(&self.chart)
            .args(["--namespace", namespace, "--create-namespace"])
            .args(["--wait", "--timeout", "120s"]);
        for value in values {
            command.args(["--set", value]);
        }
        printed(command.output().context("starting helm")?, "helm upgrade")
    }

    /// Removes a release.
    ///
    /// # Errors
    /// The output of `helm`.
    pub fn uninstall(&self, cluster: &Cluster, release: &str, namespace: &str) -> Result<String> {
        let words = ["uninstall", release, "--namespace", namespace];
        let output = self.command(cluster, &words).output();
        printed(output.context("starting helm")?, "helm uninstall")
    }
}
