//! Bad days: parts of the cluster are killed while captures run.

use std::thread;

use anyhow::{Context as _, Result, ensure};
use capture_tests::{capture_file, wait};
use serde_json::{Value, json};

use crate::{
    captures::{files, named, of_node, pair},
    lab::{Lab, NAMESPACE, PATIENCE, SHOP, number, written},
    workload::{Pod, filter},
};

const LEASE: &str = "capture-coordinator";

/// A capture of two pods on two nodes that ends on each node after this many packets.
fn of_pair(web: &Pod, db: &Pod, packets: u64) -> Value {
    json!({
        "podSelector": {"pods": [named(web), named(db)]},
        "filter": filter(),
        "duration": 600,
        "maxPackets": packets,
    })
}

fn holder(lab: &Lab) -> Result<String> {
    let words = ["-n", NAMESPACE, "get", "leases", LEASE];
    let lease = lab.cluster.kubectl_json(&words)?;
    let holder = lease["spec"]["holderIdentity"].as_str();
    Ok(holder.unwrap_or_default().to_owned())
}

pub(crate) fn a_killed_coordinator_starts_nothing_twice_and_loses_nothing(lab: &Lab) -> Result<()> {
    let (web, db) = pair(lab)?;
    lab.capture("leader", &of_pair(&web, &db, 800))?;
    lab.wait_for_phase("leader", "Running")?;
    let before = lab.capturectl("node1", &["get", "leader"])?;
    let mut counted = lab.talk(&web, &db, 200)?;

    // Killed where it runs: it gives nothing back, and the kubelet starts it again.
    let leader = holder(lab)?;
    let words = ["-n", NAMESPACE, "get", "pod", &leader];
    let pod = lab.cluster.kubectl_json(&words)?;
    let node = pod["spec"]["nodeName"].as_str().context("no node")?;
    // The kernel keeps fifteen letters of a name.
    lab.cluster.run_in(
        lab.node(node)?,
        &["pkill", "-KILL", "-x", "capture-coordin"],
    )?;
    counted += lab.talk(&web, &db, 50)?;
    wait::within(PATIENCE, "the lease to be renewed", || {
        let holder = holder(lab)?;
        let words = ["-n", NAMESPACE, "get", "pod", &holder];
        let pod = lab.cluster.kubectl_json(&words)?;
        Ok(crate::lab::is_ready(&pod).then_some(()))
    })?;

    // Its pod is deleted: the other one takes over.
    let leader = holder(lab)?;
    let kill = ["delete", "pod", &leader, "--grace-period=0", "--force"];
    lab.cluster
        .kubectl(&[&["-n", NAMESPACE][..], &kill].concat())
        .with_context(|| format!("killing the coordinator {leader}"))?;
    // Nobody leads now, and the nodes record all the same.
    counted += lab.talk(&db, &web, 150)?;
    wait::within(PATIENCE, "another coordinator to lead", || {
        let now = holder(lab)?;
        Ok((!now.is_empty() && now != leader).then_some(()))
    })?;
    let ended = lab.wait_for_phase("leader", "Completed")?;
    ensure!(written(&ended)? == 2 * counted, "{}", ended["status"]);
    let after = lab.capturectl("node1", &["get", "leader"])?;
    let started = |shown: &Value| shown[0]["request_id"].clone();
    ensure!(
        !started(&before).is_null() && started(&before) == started(&after),
        "started twice: {} and {}",
        started(&before),
        started(&after)
    );
    lab.settle()
}

pub(crate) fn a_killed_daemon_goes_on_capturing_and_its_files_stay(lab: &Lab) -> Result<()> {
    let (web, db) = pair(lab)?;
    lab.capture("crash", &of_pair(&web, &db, 1_000_000))?;
    lab.wait_for_phase("crash", "Running")?;
    lab.talk(&web, &db, 300)?;

    let node = lab.node("node2")?;
    let restarts = || -> Result<u64> {
        let pods = lab.pods(NAMESPACE, "app.kubernetes.io/component=daemon")?;
        let on_node = pods.iter().find(|pod| pod["spec"]["nodeName"] == "node2");
        let count = on_node.map(|pod| &pod["status"]["containerStatuses"][0]["restartCount"]);
        Ok(count.and_then(Value::as_u64).unwrap_or_default())
    };
    let before = restarts()?;
    // In the node's own PID namespace there is one.
    lab.cluster
        .run_in(node, &["pkill", "-KILL", "-x", "captured"])?;
    wait::within(PATIENCE, "the daemon to be started again", || {
        Ok((restarts()? > before).then_some(()))
    })?;
    lab.settle()?;
    wait::within(PATIENCE, "the capture to be resumed", || {
        let shown = lab.capturectl("node2", &["get", "crash"])?;
        Ok((shown[0]["state"] == "running").then_some(()))
    })?;
    lab.wait_for_phase("crash", "Running")?;
    let later = lab.talk(&db, &web, 200)?;
    lab.capturectl("node1", &["stop", "crash"])?;
    lab.capturectl("node2", &["stop", "crash"])?;
    let shown = lab.capturectl("node2", &["get", "crash"])?;
    let kept = number(&shown[0]["ledger"]["written"])?;
    ensure!(
        kept >= later,
        "{later} packets came after the crash, {kept} are written"
    );
    let mut in_files = 0;
    for file in files(lab, "node2", "crash")? {
        in_files += capture_file::read(&file)?.packets.len() as u64;
    }
    ensure!(
        in_files == kept,
        "{in_files} in files, {kept} in the ledger"
    );
    Ok(())
}

