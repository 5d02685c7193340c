//! The recorder's pods: where they run, whether they are ready, how often they were restarted and why, what they use.

use std::{collections::BTreeMap, time::SystemTime};

use serde::Serialize;
use serde_json::Value;

use super::used::Used;
use crate::cli::output::{cell, table, text};

/// A pod of the recorder.
#[derive(Debug, Serialize)]
pub(super) struct Pod {
    name: String,
    /// `daemon`, `coordinator`, `exporter` or `web`.
    component: String,
    node: Option<String>,
    phase: String,
    /// The phase, or why a container does not run, as `kubectl get pods` says it.
    status: String,
    ready_containers: usize,
    containers: usize,
    restarts: u64,
    last_restart: Option<Ended>,
    used: Used,
}

/// The latest end of a container that was restarted.
#[derive(Debug, Serialize)]
struct Ended {
    container: String,
    reason: String,
    exit_code: Option<i64>,
    at: String,
}

/// The label by which a pod is one of the recorder's.
const COMPONENT: &str = "app.kubernetes.io/component";

/// The pods of a list, by component and name.
pub(super) fn of(list: &Value, used: &BTreeMap<String, Used>) -> Vec<Pod> {
    let items = list["items"].as_array().into_iter().flatten();
    let mut pods: Vec<_> = items.map(|pod| read(pod, used)).collect();
    pods.sort_by(|a, b| (&a.component, &a.name).cmp(&(&b.component, &b.name)));
    pods
}

