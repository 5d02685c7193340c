//! Compiles Kubernetes, offline: everything it needs is in its source package.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::{command, output, run};

use super::{PROGRAMS, READY};

/// Keeps a pod's namespaces, and reaps orphaned processes.
const PAUSE: &str = include_str!("pause.go");
const OPENAPI: &str = "pkg/generated/openapi/zz_generated.openapi.go";

struct Go<'a> {
    directory: &'a Path,
    /// The sources, in the directory where imports find them.
    tree: PathBuf,
}

/// Builds programs into the directory of assets.
pub(super) fn all(directory: &Path, tree: &Path, assets: &Path, missing: &[&str]) -> Result<()> {
    let place = directory.join("gopath/src/k8s.io");
    fs::create_dir_all(&place)?;
    let link = place.join("kubernetes");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(tree, &link).context("linking the sources")?;
    let go = Go {
        directory,
        tree: link,
    };
    for name in READY {
        let program = directory.join("root/usr/bin").join(name);
        fs::copy(program, assets.join(name)).with_context(|| format!("copying {name}"))?;
    }
    if missing.contains(&"kube-apiserver") {
        go.generate_openapi()?;
    }
    for program in PROGRAMS.iter().filter(|name| missing.contains(name)) {
        go.build(program, &format!("k8s.io/kubernetes/cmd/{program}"), assets)?;
    }
    if missing.contains(&"pause") {
        let own = tree.join("cmd/own-pause");
        fs::create_dir_all(&own)?;
        fs::write(own.join("main.go"), PAUSE)?;
        go.build("pause", "k8s.io/kubernetes/cmd/own-pause", assets)?;
    }
    Ok(())
}

impl Go<'_> {
    fn root(&self) -> PathBuf {
        self.directory.join("root/usr/lib/go-1.19")
    }

    fn command(&self) -> Command {
        self.settled(&self.root().join("bin/go"))
    }

    /// A program in the sources, with the compiler's settings.
    fn settled(&self, program: &Path) -> Command {
        let mut command = command(program);
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .current_dir(&self.tree)
            // Imports are resolved by the path through the link.
            .env("PWD", &self.tree)
            .env("GOROOT", self.root())
            .env(
                "PATH",
                format!("{}:{path}", self.root().join("bin").display()),
            )
            .env("HOME", self.directory)
            .env("GOPATH", self.directory.join("gopath"))
            .env("GOCACHE", self.directory.join("gocache"))
            // This compiler rejects the sources' list of modules. Without modules it uses `vendor`.
            .env("GO111MODULE", "off")
            .env("GOPROXY", "off")
            .env("GOSUMDB", "off")
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-trimpath")
            // The compiler collects garbage less often: more memory, less time.
            .env("GOGC", "400");
        command
    }

    fn build(&self, name: &str, package: &str, assets: &Path) -> Result<()> {
        // A server with version v0.0.0 confuses clients.
        let mut flags = "-s -w".to_owned();
        for part in [
            "k8s.io/component-base/version",
            "k8s.io/client-go/pkg/version",
        ] {
            let part = format!("k8s.io/kubernetes/vendor/{part}");
            flags += &format!(
                " -X {part}.gitVersion=v1.20.2 -X {part}.gitMajor=1 -X {part}.gitMinor=20 -X {part}.gitTreeState=clean"
            );
        }
        let new = assets.join(format!("{name}.new"));
        run(self
            .command()
            // The linker leaves out what debuggers need, so the compiler need not make it.
            .args(["build", "-gcflags", "all=-dwarf=false"])
            .args(["-ldflags", &flags, "-o"])
            .arg(&new)
            .arg(package))?;
        // Complete or absent, never half.
        fs::rename(&new, assets.join(name)).with_context(|| format!("renaming {}", new.display()))
    }

    /// The API server's description of its types, which the source package lacks.
    fn generate_openapi(&self) -> Result<()> {
        if self.tree.join(OPENAPI).is_file() {
            return Ok(());
        }
        let generator = self.directory.join("openapi-gen");
        run(self
            .command()
            .args(["build", "-o"])
            .arg(&generator)
            .arg("./vendor/k8s.io/kube-openapi/cmd/openapi-gen"))?;
        let found = output(command("grep").current_dir(&self.tree).args([
            "-rl",
            "--include=*.go",
            "^// +k8s:openapi-gen=",
            "pkg",
            "cmd",
            "plugin",
            "staging/src/k8s.io",
        ]))?;
        let packages: Vec<String> = packages(&found).into_iter().collect();
        let mut generate = self.settled(&generator);
        generate
            .arg("--logtostderr")
            .args(["-i", &packages.join(",")])
            .args(["-p", "k8s.io/kubernetes/pkg/generated/openapi"])
            .args(["-O", "zz_generated.openapi"])
            .args(["-h", "vendor/k8s.io/code-generator/hack/boilerplate.go.txt"])
            .arg("-r")
            .arg(self.directory.join("openapi-violations"));
        // The command line is too long to be shown.
        output(&mut generate).context("generating the API server's description")?;
        Ok(())
    }
}

/// Import paths of the packages that hold these files, without those of samples and tests.
fn packages(files: &str) -> BTreeSet<String> {
    files
        .lines()
        .filter(|file| !file.contains("/sample-apiserver/") && !file.contains("/code-generator/"))
        .filter(|file| !file.ends_with("_test.go"))
        .filter_map(|file| Some(file.rsplit_once('/')?.0))
        .map(|package| package.replacen("staging/src/", "vendor/", 1))
        .map(|package| format!("k8s.io/kubernetes/{package}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::packages;

    #[test]
    fn packages_are_named_once_and_as_they_are_imported() {
        let files = "pkg/apis/a/doc.go\npkg/apis/a/types.go\nstaging/src/k8s.io/api/core/v1/doc.go\n\
                     staging/src/k8s.io/sample-apiserver/pkg/doc.go\npkg/b/c_test.go\n";
        let found: Vec<String> = packages(files).into_iter().collect();
        assert_eq!(
            found,
            [
                "k8s.io/kubernetes/pkg/apis/a",
                "k8s.io/kubernetes/vendor/k8s.io/api/core/v1"
            ]
        );
    }
}
