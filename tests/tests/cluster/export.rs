//! The exporter of the chart: resources that name sinks.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    captures::{files, named, pair},
    lab::{Lab, NAMESPACE, number},
    workload::filter,
};

/// Where a sink puts files on each node: in the one directory that the exporter may write to.
const ARCHIVE: &str = "/var/lib/capture-export/archive";

/// The objects of capture files in the archive of a node.
fn archived(lab: &Lab, node: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left = vec![lab.cluster.path_in(lab.node(node)?, ARCHIVE)?];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let name = path.display().to_string();
            if path.is_dir() {
                left.push(path);
            } else if !name.ends_with(".sha256") && !name.ends_with(".manifest.json") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn exported(resource: &Value) -> Result<&Value> {
    let found = resource["status"]["export"].as_array();
    let archive = found.and_then(|sinks| sinks.iter().find(|sink| sink["sink"] == "archive"));
    archive.with_context(|| format!("no archive in {}", resource["status"]["export"]))
}

pub(crate) fn files_of_a_resource_go_to_the_sink_that_it_names_and_its_status_says_so(
    lab: &Lab,
) -> Result<()> {
    for node in lab.cluster.nodes() {
        fs::create_dir_all(lab.cluster.path_in(node, ARCHIVE)?)?;
    }
    let config = format!(
        "exporter.config=[sink.archive]\ntype = \"store\"\nurl = \"file://{ARCHIVE}\"\ncaptures = \"named\"\n"
    );
    lab.install(&["exporter.enabled=true", "exporter.logFormat=text", &config])?;
    let rollout = ["-n", NAMESPACE, "rollout", "status", "--timeout=120s"];
    lab.cluster
        .kubectl(&[&rollout[..], &["daemonset/capture-exporter"]].concat())?;

    let (web, db) = pair(lab)?;
    let spec = json!({
        "podSelector": {"pods": [named(&web), named(&db)]},
        "filter": filter(),
        "duration": 600,
        "maxPackets": 200,
        // Several files on each node.
        "rotation": {"maxPackets": 50},
    });
    let mut exporting = spec.clone();
    exporting["export"] = json!(["archive"]);
    lab.capture("exported", &exporting)?;
    lab.capture("local", &spec)?;
    for name in ["exported", "local"] {
        lab.wait_for_phase(name, "Running")?;
    }
    lab.talk(&web, &db, 100)?;
    for name in ["exported", "local"] {
        lab.wait_for_phase(name, "Completed")?;
    }
    let mut there = 0;
    for node in ["node1", "node2"] {
        there += files(lab, node, "exported")?.len() as u64;
    }
    ensure!(there >= 4, "{there} files");
    let resource = lab.wait_for("exported", "delivered", |status| {
        status["export"][0]["delivered"] == there && status["export"][0]["waiting"] == 0
    })?;
    ensure!(
        number(&exported(&resource)?["setAside"])? == 0,
        "{resource}"
    );
    let mut names = Vec::new();
    for node in ["node1", "node2"] {
        names.extend(archived(lab, node)?);
    }
    ensure!(names.len() as u64 == there, "{names:?}");
    let is_of_it = |path: &PathBuf| path.display().to_string().contains("/exported/");
    ensure!(
        names.iter().all(is_of_it),
        "a file of another capture: {names:?}"
    );

    // A user cannot name what the administrator did not configure.
    exporting["export"] = json!(["elsewhere"]);
    lab.capture("typo", &exporting)?;
    let failed = lab.wait_for_phase("typo", "Failed")?;
    let message = failed["status"]["message"].as_str().unwrap_or_default();
    for part in ["spec.export", "elsewhere", "archive"] {
        ensure!(message.contains(part), "{message}");
    }
    lab.install(&[])
}