fn owned(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn read(pod: &Value, used: &BTreeMap<String, Used>) -> Pod {
    let name = owned(&pod["metadata"]["name"]);
    let statuses = pod["status"]["containerStatuses"].as_array();
    let statuses = || statuses.into_iter().flatten();
    let ended = statuses().filter_map(ended);
    Pod {
        component: owned(&pod["metadata"]["labels"][COMPONENT]),
        node: pod["spec"]["nodeName"].as_str().map(str::to_owned),
        phase: owned(&pod["status"]["phase"]),
        status: status(pod),
        ready_containers: statuses().filter(|one| one["ready"] == true).count(),
        containers: pod["spec"]["containers"].as_array().map_or(0, Vec::len),
        restarts: statuses()
            .filter_map(|one| one["restartCount"].as_u64())
            .sum(),
        // Times of Kubernetes sort as text.
        last_restart: ended.max_by(|a, b| a.at.cmp(&b.at)),
        used: used.get(&name).copied().unwrap_or_default(),
        name,
    }
}

fn ended(container: &Value) -> Option<Ended> {
    let last = container["lastState"]["terminated"].as_object()?;
    let text = |name: &str| last.get(name).map(owned).unwrap_or_default();
    Some(Ended {
        container: owned(&container["name"]),
        reason: text("reason"),
        exit_code: last.get("exitCode").and_then(Value::as_i64),
        at: text("finishedAt"),
    })
}

fn status(pod: &Value) -> String {
    if pod["metadata"]["deletionTimestamp"].is_string() {
        return "Terminating".to_owned();
    }
    let containers = pod["status"]["containerStatuses"].as_array();
    let states = containers.into_iter().flatten().map(|one| &one["state"]);
    let mut reasons = states.filter_map(|state| {
        let waiting = state["waiting"]["reason"].as_str();
        waiting.or(state["terminated"]["reason"].as_str())
    });
    let own = pod["status"]["reason"].as_str();
    let phase = pod["status"]["phase"].as_str();
    let said = own.or_else(|| reasons.next()).or(phase);
    said.unwrap_or("Unknown").to_owned()
}

/// The pods in a table.
pub(super) fn shown(pods: &[Pod], now: SystemTime) -> String {
    if pods.is_empty() {
        return "no pods of the recorder\n".to_owned();
    }
    let mut rows = table(
        &[
            "pod",
            "component",
            "node",
            "status",
            "ready",
            "restarts",
            "cpu",
            "memory",
        ],
        &["cpu", "memory"],
    );
    for pod in pods {
        let [cpu, memory] = pod.used.cells(Used::default());
        let cells = [
            pod.name.clone(),
            pod.component.clone(),
            pod.node.clone().unwrap_or_else(|| "-".to_owned()),
            pod.status.clone(),
            format!("{}/{}", pod.ready_containers, pod.containers),
            restarts(pod, now),
            cpu,
            memory,
        ];
        rows.add_row(cells.iter().map(|text| cell(text)));
    }
    text(&rows)
}

/// `3 (OOMKilled, 5m ago)`.
fn restarts(pod: &Pod, now: SystemTime) -> String {
    let Some(last) = pod.last_restart.as_ref().filter(|_| pod.restarts > 0) else {
        return pod.restarts.to_string();
    };
    let mut reason = last.reason.clone();
    // A program that fails is only in `Error`; its status says more.
    if let (true, Some(code)) = (reason.is_empty() || reason == "Error", last.exit_code) {
        reason = format!("exit status {code}");
    }
    let at = humantime::parse_rfc3339(&last.at).ok();
    match at.and_then(|at| now.duration_since(at).ok()) {
        Some(ago) => format!("{} ({reason}, {} ago)", pod.restarts, age(ago.as_secs())),
        None => format!("{} ({reason})", pod.restarts),
    }
}

/// A time that has passed, in its largest unit.
fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pods() -> Vec<Pod> {
        let one = json!([{ "name": "main" }]);
        let list = json!({ "items": [
            { "metadata": { "name": "w", "labels": { COMPONENT: "web" }, "deletionTimestamp": "2026-01-02T03:00:00Z" },
              "spec": { "nodeName": "n1", "containers": one }, "status": { "phase": "Running" } },
            { "metadata": { "name": "d2", "labels": { COMPONENT: "daemon" } },
              "spec": { "containers": one }, "status": { "phase": "Pending" } },
            { "metadata": { "name": "d1", "labels": { COMPONENT: "daemon" } },
              "spec": { "nodeName": "n1", "containers": one },
              "status": { "phase": "Running", "containerStatuses": [
                { "name": "main", "ready": false, "restartCount": 3,
                  "state": { "waiting": { "reason": "CrashLoopBackOff" } },
                  "lastState": { "terminated": { "reason": "OOMKilled", "exitCode": 137,
                                                 "finishedAt": "2026-01-02T03:00:00Z" } } },
            ] } },
            { "metadata": { "name": "c", "labels": { COMPONENT: "coordinator" } },
              "spec": { "nodeName": "n2", "containers": one },
              "status": { "phase": "Running", "containerStatuses": [
                { "name": "main", "ready": true, "restartCount": 1, "state": { "running": {} },
                  "lastState": { "terminated": { "reason": "Error", "exitCode": 2,
                                                 "finishedAt": "2026-01-01T03:00:00Z" } } },
            ] } },
        ] });
        let used = Used {
            cpu: Some(0.002),
            memory: Some(1_048_576.0),
        };
        of(&list, &[("c".to_owned(), used)].into())
    }

    #[test]
    fn a_pod_is_shown_with_its_state_and_the_reason_of_its_last_restart() {
        let now = humantime::parse_rfc3339("2026-01-02T03:05:00Z").unwrap();
        let shown = shown(&pods(), now);
        let rows: Vec<Vec<&str>> = shown
            .lines()
            .map(|line| line.split("  ").map(str::trim).collect())
            .map(|cells: Vec<&str>| cells.into_iter().filter(|cell| !cell.is_empty()).collect())
            .collect();
        assert_eq!(
            rows[1..],
            [
                vec![
                    "c",
                    "coordinator",
                    "n2",
                    "Running",
                    "1/1",
                    "1 (exit status 2, 24h ago)",
                    "2m",
                    "1.0 MiB"
                ],
                vec![
                    "d1",
                    "daemon",
                    "n1",
                    "CrashLoopBackOff",
                    "0/1",
                    "3 (OOMKilled, 5m ago)",
                    "-",
                    "-"
                ],
                vec!["d2", "daemon", "-", "Pending", "0/1", "0", "-", "-"],
                vec!["w", "web", "n1", "Terminating", "0/1", "0", "-", "-"],
            ],
            "{shown}"
        );
    }

    #[test]
    fn times_that_passed_are_told_in_their_largest_unit() {
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7200, "2h"),
            (200_000, "2d"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }
}
