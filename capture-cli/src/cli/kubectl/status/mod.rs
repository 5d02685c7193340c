//! `kubectl capture status`: captures, and beside them the nodes and pods that they depend on.

mod nodes;
mod pods;
mod quantity;
mod read;
mod used;

use std::time::SystemTime;

use capture_args::console::tell;
use capture_client::resource::RESOURCE;
use clap::Args;
use serde_json::{Value, json};

use self::read::Reading;
use super::{Cluster, coordinator::connect};
use crate::cli::{
    exit::{Error, Exit},
    output::{self, cell, table, text},
    tables,
};

/// Show captures, and the nodes and pods of the recorder; with a name, one capture on each of its nodes.
///
/// CPU and memory are those of metrics.k8s.io, which metrics-server serves. What this user may not read is left
/// out, and said below the tables.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Name of a capture.
    name: Option<String>,
    /// Labels of the recorder's pods, in the coordinator's namespace.
    #[arg(
        long,
        value_name = "SELECTOR",
        default_value = "app.kubernetes.io/component in (coordinator,daemon,exporter,web)"
    )]
    pod_selector: String,
}

pub(super) async fn run(cluster: &Cluster, arguments: &StatusArgs) -> Result<Exit, Error> {
    if let Some(name) = &arguments.name {
        let resource = cluster.kubectl.json(&["get", RESOURCE, name])?;
        output::print(cluster.format, &resource, || of_one(&resource))?;
        return Ok(Exit::Done);
    }
    let reading = Reading::begin(cluster, &arguments.pod_selector);
    let daemons = async {
        let connected = connect(cluster).await?;
        Ok::<_, Error>(connected.client.nodes().await?.nodes)
    };
    let daemons = daemons.await;
    let read = reading.end().await?;
    let mut exit = Exit::Done;
    let (daemons, problem) = match daemons {
        Ok(daemons) => (Some(daemons), None),
        Err(error) => {
            exit = error.exit();
            (None, Some(error.to_string()))
        }
    };
    if let Some(refused) = read.captures_refused {
        exit = exit.and(refused);
    }
    let captures = read.captures.as_deref();
    let nodes = nodes::of(read.nodes.as_ref(), &read.used_by_nodes, daemons);
    let pods = read
        .pods
        .as_ref()
        .map(|list| pods::of(list, &read.used_by_pods));
    let value = json!({
        "captures": captures,
        "nodes": nodes.iter().map(nodes::Row::value).collect::<Vec<_>>(),
        "pods": pods,
        "missing": read.missing,
        "problem": problem,
    });
    output::print(cluster.format, &value, || {
        let mut parts = Vec::new();
        parts.extend(captures.map(of_captures));
        parts.push(nodes::shown(&nodes));
        parts.extend(
            pods.as_ref()
                .map(|pods| pods::shown(pods, SystemTime::now())),
        );
        let lines: Vec<_> = read.missing.iter().map(ToString::to_string).collect();
        parts.extend((!lines.is_empty()).then(|| lines.join("\n")));
        let parts: Vec<_> = parts.iter().map(|part| part.trim_end()).collect();
        parts.join("\n\n")
    })?;
    if let Some(problem) = problem {
        tell(format_args!("the daemons are not known: {problem}"));
    }
    Ok(exit)
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
