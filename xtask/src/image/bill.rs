//! The bill of materials of an image, in CycloneDX 1.5: the crates that cargo resolved and the copied shared
//! libraries.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use capture_image::Library;
use serde_json::{Value, json};

use crate::command::{cargo, command, output};

/// The bill of an image with these packages of the workspace.
pub(super) fn of(
    packages: &[&str],
    triple: &str,
    libraries: &[Library],
    digest: &str,
) -> Result<String> {
    let metadata = output(cargo().args([
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        triple,
    ]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("reading cargo's metadata")?;
    let mut components = crates(&metadata, packages)?;
    for library in libraries {
        components.push(of_library(library));
    }
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {
            "type": "container",
            "name": packages.join(", "),
            "version": env!("CARGO_PKG_VERSION"),
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }},
        "components": components,
    });
    Ok(serde_json::to_string_pretty(&bill)? + "\n")
}

/// Every crate that is linked into one of the packages. Build scripts and tests are not part of an image.
fn crates(metadata: &Value, roots: &[&str]) -> Result<Vec<Value>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages: BTreeMap<String, Value> = list(&metadata["packages"])
        .into_iter()
        .map(|package| (text(&package["id"]), package))
        .collect();
    let nodes: BTreeMap<String, Value> = list(&metadata["resolve"]["nodes"])
        .into_iter()
        .map(|node| (text(&node["id"]), node))
        .collect();
    let mut queue = Vec::new();
    for root in roots {
        let found = packages.values().find(|package| package["name"] == **root);
        queue.push(text(
            &found.with_context(|| format!("no package {root}"))?["id"],
        ));
    }
    let mut reached = BTreeSet::new();
    while let Some(id) = queue.pop() {
        if !reached.insert(id.clone()) {
            continue;
        }
        let node = nodes.get(&id).context("a package without a node")?;
        for dependency in list(&node["deps"]) {
            // `kind` is null for linked dependencies, and `build` or `dev` for others.
            let kinds = list(&dependency["dep_kinds"]);
            if kinds.iter().any(|kind| kind["kind"].is_null()) {
                queue.push(text(&dependency["pkg"]));
            }
        }
    }
    let mut components: Vec<Value> = reached
        .iter()
        .filter_map(|id| packages.get(id))
        .map(of_crate)
        .collect();
    components.sort_by_key(|component| text(&component["purl"]));
    Ok(components)
}

fn of_crate(package: &Value) -> Value {
    let name = package["name"].as_str().unwrap_or_default();
    let version = package["version"].as_str().unwrap_or_default();
    let mut component = json!({
        "type": "library",
        "name": name,
        "version": version,
        "purl": format!("pkg:cargo/{name}@{version}"),
    });
    if let Some(license) = package["license"].as_str() {
        // Some crates still have a slash between alternatives, which SPDX does not allow.
        component["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
    }
    component
}

/// A shared library, with its Debian package where dpkg knows it.
fn of_library(library: &Library) -> Value {
    let source = library.source.canonicalize();
    let source = source.unwrap_or_else(|_| library.source.clone());
    let name = library.path.rsplit('/').next().unwrap_or_default();
    let mut component = json!({"type": "library", "name": name});
    // dpkg may know a file by its place before /lib became a link to /usr/lib.
    let path = source.display().to_string();
    let places = [path.clone(), path.trim_start_matches("/usr").to_owned()];
    let owner = places.iter().find_map(|place| {
        let owner = output(command("dpkg-query").args(["--search", place])).ok()?;
        owner.split(": ").next().map(str::to_owned)
    });
    if let Some(package) = owner {
        let show = ["--show", "--showformat", "${Version} ${Architecture}"];
        let shown = output(command("dpkg-query").args(show).arg(&package)).unwrap_or_default();
        if let Some((version, architecture)) = shown.split_once(' ') {
            let plain = package.split(':').next().unwrap_or_default();
            component["version"] = version.into();
            component["purl"] =
                format!("pkg:deb/debian/{plain}@{version}?arch={architecture}").into();
        }
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_listed_and_what_only_builds_or_tests_is_not() {
        let package = |name: &str| json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0"});
        let dependency =
            |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let packages = ["daemon", "linked", "behind", "builds", "tests", "other"].map(package);
        let metadata = json!({
            "packages": packages,
            "resolve": {"nodes": [
                {"id": "daemon", "deps": [
                    dependency("linked", Value::Null),
                    dependency("builds", "build".into()),
                    dependency("tests", "dev".into()),
                ]},
                {"id": "linked", "deps": [dependency("behind", Value::Null)]},
                {"id": "behind", "deps": []},
                {"id": "builds", "deps": [dependency("other", Value::Null)]},
                {"id": "tests", "deps": []},
                {"id": "other", "deps": []},
            ]},
        });
        let found = crates(&metadata, &["daemon"]).unwrap();
        let names: Vec<_> = found.iter().map(|one| one["name"].clone()).collect();
        assert_eq!(names, ["behind", "daemon", "linked"]);
        assert_eq!(found[0]["purl"], "pkg:cargo/behind@1.0.0");
        assert_eq!(found[0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert!(crates(&metadata, &["missing"]).is_err());
    }
}
