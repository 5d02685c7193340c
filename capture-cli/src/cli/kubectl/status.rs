//! `kubectl capture status`.

use capture_args::console::tell;
use capture_client::cluster::ClusterNode;
use clap::Args;
use serde_json::{Value, json};

use super::{Cluster, coordinator::connect, resource::RESOURCE};
use crate::cli::{
    exit::{Error, Exit},
    output::{self, cell, table, text},
    tables,
};

/// Show captures and the nodes' daemons; with a name, one capture on each of its nodes.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Name of a capture.
    name: Option<String>,
}

pub(super) async fn run(cluster: &Cluster, arguments: &StatusArgs) -> Result<Exit, Error> {
    if let Some(name) = &arguments.name {
        let resource = cluster.kubectl.json(&["get", RESOURCE, name])?;
        output::print(cluster.format, &resource, || of_one(&resource))?;
        return Ok(Exit::Done);
    }
    let list = cluster.kubectl.json(&["get", RESOURCE])?;
    let captures = list["items"].as_array().cloned().unwrap_or_default();
    let nodes = async {
        let connected = connect(cluster).await?;
        Ok::<_, Error>(connected.client.nodes().await?)
    };
    let (nodes, problem) = match nodes.await {
        Ok(nodes) => (nodes, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let value = json!({
        "captures": captures,
        "nodes": nodes.iter().map(value_of).collect::<Vec<_>>(),
        "problem": problem.as_ref().map(ToString::to_string),
    });
    output::print(cluster.format, &value, || {
        format!("{}\n{}", of_captures(&captures), of_nodes(&nodes))
    })?;
    match problem {
        Some(error) => {
            tell(format_args!("the nodes are not known: {error}"));
            Ok(error.exit())
        }
        None => Ok(Exit::Done),
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => "-".to_owned(),
    }
}

fn of_captures(captures: &[Value]) -> String {
    if captures.is_empty() {
        return "no captures\n".to_owned();
    }
    let mut rows = table(
        &[
            "capture", "status", "nodes", "pods", "packets", "lost", "message",
        ],
        &["nodes", "pods", "packets", "lost"],
    );
    for capture in captures {
        let status = &capture["status"];
        let summary = &status["summary"];
        let values = [
            &capture["metadata"]["name"],
            &status["phase"],
            &summary["nodes"],
            &summary["pods"],
            &summary["packets"],
            &summary["lost"],
            &status["message"],
        ];
        rows.add_row(values.map(|value| cell(&word(value))));
    }
    text(&rows)
}

fn of_one(resource: &Value) -> String {
    let status = &resource["status"];
    let mut said = format!(
        "{}: {}: {}\n\n",
        word(&resource["metadata"]["name"]),
        word(&status["phase"]),
        word(&status["message"])
    );
    let mut rows = table(
        &[
            "node", "phase", "packets", "lost", "files", "pods", "message",
        ],
        &["packets", "lost", "files"],
    );
    for node in status["nodes"].as_array().into_iter().flatten() {
        let ledger = &node["ledger"];
        let lost = ["ringFull", "unreadable", "discarded"].map(|key| ledger[key].as_u64());
        let lost: Option<u64> = lost.into_iter().sum();
        let pods = node["pods"].as_array().into_iter().flatten().map(word);
        let pods: Vec<String> = pods.collect();
        rows.add_row([
            cell(&word(&node["name"])),
            cell(&word(&node["phase"])),
            cell(&tables::count(ledger["written"].as_u64())),
            cell(&tables::count(lost)),
            cell(&node["files"].as_array().map_or(0, Vec::len).to_string()),
            cell(&pods.join(" ")),
            cell(&word(&node["message"])),
        ]);
    }
    said.push_str(&text(&rows));
    said
}

fn of_nodes(nodes: &[ClusterNode]) -> String {
    let mut rows = table(
        &[
            "node",
            "daemon",
            "kernel",
            "captures",
            "disk free",
            "problem",
        ],
        &["captures", "disk free"],
    );
    for node in nodes {
        let cells = match &node.node {
            Ok(answer) => [
                answer.version.clone(),
                answer.kernel_release.clone(),
                answer.usage.active_captures.to_string(),
                answer
                    .usage
                    .disk_free_bytes
                    .map_or_else(|| "-".to_owned(), tables::size),
                String::new(),
            ],
            Err(problem) => ["-", "-", "-", "-", problem].map(str::to_owned),
        };
        let mut row = vec![cell(&node.name)];
        row.extend(cells.iter().map(|text| cell(text)));
        rows.add_row(row);
    }
    text(&rows)
}

fn value_of(node: &ClusterNode) -> Value {
    match &node.node {
        Ok(answer) => json!({ "name": node.name, "node": answer }),
        Err(problem) => json!({ "name": node.name, "problem": problem }),
    }
}
