//! The cluster's nodes: as Kubernetes sees them, and as their daemons do.

use std::collections::{BTreeMap, BTreeSet};

use capture_client::{cluster::ClusterNode, model::Node};
use serde_json::{Value, json};

use super::used::Used;
use crate::cli::{
    output::{cell, table, text},
    tables,
};

/// A node.
#[derive(Debug)]
pub(super) struct Row {
    name: String,
    /// As `kubectl get nodes` says it; none if Kubernetes' nodes are not known.
    status: Option<String>,
    used: Used,
    /// What pods may use of it.
    whole: Used,
    /// What its daemon says, or why it says nothing; none if the coordinator was not reached.
    daemon: Option<Result<Box<Node>, String>>,
}

/// Nodes of Kubernetes and of the coordinator, by name. Either may be unknown.
pub(super) fn of(
    nodes: Option<&Value>,
    used: &BTreeMap<String, Used>,
    daemons: Option<Vec<ClusterNode>>,
) -> Vec<Row> {
    let items = nodes.and_then(|list| list["items"].as_array());
    let items: BTreeMap<&str, &Value> = items
        .into_iter()
        .flatten()
        .filter_map(|node| Some((node["metadata"]["name"].as_str()?, node)))
        .collect();
    let is_connected = daemons.is_some();
    let mut daemons: BTreeMap<String, Result<Box<Node>, String>> = daemons
        .into_iter()
        .flatten()
        .map(|one| (one.name, one.node))
        .collect();
    let mut names: BTreeSet<String> = items.keys().map(|name| (*name).to_owned()).collect();
    names.extend(daemons.keys().cloned());
    let mut row = |name: String| {
        let item = items.get(name.as_str());
        let absent = || is_connected.then(|| Err("no daemon runs on it".to_owned()));
        Row {
            status: item.map(|node| status(node)),
            used: used.get(&name).copied().unwrap_or_default(),
            whole: item.map_or_else(Used::default, |node| {
                Used::of(&node["status"]["allocatable"])
            }),
            daemon: daemons.remove(&name).or_else(absent),
            name,
        }
    };
    names.into_iter().map(&mut row).collect()
}

