//! `kubectl capture status`, with a real API server: nodes, pods and what they use, as far as the user may see it.

use std::{
    env, fs,
    os::unix::process::CommandExt as _,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use capture_tests::{gate, netns::Namespace, recorder, wait};
use serde_json::{Value, json};

use crate::scene::{API, Scene, assets};

/// Users: vera sees captures alone; erin has every right that the manual names. metrics.k8s.io is not served yet.
const USERS: &str = r#"
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: vera, namespace: shop}}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: erin, namespace: shop}}
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRole
  metadata: {name: captures}
  rules: [{apiGroups: [networking.packet.io], resources: [packetcaptureconfigs], verbs: [get, list]}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRole
  metadata: {name: nodes}
  rules: [{apiGroups: ["", metrics.k8s.io], resources: [nodes], verbs: [list]}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRoleBinding
  metadata: {name: captures}
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: captures}
  subjects:
  - {kind: ServiceAccount, name: vera, namespace: shop}
  - {kind: ServiceAccount, name: erin, namespace: shop}
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRoleBinding
  metadata: {name: nodes}
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: nodes}
  subjects: [{kind: ServiceAccount, name: erin, namespace: shop}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: Role
  metadata: {name: recorder, namespace: capture}
  rules: [{apiGroups: ["", metrics.k8s.io], resources: [pods], verbs: [list]}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: RoleBinding
  metadata: {name: recorder, namespace: capture}
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: recorder}
  subjects: [{kind: ServiceAccount, name: erin, namespace: shop}]
"#;

/// The API of metrics-server, as resources that the API server keeps itself.
fn definition(plural: &str, kind: &str, scope: &str) -> Value {
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.metrics.k8s.io"),
            "annotations": { "api-approved.kubernetes.io": "unapproved, of a test" },
        },
        "spec": {
            "group": "metrics.k8s.io",
            "scope": scope,
            "names": { "plural": plural, "kind": kind, "listKind": format!("{kind}List") },
            "versions": [{
                "name": "v1beta1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema },
            }],
        },
    })
}

fn measure(scene: &Scene) -> Result<()> {
    let definitions = [
        definition("nodes", "NodeMetrics", "Cluster"),
        definition("pods", "PodMetrics", "Namespaced"),
    ];
    for definition in definitions {
        scene.cluster.apply(&definition.to_string())?;
    }
    let usage = json!({ "cpu": "250123456n", "memory": "1Gi" });
    let measured = [
        json!({ "kind": "NodeMetrics", "metadata": { "name": "left" }, "usage": usage }),
        json!({
            "kind": "PodMetrics", "metadata": { "name": "daemon", "namespace": "capture" },
            "containers": [{ "name": "main", "usage": { "cpu": "12m", "memory": "24Mi" } }],
        }),
    ];
    for mut object in measured {
        object["apiVersion"] = "metrics.k8s.io/v1beta1".into();
        wait::until_true("metrics.k8s.io to be served", || {
            Ok(scene.cluster.apply(&object.to_string()).is_ok())
        })?;
    }
    Ok(())
}

/// What the command says to a user.
fn status(scene: &Scene, user: &str, words: &[&str]) -> Result<Output> {
    let mut configuration = scene.configuration()?;
    configuration["users"][0]["user"] = json!({ "token": scene.token(user)? });
    let directory = scene.cluster.directory();
    let file = directory.join(format!("{user}.kubeconfig"));
    fs::write(&file, configuration.to_string())?;
    let kubectl = assets()?.context("no assets")?;
    let path = env::join_paths(
        [kubectl]
            .into_iter()
            .chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())),
    )?;
    let mut command = Command::new(recorder::program()?.with_file_name("capturectl"));
    command
        .arg0("kubectl-capture")
        .arg("status")
        .args(["--coordinator-namespace", "capture", "--coordinator", API])
        .args(["--tls-server-name", "localhost", "--cacert"])
        .arg(scene.lab.path("ca.pem"))
        .arg("--kubeconfig")
        .arg(&file)
        .args(words)
        .env("PATH", path)
        .env("HOME", directory);
    run(&scene.network, command)
}

