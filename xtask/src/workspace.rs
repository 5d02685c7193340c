//! Paths of the checkout, of cargo's output and of the user's cache.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The top of the checkout.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// The user's cache, which is kept across checkouts and `cargo clean`. Also used by
/// `xtask/bpf-linker`.
pub(crate) fn cache() -> Result<PathBuf> {
    let cache = match std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cache"),
    };
    Ok(cache.join("captured"))
}

/// Cargo's output directory: `target`, or `CARGO_TARGET_DIR`.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => root().join(directory),
        None => root().join("target"),
    }
}

/// The profile of tests and lints, which shares dependencies with that of the programs for users.
pub(crate) const TEST_PROFILE: &str = "bench";

/// Where cargo puts the programs of a build for tests, which are not those for users.
pub(crate) fn programs_of_tests() -> PathBuf {
    target().join("tests")
}

/// A build profile; Cargo.toml says what each is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    Release,
    Dist,
}

impl Profile {
    /// Its name in Cargo.toml and below cargo's output directory.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Dist => "dist",
        }
    }

    /// The path of the built recorder.
    pub(crate) fn recorder(self) -> PathBuf {
        target().join(self.name()).join("captured")
    }

    /// The path of the built coordinator.
    pub(crate) fn coordinator(self) -> PathBuf {
        target().join(self.name()).join("capture-coordinator")
    }

    /// The path of the built web server.
    pub(crate) fn web(self) -> PathBuf {
        target().join(self.name()).join("capture-web")
    }

    /// The path of the built client.
    pub(crate) fn client(self) -> PathBuf {
        target().join(self.name()).join("capturectl")
    }
}

/// Whether this is a CI run, in which a test that cannot run is a failure.
pub(crate) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What cargo compiles for packages: crates, each with its features and its level of optimization.
    fn compiled(packages: &[&str]) -> BTreeSet<String> {
        let mut cargo = crate::command::cargo();
        cargo.args(["build", "--release", "--locked", "--unit-graph"]);
        cargo.args(["-Z", "unstable-options"]);
        // Cargo shows the graph to a nightly toolchain only, or with this.
        cargo.env("RUSTC_BOOTSTRAP", "1");
        for package in packages {
            cargo.args(["--package", package]);
        }
        let graph = crate::command::output(&mut cargo).expect("cargo's graph");
        let graph: serde_json::Value = serde_json::from_str(&graph).expect("JSON");
        let units = graph["units"].as_array().expect("units").iter();
        units
            .map(|unit| {
                let (features, level) = (&unit["features"], &unit["profile"]["opt_level"]);
                format!(
                    "{} {} {features} {level}",
                    unit["pkg_id"], unit["target"]["kind"]
                )
            })
            .collect()
    }

    #[test]
    fn what_xtask_and_the_programs_need_is_compiled_once() {
        let programs = compiled(&["capture-daemon", "capture-cli"]);
        let own = ["/xtask#", "/xtask/image#", "#tar@", "#filetime@"];
        let twice: Vec<_> = compiled(&["xtask"])
            .into_iter()
            .filter(|unit| !programs.contains(unit))
            .filter(|unit| !own.iter().any(|name| unit.contains(name)))
            .collect();
        assert!(
            twice.is_empty(),
            "xtask needs these otherwise than the programs; xtask/Cargo.toml lists features: {twice:#?}"
        );
    }

    #[test]
    fn every_crate_with_tests_is_compiled_for_them_with_its_assertions() {
        let read = |directory: &str| {
            let path = root().join(directory).join("Cargo.toml");
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
        };
        let manifest = read(".");
        let members = manifest
            .lines()
            .find_map(|line| line.strip_prefix("default-members = ["))
            .expect("default-members in one line");
        let profile = manifest
            .split_once("[profile.bench.package]\n")
            .expect("the profile of tests")
            .1;
        let directories: Vec<_> = members.split('"').skip(1).step_by(2).collect();
        assert!(directories.len() > 20, "{directories:?}");
        for directory in directories {
            let package = read(directory);
            let name = package
                .lines()
                .find_map(|line| line.strip_prefix("name = \""))
                .and_then(|rest| rest.strip_suffix('"'))
                .expect("a name");
            let line = profile
                .lines()
                .find(|line| line.starts_with(&format!("{name} = {{")))
                .unwrap_or_else(|| panic!("Cargo.toml: [profile.bench.package] lacks {name}"));
            for setting in [
                "opt-level = 0",
                "debug-assertions = true",
                "overflow-checks = true",
            ] {
                assert!(line.contains(setting), "{line}: no {setting}");
            }
        }
    }
}
