//! Nodes that are lost, daemons that reject requests, and invalid resources.

use std::{sync::Arc, time::Duration};

use capture_client::model::StateReason;

use super::world::{World, of_pods};
use crate::{
    decide::{GRACE, Link, spec::LABEL_UID},
    resource::{NodePhase, Phase},
};

fn two_nodes() -> World {
    let mut world = World::new(of_pods());
    for (node, pod) in [("n1", "a"), ("n2", "b")] {
        world.add_node(node);
        world.add_pod(pod, node);
    }
    world
}

#[test]
fn an_invalid_resource_says_why_at_once_and_starts_nothing() {
    let mut world = World::new(serde_json::json!({ "targetIPs": ["not an address"] }));
    world.add_node("n1");
    world.members.insert("n1".to_owned(), Default::default());
    assert!(world.settle().is_empty());
    assert_eq!(world.status.phase, Some(Phase::Failed));
    assert!(
        world.status.message.contains("spec.targetIPs[0]"),
        "{}",
        world.status.message
    );
    let accepted = &world.status.conditions[0];
    assert_eq!(
        (accepted.type_.as_str(), accepted.status.as_str()),
        ("Accepted", "False")
    );
}

#[test]
fn pods_that_do_not_exist_are_named() {
    let mut world =
        World::new(serde_json::json!({ "podSelector": { "pods": [{ "podName": "x" }] } }));
    world.missing = vec![("default".to_owned(), "x".to_owned())];
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Starting));
    assert_eq!(
        world.status.message,
        "waiting for pod default/x, which does not exist"
    );
}

#[test]
fn a_node_without_a_daemon_is_named_and_the_others_run() {
    let mut world = two_nodes();
    world.nodes.get_mut("n2").unwrap().link = Link::NoDaemon;
    assert_eq!(world.settle(), [("n1".to_owned(), "start")]);
    assert_eq!(world.status.phase, Some(Phase::Running));
    assert!(
        world
            .status
            .message
            .contains("1 node waiting (n2: no daemon runs on the node)"),
        "{}",
        world.status.message
    );
    world.pass(Duration::from_secs(60) + GRACE);
    world.end("n1", StateReason::Duration);
    world.settle();
    assert_eq!(
        world.status.phase,
        Some(Phase::Degraded),
        "it was never captured"
    );
    assert!(world.status.completed_at.is_some());
}

#[test]
fn a_refused_expression_is_permanent_until_the_resource_changes() {
    let mut world = two_nodes();
    world.fault("n1", "filter: syntax error", true);
    world.fault("n2", "filter: syntax error", true);
    assert!(world.settle().is_empty());
    assert_eq!(world.status.phase, Some(Phase::Failed));
    assert!(
        world.status.message.contains("syntax error"),
        "{}",
        world.status.message
    );
    world.pass(Duration::from_secs(3600));
    assert!(world.settle().is_empty(), "not tried again");
    let mut spec = of_pods();
    spec["filter"] = "tcp".into();
    world.edit(spec);
    assert_eq!(world.settle().len(), 2);
}

#[test]
fn a_passing_fault_is_tried_again_when_its_time_has_come() {
    let mut world = two_nodes();
    world.fault("n1", "limit reached", false);
    assert_eq!(world.settle(), [("n2".to_owned(), "start")]);
    assert_eq!(world.decide().again_in, Some(Duration::from_secs(5)));
    world.pass(Duration::from_secs(5));
    assert_eq!(world.settle(), [("n1".to_owned(), "start")]);
}

#[test]
fn a_lost_node_is_reported_and_given_up_after_the_end() {
    let mut world = two_nodes();
    world.settle();
    world.nodes.get_mut("n2").unwrap().link = Link::Broken("timed out".to_owned());
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Degraded));
    assert_eq!(world.status.nodes[1].phase, NodePhase::Unreachable);
    world.pass(Duration::from_secs(60));
    world.end("n1", StateReason::Duration);
    world.settle();
    assert!(world.status.completed_at.is_none(), "it may come back");
    world.pass(GRACE);
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Degraded));
    assert_eq!(world.status.nodes[1].phase, NodePhase::Lost);
    assert!(world.status.completed_at.is_some());
}

