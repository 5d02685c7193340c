//! The allowed dependencies between crates. They point downwards only.
//!
//! `cargo tree` shows the data of `cargo metadata` without requiring a JSON parser.

use anyhow::{Result, bail};

use crate::command::{cargo, output};

/// The allowed and forbidden dependencies of a crate of the workspace.
struct Layer {
    name: &'static str,
    /// Crates of the workspace that it may depend on directly.
    below: &'static [&'static str],
    /// External crates that it must not depend on, directly or indirectly.
    never: &'static [&'static str],
}

/// The lowest layers first. Crates that do not exist yet may be listed.
#[rustfmt::skip]
const LAYERS: &[Layer] = &[
    layer("capture-common", &[], &["tokio", "tonic", "prost", "serde"]),
    layer("capture-ebpf", &["capture-common"], &["aya"]),
    layer("generator-ebpf", &[], &["aya"]),
    layer("capture-proto", &[], &["aya", "pcap", "clap", "kube"]),
    layer("capture-types", &[], &["aya", "aya-obj", "pcap", "tonic", "tokio", "prost", "clap", "kube"]),
    layer("capture-metrics", &[], &["aya", "pcap", "tonic", "clap", "kube"]),
    layer("capture-text", &["capture-types"], &["aya", "pcap", "tonic", "tokio", "prost", "clap"]),
    layer("capture-file", &["capture-types"], &["aya", "aya-obj", "pcap", "tonic", "kube", "clap"]),
    layer("capture-filter", &["capture-common", "capture-file", "capture-text", "capture-types"], &["tonic", "prost", "clap", "kube"]),
    layer("capture-kernel", &["capture-common", "capture-filter", "capture-types"], &["tonic", "prost", "clap", "kube"]),
    layer("capture-pipeline", &["capture-common", "capture-file", "capture-kernel", "capture-text", "capture-types"], &["tonic", "prost", "clap", "kube"]),
    layer("capture-session", &["capture-common", "capture-file", "capture-filter", "capture-kernel", "capture-pipeline", "capture-types"], &["tonic", "prost", "clap", "kube"]),
    layer("capture-client", &["capture-file", "capture-proto", "capture-types"], &["aya", "pcap", "clap", "comfy-table", "crossterm", "indicatif", "kube"]),
    layer("capture-args", &["capture-types"], &["aya", "aya-obj", "pcap", "tonic", "prost", "tokio", "kube"]),
    layer("capture-analysis", &["capture-file", "capture-text", "capture-types"], &["aya", "pcap", "tonic", "kube", "clap"]),
    layer("capture-daemon", &["capture-args", "capture-file", "capture-filter", "capture-kernel", "capture-metrics", "capture-pipeline", "capture-proto", "capture-session", "capture-text", "capture-types"], &["kube"]),
    layer("capture-cli", &["capture-analysis", "capture-args", "capture-client", "capture-file", "capture-proto", "capture-text", "capture-types"], &["aya", "aya-obj", "pcap", "kube"]),
    layer("capture-coordinator", &["capture-client", "capture-metrics", "capture-proto", "capture-types"], &["aya", "aya-obj", "pcap"]),
    layer("capture-web", &["capture-analysis", "capture-client", "capture-file", "capture-metrics", "capture-proto", "capture-text", "capture-types"], &["aya", "aya-obj", "pcap", "kube"]),
    layer("capture-export", &["capture-analysis", "capture-file", "capture-metrics", "capture-text", "capture-types"], &["aya", "aya-obj", "pcap", "tonic", "kube"]),
];

/// Crates that drive or build the others may depend on any of them.
const FREE: [&str; 4] = ["capture-image", "capture-tests", "object-server", "xtask"];

const fn layer(
    name: &'static str,
    below: &'static [&'static str],
    never: &'static [&'static str],
) -> Layer {
    Layer { name, below, never }
}

