//! `kubectl capture doctor`: what is missing on which node.

use std::collections::{BTreeMap, BTreeSet};

use capture_args::console::plain;
use capture_client::{cluster::ClusterNode, model::Node};
use clap::Args;
use serde_json::{Value, json};

use super::{Cluster, coordinator::connect};
use crate::cli::{
    exit::{Error, Exit},
    output,
};

/// Say what is missing on which node: a daemon, a right, a kernel feature, disk, a connection, a version.
///
/// Exits with status 1 if something is.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Labels of the daemons' pods.
    #[arg(
        long,
        value_name = "KEY=VALUE",
        default_value = "app.kubernetes.io/component=daemon"
    )]
    daemon_selector: String,
}

/// Findings by node; an empty name is the cluster.
type Findings = BTreeMap<String, Vec<String>>;

pub(super) async fn run(cluster: &Cluster, arguments: &DoctorArgs) -> Result<Exit, Error> {
    let mut findings = Findings::new();
    let pods = cluster.kubectl.json(&[
        "get",
        "pods",
        "-n",
        &cluster.arguments.coordinator_namespace,
        "-l",
        &arguments.daemon_selector,
    ]);
    match &pods {
        Ok(pods) => of_pods(pods, &mut findings),
        Err(error) => note(
            &mut findings,
            "",
            format!("the daemons' pods are not known: {error}"),
        ),
    }
    // Who may not list nodes still learns what the daemons say.
    if let (Ok(nodes), Ok(pods)) = (cluster.kubectl.json(&["get", "nodes"]), &pods) {
        without_pod(&nodes, pods, &mut findings);
    }
    let connected = async {
        let connected = connect(cluster).await?;
        Ok::<_, Error>(connected.client.nodes().await?.nodes)
    };
    match connected.await {
        Ok(nodes) => of_nodes(&nodes, &mut findings),
        Err(error) => note(&mut findings, "", format!("the coordinator: {error}")),
    }
    let is_well = findings.values().all(Vec::is_empty);
    output::print(cluster.format, &json!({ "findings": findings }), || {
        shown(&findings)
    })?;
    Ok(if is_well { Exit::Done } else { Exit::Failed })
}

fn note(findings: &mut Findings, node: &str, text: String) {
    findings.entry(node.to_owned()).or_default().push(text);
}

