//! Kubernetes for the tests, built from the source package of Debian 12: API server, controllers, scheduler,
//! kubelet and kube-proxy. Debian has binary packages of kubectl and etcd only, and no container registry is
//! used.
//!
//! It is kept in the user's cache: a build takes a quarter of an hour on two cores, once.

mod build;
pub(crate) mod definitions;
mod sources;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::{requirements, workspace};

/// The newest complete source package: those of later releases contain only kubectl.
const VERSION: &str = "1.20.5+really1.20.2-1.1+deb12u1";

/// Programs of Kubernetes that are built.
const PROGRAMS: [&str; 5] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
];

/// Programs that Debian has binary packages of.
const READY: [&str; 2] = ["etcd", "kubectl"];

fn directory() -> Result<PathBuf> {
    Ok(workspace::cache()?.join("kube"))
}

/// The directory of the built programs.
pub(crate) fn assets() -> Result<PathBuf> {
    Ok(directory()?.join("assets"))
}

/// Builds missing programs. If the machine's package sources do not have Kubernetes, this is reported, and
/// the tests that need a cluster report themselves as not run.
pub(crate) fn prepare() -> Result<()> {
    let directory = directory()?;
    let assets = assets()?;
    let missing = missing(&assets);
    if missing.is_empty() {
        return Ok(());
    }
    if !cfg!(target_arch = "x86_64") || requirements::program("apt-get").is_none() {
        eprintln!("set-up: NO CLUSTER TO TEST WITH: it is built on x86-64 from Debian's sources");
        return Ok(());
    }
    eprintln!(
        "set-up: building Kubernetes 1.20.2 into {}, to test with; this takes a quarter of an hour, once",
        directory.display()
    );
    std::fs::create_dir_all(&assets).with_context(|| format!("creating {}", assets.display()))?;
    let start = Instant::now();
    let Some(tree) = sources::fetch(&directory)? else {
        eprintln!(
            "set-up: NO CLUSTER TO TEST WITH: no package source of this machine has Kubernetes {VERSION}, \
             which Debian 12 has"
        );
        return Ok(());
    };
    build::all(&directory, &tree, &assets, &missing)?;
    // Gigabytes that are not needed again. After a failure they stay for the next attempt.
    for name in [
        "apt",
        "gocache",
        "gopath",
        "packages",
        "root",
        "src",
        "openapi-violations",
    ] {
        remove(&directory.join(name))?;
    }
    eprintln!(
        "set-up: Kubernetes is built: {:.0} s",
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Whether there is something to build.
pub(crate) fn is_missing() -> Result<bool> {
    Ok(!missing(&assets()?).is_empty())
}

fn remove(path: &Path) -> Result<()> {
    let result = if path.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn missing(assets: &Path) -> Vec<&'static str> {
    let all = PROGRAMS.iter().chain(&READY).chain(&["pause"]);
    all.copied()
        .filter(|program| !assets.join(program).is_file())
        .collect()
}