fn run(network: &Namespace, mut command: Command) -> Result<Output> {
    Ok(network.run(|| command.output())?)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The cells of the line that begins with a word.
fn row(text: &str, first: &str) -> Result<Vec<String>> {
    let lines = text.lines().map(|line| line.split("  ").map(str::trim));
    let mut rows = lines.map(|cells| cells.filter(|cell| !cell.is_empty()).map(str::to_owned));
    let found = rows.find_map(|cells| {
        let cells: Vec<String> = cells.collect();
        (cells.first().map(String::as_str) == Some(first)).then_some(cells)
    });
    found.with_context(|| format!("no line of {first} in:\n{text}"))
}

#[test]
fn the_status_of_a_cluster_has_its_nodes_and_pods_as_far_as_the_user_may_see_them() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let Some(assets) = assets()? else {
        return Ok(());
    };
    let scene = Scene::start(&assets, "st")?;
    scene.cluster.apply(USERS)?;
    scene.change_status("capture", "daemon", |status| {
        let ended = json!({
            "exitCode": 137, "reason": "OOMKilled", "containerID": "a://b",
            "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T01:00:00Z",
        });
        status["containerStatuses"] = json!([{
            "name": "main", "image": "none", "imageID": "none", "ready": true, "restartCount": 2,
            "state": { "running": { "startedAt": "2026-01-01T02:00:00Z" } },
            "lastState": { "terminated": ended },
        }]);
    })?;

    // Captures and daemons need no more than the rights on captures.
    let output = status(&scene, "vera", &[])?;
    let text = said(&output);
    ensure!(output.status.success(), "{output:?}");
    ensure!(
        row(&text, "left")?[1..3] == ["-", env!("CARGO_PKG_VERSION")],
        "{text}"
    );
    for line in [
        "status of nodes not shown: this user lacks the right to list nodes in the whole cluster",
        "pods of the recorder not shown: this user lacks the right to list pods in namespace capture",
        "CPU and memory not shown: the cluster serves no metrics.k8s.io",
    ] {
        ensure!(text.contains(line), "no {line:?} in:\n{text}");
    }
    let json: Value = serde_json::from_slice(&status(&scene, "vera", &["-o", "json"])?.stdout)?;
    ensure!(json["missing"][0]["right"] == "list nodes", "{json}");
    ensure!(
        json["pods"].is_null() && json["captures"] == json!([]),
        "{json}"
    );

    // Without the right to list captures nothing else is hidden.
    let output = status(&scene, "bob", &[])?;
    let text = said(&output);
    let line = "captures not shown: this user lacks the right to list packetcaptureconfigs";
    ensure!(
        !output.status.success() && text.contains(line),
        "{output:?}"
    );

    let output = status(&scene, "erin", &[])?;
    let text = said(&output);
    ensure!(output.status.success(), "{output:?}");
    let left = row(&text, "left")?;
    ensure!(left[1] == "Ready" && left[3..5] == ["-", "-"], "{text}");
    ensure!(left[5] == "0" && left[6].ends_with(" of 4.0 GiB"), "{text}");
    let pod = row(&text, "daemon")?;
    ensure!(pod[1..5] == ["daemon", "left", "Running", "1/1"], "{text}");
    ensure!(
        pod[5].starts_with("2 (OOMKilled, ") && pod[5].ends_with(" ago)"),
        "{text}"
    );
    ensure!(text.contains("serves no metrics.k8s.io"), "{text}");

    measure(&scene)?;
    let text = said(&status(&scene, "erin", &[])?);
    ensure!(
        row(&text, "left")?[3..5] == ["251m (13%)", "1.0 GiB (50%)"],
        "{text}"
    );
    ensure!(row(&text, "daemon")?[6..] == ["12m", "24.0 MiB"], "{text}");
    ensure!(!text.contains("not shown"), "{text}");
    let text = said(&status(&scene, "vera", &[])?);
    let line =
        "CPU and memory of nodes not shown: this user lacks the right to list nodes.metrics.k8s.io";
    ensure!(text.contains(line), "{text}");
    let json: Value = serde_json::from_slice(&status(&scene, "erin", &["-o", "json"])?.stdout)?;
    let node = &json["nodes"][0];
    let cpu = node["used"]["cpu"].as_f64().context("no CPU")?;
    ensure!(
        node["ready"] == true
            && (cpu - 0.250_123_456).abs() < 1e-9
            && node["node"]["version"].is_string(),
        "{node}"
    );
    ensure!(
        json["pods"][0]["last_restart"]["reason"] == "OOMKilled" && json["missing"] == json!([]),
        "{json}"
    );
    Ok(())
}