fn status(node: &Value) -> String {
    let conditions = node["status"]["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|one| one["type"] == "Ready");
    let mut text = match ready.map(|one| one["status"] == "True") {
        Some(true) => "Ready",
        Some(false) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node["spec"]["unschedulable"] == true {
        text.push_str(",SchedulingDisabled");
    }
    text
}

impl Row {
    /// For programs.
    pub(super) fn value(&self) -> Value {
        let mut value = json!({
            "name": self.name,
            "status": self.status,
            "ready": self.status.as_ref().map(|status| status.starts_with("Ready")),
            "used": self.used,
            "allocatable": self.whole,
        });
        match &self.daemon {
            Some(Ok(node)) => value["node"] = json!(node),
            Some(Err(problem)) => value["problem"] = json!(problem),
            None => {}
        }
        value
    }

    fn cells(&self) -> [String; 10] {
        let dash = || "-".to_owned();
        let [cpu, memory] = self.used.cells(self.whole);
        let status = self.status.clone().unwrap_or_else(dash);
        let name = self.name.clone();
        let node = match &self.daemon {
            Some(Ok(node)) => node,
            other => {
                let problem = match other {
                    Some(Err(problem)) => problem.clone(),
                    _ => String::new(),
                };
                let [version, captures, ring, disk, free] = [(); 5].map(|()| dash());
                return [
                    name, status, version, cpu, memory, captures, ring, disk, free, problem,
                ];
            }
        };
        let free = node.usage.disk_free_bytes;
        [
            name,
            status,
            node.version.clone(),
            cpu,
            memory,
            node.usage.active_captures.to_string(),
            of_limit(node.usage.ring_bytes, node.limits.ring_bytes),
            of_limit(node.usage.disk_bytes, node.limits.disk_bytes),
            free.map_or_else(dash, tables::size),
            String::new(),
        ]
    }
}

/// Bytes in use, and how many may be.
fn of_limit(used: u64, limit: u64) -> String {
    match limit {
        0 => tables::size(used),
        limit => format!("{} of {}", tables::size(used), tables::size(limit)),
    }
}

/// The nodes in a table.
pub(super) fn shown(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "no nodes are known\n".to_owned();
    }
    let right = ["cpu", "memory", "captures", "ring", "disk", "disk free"];
    let mut columns = vec!["node", "status", "daemon"];
    columns.extend(right);
    columns.push("problem");
    let mut shown = table(&columns, &right);
    for row in rows {
        shown.add_row(row.cells().iter().map(|text| cell(text)));
    }
    text(&shown)
}

#[cfg(test)]
mod tests {
    use capture_client::model::{NodeLimits, NodeUsage};

    use super::*;

    fn daemon() -> Node {
        Node {
            version: "1.2.3".to_owned(),
            usage: NodeUsage {
                active_captures: 2,
                ring_bytes: 32 << 20,
                disk_bytes: 5 << 30,
                disk_free_bytes: Some(7 << 30),
                ..NodeUsage::default()
            },
            limits: NodeLimits {
                ring_bytes: 256 << 20,
                ..NodeLimits::default()
            },
            ..unknown()
        }
    }

    /// A node of which nothing is known.
    fn unknown() -> Node {
        Node {
            name: String::new(),
            version: String::new(),
            start_time: None,
            kernel_release: String::new(),
            architecture: String::new(),
            features: Default::default(),
            limits: Default::default(),
            usage: Default::default(),
            clock: Default::default(),
            caller_role: String::new(),
            caller: String::new(),
            log_level: String::new(),
        }
    }

    fn nodes() -> Value {
        let ready = |status: &str| json!([{ "type": "Ready", "status": status }]);
        json!({ "items": [
            { "metadata": { "name": "n1" },
              "status": { "conditions": ready("True"), "allocatable": { "cpu": "2", "memory": "2Gi" } } },
            { "metadata": { "name": "n2" }, "spec": { "unschedulable": true },
              "status": { "conditions": ready("Unknown") } },
        ] })
    }

    #[test]
    fn a_node_is_shown_as_kubernetes_and_its_daemon_see_it() {
        let used = Used {
            cpu: Some(0.5),
            memory: Some((1u64 << 30) as f64),
        };
        let answered = ClusterNode {
            name: "n1".to_owned(),
            node: Ok(Box::new(daemon())),
            interfaces: Vec::new(),
        };
        let rows = of(
            Some(&nodes()),
            &[("n1".to_owned(), used)].into(),
            Some(vec![answered]),
        );
        let n1 = [
            "n1",
            "Ready",
            "1.2.3",
            "500m (25%)",
            "1.0 GiB (50%)",
            "2",
            "32.0 MiB of 256.0 MiB",
            "5.0 GiB",
            "7.0 GiB",
            "",
        ];
        assert_eq!(rows[0].cells(), n1);
        let n2 = rows[1].cells();
        assert_eq!(n2[1], "NotReady,SchedulingDisabled");
        assert_eq!(n2[9], "no daemon runs on it");
        assert_eq!(rows[1].value()["ready"], false);
    }

    #[test]
    fn what_one_side_does_not_say_the_other_still_does() {
        let lost = ClusterNode {
            name: "n9".to_owned(),
            node: Err("connection refused".to_owned()),
            interfaces: Vec::new(),
        };
        let rows = of(None, &BTreeMap::new(), Some(vec![lost]));
        let cells = rows[0].cells();
        assert_eq!((cells[0].as_str(), cells[1].as_str()), ("n9", "-"));
        assert_eq!(cells[9], "connection refused");
        let rows = of(Some(&nodes()), &BTreeMap::new(), None);
        assert_eq!(rows[0].cells()[9], "", "the daemons were not asked");
        assert!(rows[0].value().get("problem").is_none());
        assert_eq!(shown(&[]), "no nodes are known\n");
    }
}