/// Checks the dependencies of every crate of the workspace against the table.
///
/// # Errors
/// Each forbidden dependency, and each crate that is missing from the table.
pub(crate) fn check() -> Result<()> {
    let members = members()?;
    let mut found = Vec::new();
    for member in members.iter().filter(|name| !FREE.contains(&name.as_str())) {
        let Some(layer) = LAYERS.iter().find(|layer| layer.name == *member) else {
            found.push(format!("{member} is missing from the table in {}", file!()));
            continue;
        };
        let tree = output(cargo().args([
            "tree",
            "--locked",
            "--package",
            member,
            "--all-features",
            "--edges",
            "normal,build",
            "--prefix",
            "depth",
            "--format",
            "{p}",
        ]))?;
        found.extend(forbidden(layer, &members, &tree));
    }
    if !found.is_empty() {
        bail!("\n  {}", found.join("\n  "));
    }
    Ok(())
}

/// Names of the workspace's crates.
fn members() -> Result<Vec<String>> {
    let tree = output(cargo().args([
        "tree",
        "--locked",
        "--workspace",
        "--depth",
        "0",
        "--prefix",
        "depth",
        "--format",
        "{p}",
    ]))?;
    Ok(tree
        .lines()
        .filter_map(entry)
        .map(|(_, name)| name.to_owned())
        .collect())
}

/// Depth and name of a line such as `2tokio v1.54.1 (*)`.
fn entry(line: &str) -> Option<(usize, &str)> {
    let name = line.find(|letter: char| !letter.is_ascii_digit())?;
    let (depth, rest) = line.split_at(name);
    Some((depth.parse().ok()?, rest.split(' ').next()?))
}

/// The forbidden dependencies of a crate: one line each, with the dependency path.
fn forbidden(layer: &Layer, members: &[String], tree: &str) -> Vec<String> {
    let mut way: Vec<&str> = Vec::new();
    let mut found = Vec::new();
    for (depth, name) in tree.lines().filter_map(entry) {
        way.truncate(depth);
        way.push(name);
        let is_member = members.iter().any(|member| member == name);
        let above = depth == 1 && is_member && !layer.below.contains(&name);
        if above || layer.never.contains(&name) {
            found.push(format!(
                "{} must not depend on {name}: {}",
                layer.name,
                way.join(" -> ")
            ));
        }
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Layer = layer("client", &["types"], &["clap"]);

    fn found(tree: &str) -> Vec<String> {
        let members = ["client", "daemon", "types"].map(str::to_owned);
        forbidden(&CLIENT, &members, tree)
    }

    #[test]
    fn an_arrow_upwards_is_found() {
        let tree = "0client v0.1.0 (/client)\n1daemon v0.1.0 (/daemon)\n2types v0.1.0 (/types)\n1types v0.1.0 (/types)\n";
        assert_eq!(
            found(tree),
            ["client must not depend on daemon: client -> daemon"]
        );
    }

    #[test]
    fn a_forbidden_crate_is_found_behind_another_and_the_way_to_it_is_named() {
        let tree = "0client v0.1.0 (/client)\n1tonic v0.14.9\n2tower v0.5.3\n1pretty v1.0.0\n2clap v4.6.7\n";
        assert_eq!(
            found(tree),
            ["client must not depend on clap: client -> pretty -> clap"]
        );
    }

    #[test]
    fn what_the_table_allows_is_no_finding() {
        let tree = "0client v0.1.0 (/client)\n1types v0.1.0 (/types)\n1tonic v0.14.9\n2clap_lex v1.1.1 (*)\n";
        assert_eq!(found(tree), [""; 0]);
    }

    #[test]
    fn no_two_layers_are_above_each_other() {
        for (at, layer) in LAYERS.iter().enumerate() {
            for name in layer.below {
                let below = LAYERS.iter().position(|other| other.name == *name);
                assert!(
                    below.is_some_and(|below| below < at),
                    "{} -> {name}",
                    layer.name
                );
            }
        }
    }
}
