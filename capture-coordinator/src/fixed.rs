//! Nodes without Kubernetes: a list in a file.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::cluster::Daemon;

/// `[[node]]` tables in TOML.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    node: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    /// `HOST`, or `HOST:PORT` for a port other than the default.
    address: String,
}

/// Reads the list.
///
/// # Errors
/// It cannot be read, is not valid, names a node twice, or names no node.
pub fn read(path: &Path) -> Result<BTreeMap<String, Daemon>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    parse(&text).with_context(|| format!("{}", path.display()))
}

fn parse(text: &str) -> Result<BTreeMap<String, Daemon>> {
    let file: File = toml::from_str(text)?;
    ensure!(
        !file.node.is_empty(),
        "there is no [[node]] in it: give name and address of each"
    );
    let mut nodes = BTreeMap::new();
    for Entry { name, address } in file.node {
        ensure!(!name.is_empty(), "a node's name is empty");
        ensure!(!address.is_empty(), "node {name}: its address is empty");
        let daemon = Daemon {
            address,
            pod_uid: String::new(),
        };
        ensure!(
            nodes.insert(name.clone(), daemon).is_none(),
            "node {name} is named twice"
        );
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_list_names_each_node_once() {
        let nodes = parse(
            "[[node]]\nname = 'a'\naddress = '192.0.2.1'\n[[node]]\nname = 'b'\naddress = 'b:9443'",
        )
        .unwrap();
        assert_eq!(nodes["b"].address, "b:9443");
        for (wrong, part) in [
            ("", "[[node]]"),
            ("[[node]]\nname = 'a'\naddress = ''", "address is empty"),
            ("[[node]]\nname = 'a'", "missing field"),
            (
                "[[node]]\nname = 'a'\naddress = 'x'\nport = 1",
                "unknown field",
            ),
            (
                "[[node]]\nname = 'a'\naddress = 'x'\n[[node]]\nname = 'a'\naddress = 'y'",
                "twice",
            ),
        ] {
            let error = format!("{:#}", parse(wrong).unwrap_err());
            assert!(error.contains(part), "{wrong}: {error}");
        }
    }
}
