//! Resources become captures on nodes, and come back as files that can be trusted.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use capture_tests::{capture_file, wait};
use serde_json::{Value, json};

use crate::{
    lab::{Lab, NAMESPACE, PATIENCE, SHOP, number, written},
    workload::{Pod, filter},
};

/// Where the chart puts capture files on a node.
const FILES: &str = "/var/lib/packet-captures";

pub(crate) fn the_ledger_of_pods_on_two_nodes_equals_what_the_pods_counted(
    lab: &Lab,
) -> Result<()> {
    let (web, db) = pair(lab)?;
    // Each datagram and each answer passes the interfaces of both pods.
    let packets = 2 * (300 + 200);
    let spec = json!({
        "podSelector": {"pods": [named(&web), named(&db)]},
        "filter": filter(),
        "duration": 600,
        // Each node stops by itself when it has all.
        "maxPackets": packets,
    });
    lab.capture("pair", &spec)?;
    lab.wait_for_phase("pair", "Running")?;
    let counted = lab.talk(&web, &db, 300)? + lab.talk(&db, &web, 200)?;
    ensure!(counted == packets, "{counted} counted");
    let ended = lab.wait_for_phase("pair", "Completed")?;
    ensure!(written(&ended)? == 2 * packets, "{}", ended["status"]);
    for pod in [&web, &db] {
        let node = of_node(&ended, &pod.node)?;
        ensure!(number(&node["ledger"]["written"])? == packets, "{node}");
        let mut in_files = 0;
        for file in files(lab, &pod.node, "pair")? {
            let contents = capture_file::read(&file)?;
            in_files += contents.packets.len() as u64;
        }
        ensure!(
            in_files == packets,
            "{in_files} in the files of {}",
            pod.node
        );
        let address = &lab.node(&pod.node)?.address;
        let reported = &ended["status"]["captureFiles"][address]["output_file"];
        let reported = reported.as_str().context("no file in the status")?;
        ensure!(
            reported.starts_with(FILES),
            "the file is reported as {reported}"
        );
        ensure!(
            lab.cluster
                .path_in(lab.node(&pod.node)?, reported)?
                .is_file(),
            "{reported} is not there"
        );
    }
    // The results are kept in a ConfigMap, which goes with the resource.
    let words = ["-n", NAMESPACE, "get", "configmaps", "pair-results"];
    let results = lab.cluster.kubectl_json(&words)?;
    ensure!(
        results["metadata"]["ownerReferences"][0]["name"] == "pair",
        "{results}"
    );
    let events = lab.cluster.kubectl(&[
        "get",
        "events",
        // Servers before 1.21 take events of objects without a namespace in one namespace alone.
        "--all-namespaces",
        "--field-selector",
        "involvedObject.name=pair",
    ])?;
    ensure!(
        events.lines().count() > 2,
        "no story in the events: {events}"
    );
    lab.delete("pair")?;
    wait::within(PATIENCE, "the results to go with the resource", || {
        Ok(lab.cluster.kubectl(&words).is_err().then_some(()))
    })
}