#[test]
fn a_node_that_comes_back_with_its_capture_ends_completed() {
    let mut world = two_nodes();
    world.settle();
    let link = |world: &mut World, link| world.nodes.get_mut("n2").unwrap().link = link;
    link(&mut world, Link::Broken("timed out".to_owned()));
    world.pass(Duration::from_secs(50));
    world.settle();
    link(&mut world, Link::Ready);
    assert!(world.settle().is_empty(), "nothing is started twice");
    assert_eq!(world.status.phase, Some(Phase::Running));
    world.pass(Duration::from_secs(10));
    for node in ["n1", "n2"] {
        world.end(node, StateReason::Duration);
    }
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Completed));
}

#[test]
fn a_coordinator_that_starts_changes_nothing_until_the_daemons_have_answered() {
    let mut world = two_nodes();
    world.settle();
    let before = world.status.clone();
    for node in world.nodes.values_mut() {
        node.link = Link::Connecting;
        node.capture = None;
    }
    assert!(world.settle().is_empty());
    assert_eq!(world.status.nodes, before.nodes);
    assert_eq!(world.status.phase, before.phase);
}

#[test]
fn deletion_does_not_wait_for_ever_for_a_lost_node() {
    let mut world = two_nodes();
    world.settle();
    world.nodes.get_mut("n2").unwrap().link = Link::Broken("timed out".to_owned());
    world.end("n1", StateReason::Requested);
    world.deleting = Some(world.now);
    let decision = world.decide();
    assert!(!decision.release && decision.again_in.is_some());
    world.pass(GRACE);
    assert!(world.decide().release);
    let gone = world.nodes.get_mut("n2").unwrap();
    (gone.exists, gone.link) = (false, Link::NoDaemon);
    world.deleting = Some(world.now);
    assert!(
        world.decide().release,
        "a node that is gone is not waited for at all"
    );
}

#[test]
fn a_capture_of_somebody_else_is_left_alone_and_one_of_an_earlier_resource_is_replaced() {
    let mut world = two_nodes();
    world.settle();
    let theirs = world.nodes["n1"].capture.clone().unwrap();
    let mut somebody = capture_client::model::Capture::clone(&theirs);
    somebody.labels.clear();
    let mut earlier = capture_client::model::Capture::clone(&theirs);
    earlier
        .labels
        .insert(LABEL_UID.to_owned(), "uid-0".to_owned());
    let mut world = two_nodes();
    world.nodes.get_mut("n1").unwrap().capture = Some(Arc::new(somebody));
    world.nodes.get_mut("n2").unwrap().capture = Some(Arc::new(earlier));
    assert_eq!(world.settle(), [("n2".to_owned(), "replace")]);
    let status = &world.status.nodes[0];
    assert_eq!(status.phase, NodePhase::Waiting);
    assert!(
        status.message.contains("somebody else"),
        "{}",
        status.message
    );
}

#[test]
fn a_node_that_failed_is_not_hidden_by_those_that_completed() {
    let mut world = two_nodes();
    world.settle();
    world.end("n1", StateReason::Duration);
    world.end("n2", StateReason::WriteError);
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Degraded));
    assert_eq!(world.status.nodes[1].phase, NodePhase::Failed);
    let degraded = world
        .status
        .conditions
        .iter()
        .find(|one| one.type_ == "Degraded");
    assert_eq!(degraded.unwrap().status, "True");
}

#[test]
fn a_status_fits_into_an_object_with_a_thousand_nodes() {
    let mut world = World::new(of_pods());
    for number in 0..1000 {
        let node = format!("node-{number:04}.example.internal");
        world.add_node(&node);
        for pod in 0..3 {
            world.add_pod(&format!("deployment-abcdefgh-{number}-{pod}"), &node);
        }
    }
    world.settle();
    for node in world.nodes.keys().cloned().collect::<Vec<_>>() {
        world.end(&node, StateReason::Duration);
    }
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Completed));
    let bytes = serde_json::to_vec(&world.status).unwrap().len();
    assert!(bytes < 1 << 20, "{bytes} bytes");
}