fn shown(findings: &Findings) -> String {
    let mut text = String::new();
    for (node, problems) in findings {
        let node = if node.is_empty() { "cluster" } else { node };
        if problems.is_empty() {
            text.push_str(&format!("{}: well\n", plain(node)));
        }
        for problem in problems {
            text.push_str(&format!("{}: {}\n", plain(node), plain(problem)));
        }
    }
    text
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Daemons that do not run, and why.
fn of_pods(pods: &Value, findings: &mut Findings) {
    for pod in items(pods) {
        let node = text(&pod["spec"]["nodeName"]).to_owned();
        let name = text(&pod["metadata"]["name"]);
        findings.entry(node.clone()).or_default();
        let statuses = pod["status"]["containerStatuses"].as_array();
        for container in statuses.into_iter().flatten() {
            let waiting = &container["state"]["waiting"];
            if waiting.is_object() {
                let (reason, message) = (text(&waiting["reason"]), text(&waiting["message"]));
                let problem = format!("daemon {name} waits: {reason} {message}");
                note(findings, &node, problem.trim_end().to_owned());
            } else if container["ready"] == false {
                note(findings, &node, format!("daemon {name} is not ready"));
            }
            let last = &container["lastState"]["terminated"];
            if last.is_object() {
                note(
                    findings,
                    &node,
                    format!(
                        "daemon {name} ended {} times, last with {} {}: kubectl logs --previous {name} says why",
                        container["restartCount"],
                        text(&last["reason"]),
                        last["exitCode"]
                    ),
                );
            }
        }
    }
}

/// Nodes on which no daemon is placed.
fn without_pod(nodes: &Value, pods: &Value, findings: &mut Findings) {
    let placed: BTreeSet<&str> = items(pods)
        .map(|pod| text(&pod["spec"]["nodeName"]))
        .collect();
    for node in items(nodes) {
        let name = text(&node["metadata"]["name"]);
        if !placed.contains(name) {
            let problem = "no daemon is placed on it: tolerations or nodeSelector of the DaemonSet";
            note(findings, name, problem.to_owned());
        }
    }
}

/// What the daemons say, and those that cannot be reached.
fn of_nodes(nodes: &[ClusterNode], findings: &mut Findings) {
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for node in nodes {
        if let Ok(answer) = &node.node {
            *versions.entry(&answer.version).or_default() += 1;
        }
    }
    let usual = versions.iter().max_by_key(|(_, number)| **number);
    let usual = usual.map(|(version, _)| *version);
    for node in nodes {
        findings.entry(node.name.clone()).or_default();
        match &node.node {
            Err(problem) => {
                let problem = format!("the coordinator cannot reach its daemon: {problem}");
                note(findings, &node.name, problem);
            }
            Ok(answer) => {
                for problem in of_node(answer, usual) {
                    note(findings, &node.name, problem);
                }
            }
        }
    }
}

/// The least part of a disk that is enough, as one in so many.
const ENOUGH: u64 = 20;

fn of_node(node: &Node, usual: Option<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    if usual.is_some_and(|usual| usual != node.version) {
        problems.push(format!(
            "its daemon has version {}, others {}",
            node.version,
            usual.unwrap_or_default()
        ));
    }
    if env!("CARGO_PKG_VERSION") != node.version {
        problems.push(format!(
            "its daemon has version {}, this program {}",
            node.version,
            env!("CARGO_PKG_VERSION")
        ));
    }
    let missing = node.features.probes.iter().filter(|(_, there)| !**there);
    let missing: Vec<&str> = missing.map(|(name, _)| name.as_str()).collect();
    if !missing.is_empty() {
        problems.push(format!(
            "kernel {} lacks {}",
            node.kernel_release,
            missing.join(", ")
        ));
    }
    if node.clock.synchronised == Some(false) {
        problems.push(
            "its clock is not synchronised: packets of several nodes may be out of order"
                .to_owned(),
        );
    }
    if node.caller_role != "operator" {
        problems.push(format!(
            "the coordinator is only {} there: [[client]] of the daemon's configuration",
            node.caller_role
        ));
    }
    let (used, free) = (node.usage.disk_bytes, node.usage.disk_free_bytes);
    if free.is_some_and(|free| free < (free + used) / ENOUGH) {
        let free = crate::cli::tables::size(free.unwrap_or_default());
        problems.push(format!("only {free} are free for capture files"));
    }
    if node.usage.active_captures >= node.limits.max_active_captures {
        problems.push(format!(
            "{} captures run, and no more may",
            node.usage.active_captures
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_does_not_run_is_named_with_the_reason() {
        let pods = json!({ "items": [
            { "metadata": { "name": "d1" }, "spec": { "nodeName": "n1" }, "status": { "containerStatuses": [
                { "ready": false, "state": { "waiting": { "reason": "ImagePullBackOff" } } }
            ] } },
            { "metadata": { "name": "d2" }, "spec": { "nodeName": "n2" }, "status": { "containerStatuses": [
                { "ready": true, "restartCount": 3, "state": { "running": {} },
                  "lastState": { "terminated": { "reason": "OOMKilled", "exitCode": 137 } } }
            ] } },
        ] });
        let nodes = json!({ "items": [
            { "metadata": { "name": "n1" } }, { "metadata": { "name": "n2" } },
            { "metadata": { "name": "n3" } },
        ] });
        let mut findings = Findings::new();
        of_pods(&pods, &mut findings);
        without_pod(&nodes, &pods, &mut findings);
        let text = shown(&findings);
        for part in [
            "n1: daemon d1 waits: ImagePullBackOff",
            "ended 3 times",
            "OOMKilled",
            "n3: no daemon",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
