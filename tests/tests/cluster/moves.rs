//! Pods that come, go and move while they are captured.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::{
    captures::of_node,
    lab::{Lab, SHOP, number, written},
    workload::of_app,
};

pub(crate) fn a_pod_that_is_rescheduled_to_the_other_node_is_captured_there(
    lab: &Lab,
) -> Result<()> {
    let peer = lab.deploy("peer", 1, Some("node2"))?.remove(0);
    let before = lab.deploy("mover", 1, Some("node1"))?.remove(0);
    lab.capture("mover", &of_app("mover", 600))?;
    lab.wait_for_phase("mover", "Running")?;
    let first = lab.talk(&peer, &before, 150)?;

    let there = json!({"spec": {"template": {"spec": {
        "nodeSelector": {"kubernetes.io/hostname": "node2"},
    }}}});
    let words = ["-n", SHOP, "patch", "deployment", "mover", "-p"];
    lab.cluster
        .kubectl(&[&words[..], &[&there.to_string()]].concat())?;
    let moved = |pods: &[crate::workload::Pod]| pods.iter().all(|pod| pod.node == "node2");
    let after = capture_tests::wait::within(crate::lab::PATIENCE, "the pod to move", || {
        let pods = lab.wait_for_pods("mover", 1)?;
        Ok(moved(&pods).then_some(pods))
    })?
    .remove(0);
    let name = format!("{SHOP}/{}", after.name);
    lab.wait_for("mover", "on node2", |status| {
        let nodes = status["nodes"].as_array();
        nodes.is_some_and(|nodes| {
            nodes.iter().any(|node| {
                let pods = node["pods"].as_array();
                node["name"] == "node2"
                    && pods.is_some_and(|pods| pods.iter().any(|pod| *pod == name))
            })
        })
    })?;
    let second = lab.talk(&peer, &after, 250)?;

    let enough = |status: &serde_json::Value| status["summary"]["packets"] == first + second;
    let resource = lab.wait_for("mover", "complete", enough)?;
    ensure!(
        written(&resource)? == first + second,
        "{}",
        resource["status"]
    );
    // What was captured where the pod was before is kept.
    let node = of_node(&resource, "node1")?;
    ensure!(number(&node["ledger"]["written"])? == first, "{node}");
    lab.delete("mover")
}

pub(crate) fn a_deployment_is_followed_from_one_to_ten_to_two_pods(lab: &Lab) -> Result<()> {
    let peer = lab.deploy("peer", 1, Some("node1"))?.remove(0);
    let mut counted = 0;
    let mut pods = lab.deploy("many", 1, None)?;
    lab.capture("many", &of_app("many", 600))?;
    for replicas in [1, 10, 2] {
        if replicas != pods.len() {
            pods = lab.scale("many", replicas)?;
        }
        lab.wait_for("many", &format!("of {replicas} pods"), |status| {
            status["phase"] == "Running" && status["summary"]["pods"] == replicas
        })?;
        for pod in &pods {
            counted += lab.talk(&peer, pod, 20)?;
        }
    }
    let resource = lab.wait_for("many", "complete", |status| {
        status["summary"]["packets"] == counted
    })?;
    ensure!(written(&resource)? == counted, "{}", resource["status"]);
    lab.delete("many")
}