pub(crate) fn captures_go_on_while_the_api_server_is_away(lab: &Lab) -> Result<()> {
    let (web, db) = pair(lab)?;
    lab.capture("away", &of_pair(&web, &db, 1000))?;
    lab.wait_for_phase("away", "Running")?;
    let words = ["-n", SHOP, "get", "pod", &web.name];
    let pod = lab.cluster.kubectl_json(&words)?;
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str();
    let id = id.and_then(|id| id.strip_prefix("containerd://"));
    let id = id.context("no container")?;

    lab.cluster.stop_api_server()?;
    // Through the node, as nothing else goes without an API server.
    let sent = lab.cluster.run_in(
        lab.node("node1")?,
        &[
            "ctr",
            "-n",
            "k8s.io",
            "task",
            "exec",
            "--exec-id",
            "talk",
            id,
            "/capture-talk",
            "send",
            &db.address,
            "--count=500",
        ],
    );
    // Longer than a lease lasts, so that the coordinators have to elect again.
    thread::sleep(std::time::Duration::from_secs(20));
    lab.cluster.start_api_server()?;
    let counts: Value = serde_json::from_str(&sent?)?;
    ensure!(counts["answered"] == 500, "{counts}");
    let ended = lab.wait_for_phase("away", "Completed")?;
    ensure!(written(&ended)? == 2000, "{}", ended["status"]);
    for name in ["node1", "node2"] {
        let node = of_node(&ended, name)?;
        ensure!(number(&node["ledger"]["written"])? == 1000, "{node}");
    }
    lab.settle()
}

pub(crate) fn captures_go_on_while_kubelet_and_containerd_are_killed(lab: &Lab) -> Result<()> {
    let (web, db) = pair(lab)?;
    lab.capture("runtime", &of_pair(&web, &db, 1200))?;
    lab.wait_for_phase("runtime", "Running")?;
    let mut counted = lab.talk(&web, &db, 300)?;
    let node = lab.node("node2")?;
    for program in ["kubelet", "containerd"] {
        lab.cluster
            .run_in(node, &["pkill", "-KILL", "-x", program])?;
    }
    // Pods run on without either; the node's supervisor starts both again.
    wait::within(PATIENCE, "a program to be run in a pod of node2", || {
        let words = [
            "-n",
            SHOP,
            "exec",
            &db.name,
            "--",
            "/capture-talk",
            "--help",
        ];
        Ok(lab.cluster.kubectl(&words).is_ok().then_some(()))
    })?;
    counted += lab.talk(&db, &web, 300)?;
    let ended = lab.wait_for_phase("runtime", "Completed")?;
    ensure!(written(&ended)? == 2 * counted, "{}", ended["status"]);
    lab.settle()
}

pub(crate) fn an_upgrade_of_the_daemons_interrupts_a_capture_and_says_so(lab: &Lab) -> Result<()> {
    let (web, db) = pair(lab)?;
    lab.capture("upgrade", &of_pair(&web, &db, 100_000))?;
    lab.wait_for_phase("upgrade", "Running")?;
    let mut counted = lab.talk(&web, &db, 300)?;
    lab.install(&["daemon.podAnnotations.upgrade=second"])?;
    for node in ["node1", "node2"] {
        wait::within(PATIENCE, "the capture to be resumed", || {
            let shown = lab.capturectl(node, &["get", "upgrade"])?;
            Ok((shown[0]["state"] == "running").then_some(()))
        })?;
    }
    counted += lab.talk(&db, &web, 200)?;
    let complete = |status: &Value| status["summary"]["packets"] == 2 * counted;
    let resource = lab.wait_for("upgrade", "complete", complete)?;
    ensure!(written(&resource)? == 2 * counted, "{}", resource["status"]);
    for name in ["node1", "node2"] {
        let node = of_node(&resource, name)?;
        let warnings = node["warnings"].to_string();
        ensure!(
            warnings.contains("no daemon ran"),
            "nothing is said about the interruption: {warnings}"
        );
    }
    Ok(())
}
