//! The plain manifests for `kubectl apply`: the chart as Helm renders it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::command::output;
use crate::{helm, workspace};

const FILE: &str = "deploy/manifests/capture.yaml";

/// The options for rendering the plain manifests. Certificates are the user's: the repository contains no
/// secrets.
const OPTIONS: [&str; 11] = [
    // Helm's hooks would run at once: one of them deletes every capture.
    "--no-hooks",
    "--namespace",
    "capture-system",
    "--kube-version",
    "1.30.0",
    "--api-versions",
    "policy/v1",
    "--set",
    "certificates.source=existing",
    "--set",
    "createNamespace=true",
];

fn file() -> PathBuf {
    workspace::root().join(FILE)
}

fn render() -> Result<String> {
    let mut helm = helm::helm()?;
    helm.args(["template", "capture", "deploy/chart"])
        .args(OPTIONS);
    let text = output(&mut helm).context("rendering the chart")?;
    Ok(format!(
        "# Written by `cargo xtask manifests` from deploy/chart.\n{text}"
    ))
}

/// Writes the manifests.
pub(crate) fn write() -> Result<()> {
    let file = file();
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)
            .with_context(|| format!("creating {}", directory.display()))?;
    }
    fs::write(&file, render()?).with_context(|| format!("writing {}", file.display()))
}

/// Checks the chart, and that the manifests are its rendering.
pub(crate) fn check() -> Result<()> {
    output(helm::helm()?.args(["lint", "--strict", "deploy/chart"]))?;
    let file = file();
    let committed = fs::read_to_string(&file).unwrap_or_default();
    let rendered = render()?;
    if committed != rendered {
        let lines = committed.lines().zip(rendered.lines());
        let first = lines
            .take_while(|(committed, rendered)| committed == rendered)
            .count();
        bail!(
            "{FILE} differs from the rendered chart from line {} on; run `cargo xtask manifests`",
            first + 1
        );
    }
    Ok(())
}