/// What users of this kind of controller have written, as they wrote it.
pub(crate) fn manifests_of_users_apply_unchanged_and_end_completed(lab: &Lab) -> Result<()> {
    let (web, db) = pair(lab)?;
    let manifests = [
        (
            "by-address",
            format!("  targetIPs: [\"{}\"]\n  targetPorts: [7000]\n", db.address),
        ),
        (
            "by-pod",
            format!(
                "  podSelector:\n    pods:\n    - podName: {}\n      namespace: {SHOP}\n  filter: udp\n",
                web.name
            ),
        ),
        (
            "by-both",
            format!(
                "  targetIPs: [\"{}\"]\n  podSelector:\n    pods:\n    - podName: {}\n      namespace: {SHOP}\n  outputFormat: pcap\n",
                db.address, web.name
            ),
        ),
        (
            "as-lines",
            format!(
                "  podSelector:\n    pods:\n    - podName: {}\n      namespace: {SHOP}\n  targetPorts: [7000]\n  outputFormat: stdout\n",
                web.name
            ),
        ),
    ];
    for (name, spec) in &manifests {
        lab.cluster.apply(&format!(
            "apiVersion: networking.packet.io/v1\nkind: PacketCaptureConfig\nmetadata:\n  name: {name}\n\
             spec:\n{spec}  duration: 20\n  maxPackets: 100\n"
        ))?;
    }
    for (name, _) in &manifests {
        lab.wait_for_phase(name, "Running")?;
    }
    lab.talk(&web, &db, 200)?;
    for (name, _) in &manifests {
        let ended = lab.wait_for_phase(name, "Completed")?;
        let node = of_node(&ended, &web.node)?;
        ensure!(
            number(&node["ledger"]["written"])? == 100,
            "{name} stops at its limit: {node}"
        );
        let address = &lab.node(&web.node)?.address;
        let file = &ended["status"]["captureFiles"][address];
        if *name == "as-lines" {
            ensure!(file["file_size"] == 0, "{file}");
        } else {
            let names = files(lab, &web.node, name)?;
            ensure!(names.len() == 1, "{names:?}");
            let text = names[0].display().to_string();
            let begin = format!("/{name}-20");
            ensure!(
                text.contains(&begin) && text.contains(".pcap"),
                "{name}: {text}"
            );
            ensure!(
                capture_file::read(&names[0])?.packets.len() == 100,
                "{text}"
            );
        }
    }
    let pod = lab.daemon_on(&web.node)?;
    let log = lab.cluster.kubectl(&["-n", NAMESPACE, "logs", &pod])?;
    let lines = log.lines().filter(|line| line.contains("PACKET:")).count();
    ensure!(lines == 100, "{lines} lines of packets in the daemon's log");
    Ok(())
}

pub(crate) fn twenty_captures_of_one_pod_at_once_have_all_its_packets_each(
    lab: &Lab,
) -> Result<()> {
    const CAPTURES: usize = 20;
    let (web, db) = pair(lab)?;
    let spec = json!({
        "podSelector": {"pods": [named(&web)]},
        "filter": filter(),
        "duration": 600,
        "maxPackets": 60,
    });
    let captures: Vec<Value> = (0..CAPTURES)
        .map(|number| {
            json!({
                "apiVersion": "networking.packet.io/v1",
                "kind": "PacketCaptureConfig",
                "metadata": {"name": format!("one-of-{number}")},
                "spec": spec,
            })
        })
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": captures});
    lab.cluster.apply(&list.to_string())?;
    let all_are = |phase: &str| {
        wait::within(PATIENCE, &format!("all captures to be {phase}"), || {
            let list = lab.cluster.kubectl_json(&["get", "packetcaptureconfigs"])?;
            let items = list["items"].as_array().cloned().unwrap_or_default();
            let are = items.iter().filter(|one| one["status"]["phase"] == phase);
            Ok((are.count() == CAPTURES).then_some(items))
        })
    };
    all_are("Running")?;
    let counted = lab.talk(&db, &web, 30)?;
    for ended in all_are("Completed")? {
        ensure!(
            written(&ended)? == counted,
            "{}: {}",
            ended["metadata"]["name"],
            ended["status"]
        );
    }
    Ok(())
}

/// Two pods on two nodes.
pub(crate) fn pair(lab: &Lab) -> Result<(Pod, Pod)> {
    let web = lab.deploy("web", 1, Some("node1"))?.remove(0);
    let db = lab.deploy("db", 1, Some("node2"))?.remove(0);
    ensure!((web.node.as_str(), db.node.as_str()) == ("node1", "node2"));
    Ok((web, db))
}

pub(crate) fn named(pod: &Pod) -> Value {
    json!({"podName": pod.name, "namespace": SHOP})
}

/// What the status says about a node.
pub(crate) fn of_node<'a>(resource: &'a Value, node: &str) -> Result<&'a Value> {
    let nodes = resource["status"]["nodes"].as_array();
    let found = nodes.and_then(|nodes| nodes.iter().find(|one| one["name"] == node));
    found.with_context(|| format!("{node} is not in {}", resource["status"]))
}

/// The finished files of a capture on a node, to be read from outside.
pub(crate) fn files(lab: &Lab, node: &str, capture: &str) -> Result<Vec<PathBuf>> {
    let directory = lab
        .cluster
        .path_in(lab.node(node)?, &format!("{FILES}/{capture}"))?;
    let entries = std::fs::read_dir(&directory)
        .with_context(|| format!("reading {}", directory.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if is_capture_file(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

pub(crate) fn is_capture_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.contains(".pcap") && !name.ends_with(".part")
}
