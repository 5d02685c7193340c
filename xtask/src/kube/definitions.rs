//! The part of a current Kubernetes that knows definitions of resources and their rules, built from the Go libraries of
//! Debian's unstable release: the API server of the test cluster is older than rules. Which version that is changes
//! with time, and a build may need a change some day, so no test of CI needs it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::command::{command, output, run};
use crate::workspace;

use super::{remove, sources};

const PACKAGE: &str = "golang-k8s-apiextensions-apiserver-dev";
const PROGRAM: &str = "apiextensions-apiserver";
/// Libraries that others name as theirs, and that nothing here imports.
const NOT_NEEDED: [&str; 5] = [
    "gonum",
    "google-cloud-dev",
    "google-api-dev",
    "x-image",
    "plot",
];

/// The program, which is built if it is missing.
pub(crate) fn server() -> Result<PathBuf> {
    let directory = workspace::cache()?.join("kube-definitions");
    let program = directory.join(PROGRAM);
    if program.is_file() {
        return Ok(program);
    }
    eprintln!(
        "set-up: building a server of definitions into {}; this takes a quarter of an hour and 3 GB of disk, once",
        directory.display()
    );
    fetch(&directory)?;
    build(&directory, &program)?;
    for name in ["apt", "gocache", "packages", "root"] {
        remove(&directory.join(name))?;
    }
    Ok(program)
}

/// Unpacks the libraries and the compiler without installing them.
fn fetch(directory: &Path) -> Result<()> {
    let unpacked = directory.join("root/.unpacked");
    if unpacked.is_file() {
        return Ok(());
    }
    sources::make_directories(directory)?;
    sources::write_unstable(&directory.join("apt/sources"))?;
    run(sources::apt_alone(directory).arg("update"))?;
    let listed = output(sources::apt_alone(directory).args([
        "--print-uris",
        "--yes",
        "install",
        PACKAGE,
        "golang-go",
    ]))?;
    let names = names(&listed);
    ensure!(
        names.iter().any(|name| name == PACKAGE),
        "Debian's unstable release has no {PACKAGE} any more"
    );
    let packages = directory.join("packages");
    run(sources::apt_alone(directory)
        .arg("download")
        .args(&names)
        .current_dir(&packages))?;
    sources::unpack(&packages, &directory.join("root"))?;
    fs::write(&unpacked, "").with_context(|| format!("writing {}", unpacked.display()))
}

/// The Go libraries and the compiler among packages that apt would fetch: a line each, `'ADDRESS' FILE SIZE DIGEST`.
fn names(listed: &str) -> Vec<String> {
    let is_compiler = |name: &str| {
        let version = name.strip_prefix("golang-1.");
        version.is_some_and(|rest| rest.ends_with("-go") || rest.ends_with("-src"))
    };
    let files = listed.lines().filter_map(|line| line.split(' ').nth(1));
    files
        .filter_map(|file| file.split('_').next())
        .filter(|name| name.starts_with("golang-"))
        .filter(|name| name.ends_with("-dev") || is_compiler(name))
        .filter(|name| !NOT_NEEDED.iter().any(|part| name.contains(part)))
        .map(str::to_owned)
        .collect()
}

fn build(directory: &Path, program: &Path) -> Result<()> {
    let root = directory.join("root/usr");
    let compilers = fs::read_dir(root.join("lib")).context("no compiler was unpacked")?;
    let go = compilers
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.join("bin/go").is_file());
    let go = go.context("no compiler among the packages")?;
    let libraries = root.join("share/gocode");
    let path = std::env::var("PATH").unwrap_or_default();
    let new = program.with_extension("new");
    run(command(go.join("bin/go"))
        .args(["build", "-trimpath", "-gcflags", "all=-dwarf=false"])
        .args(["-ldflags", "-s -w", "-o"])
        .arg(&new)
        .arg(".")
        .current_dir(libraries.join("src/k8s.io/apiextensions-apiserver"))
        .env("PATH", format!("{}:{path}", go.join("bin").display()))
        .env("GOROOT", &go)
        .env("GOPATH", &libraries)
        .env("GOCACHE", directory.join("gocache"))
        .env("HOME", directory)
        .env("GO111MODULE", "off")
        .env("GOPROXY", "off")
        .env("GOSUMDB", "off")
        .env("GOTOOLCHAIN", "local")
        .env("CGO_ENABLED", "0")
        .env("GOGC", "400"))?;
    fs::rename(&new, program).with_context(|| format!("renaming {}", new.display()))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn libraries_and_the_compiler_are_taken_from_what_apt_lists() {
        let listed = "'http://mirror/a.deb' golang-1.26-go_1.26.1-1_amd64.deb 1 SHA256:0\n\
                      'http://mirror/b.deb' golang-1.26-src_1.26.1-1_all.deb 1 SHA256:0\n\
                      'http://mirror/c.deb' golang-go_1.26_amd64.deb 1 SHA256:0\n\
                      'http://mirror/d.deb' golang-k8s-api-dev_0.36_all.deb 1 SHA256:0\n\
                      'http://mirror/e.deb' golang-gonum-v1-gonum-dev_0_all.deb 1 SHA256:0\n\
                      'http://mirror/f.deb' libc6_2_amd64.deb 1 SHA256:0\n";
        assert_eq!(
            names(listed),
            ["golang-1.26-go", "golang-1.26-src", "golang-k8s-api-dev"]
        );
    }
}
