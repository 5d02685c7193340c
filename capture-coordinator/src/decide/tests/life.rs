//! The states of a resource on healthy nodes.

use std::{sync::Arc, time::Duration};

use capture_client::model::{Span, StateReason};

use super::world::{World, file, of_pods};
use crate::{
    decide::GRACE,
    resource::{NodePhase, Phase},
};

fn started() -> World {
    let mut world = World::new(of_pods());
    world.add_node("n1");
    world.add_node("n2");
    world.add_pod("a", "n1");
    world.settle();
    world
}

fn pods(world: &World, node: &str) -> Vec<String> {
    let capture = world.nodes[node].capture.as_ref().expect("a capture");
    let selection = capture.spec.pods.as_ref().expect("pods");
    selection.pods.iter().map(|pod| pod.name.clone()).collect()
}

#[test]
fn a_capture_runs_where_the_pods_are_and_ends_completed_with_its_files() {
    let mut world = started();
    assert_eq!(world.status.phase, Some(Phase::Running));
    assert_eq!(world.status.nodes.len(), 1);
    assert_eq!(pods(&world, "n1"), ["a"]);
    let limits = &world.nodes["n1"].capture.as_ref().unwrap().spec.limits;
    assert_eq!(limits.duration, Some(Span(Duration::from_secs(60))));
    assert_eq!(limits.packets, Some(1000));
    assert!(world.status.started_at.is_some());

    world.pass(Duration::from_secs(60));
    world.end("n1", StateReason::Duration);
    assert_eq!(world.settle(), [("n1".to_owned(), "list_files")]);
    assert_eq!(world.status.phase, Some(Phase::Completed));
    assert!(world.status.completed_at.is_some());
    let (address, file) = world.status.capture_files.first_key_value().unwrap();
    assert_eq!(address, "192.0.2.1");
    assert_eq!(
        file.output_file,
        "/var/lib/packet-captures/web/web-20270115-080000-000001.pcap"
    );
    assert_eq!(file.file_size, 24);
}

#[test]
fn nothing_is_completed_whose_files_have_no_checksum_yet() {
    let mut world = started();
    world.end("n1", StateReason::Duration);
    let files = Arc::new(vec![file("web", None)]);
    world.nodes.get_mut("n1").unwrap().files = Some(files);
    let decision = world.decide();
    assert_eq!(decision.status.phase, Some(Phase::Running));
    assert_eq!(decision.status.nodes[0].phase, NodePhase::Finishing);
    assert_eq!(decision.actions.len(), 1, "the files are asked for again");
    assert!(decision.status.completed_at.is_none());
}

#[test]
fn pods_join_and_leave_and_only_the_difference_is_sent() {
    let mut world = started();
    world.add_pod("b", "n1");
    assert_eq!(world.settle(), [("n1".to_owned(), "update")]);
    assert_eq!(pods(&world, "n1"), ["a", "b"]);
    assert!(world.settle().is_empty(), "nothing changed");
    world.remove_pod("a");
    assert_eq!(world.settle(), [("n1".to_owned(), "update")]);
    assert_eq!(pods(&world, "n1"), ["b"]);
}

#[test]
fn a_pod_that_moves_is_captured_on_the_other_node_for_the_rest_of_the_time() {
    let mut world = started();
    world.pass(Duration::from_secs(20));
    world.remove_pod("a");
    world.add_pod("a", "n2");
    assert_eq!(
        world.settle(),
        [("n1".to_owned(), "update"), ("n2".to_owned(), "start")]
    );
    assert!(pods(&world, "n1").is_empty(), "the capture waits for pods");
    let limits = &world.nodes["n2"].capture.as_ref().unwrap().spec.limits;
    assert_eq!(limits.duration, Some(Span(Duration::from_secs(40))));
    assert_eq!(world.status.summary.as_ref().unwrap().nodes, "2/2");
}

#[test]
fn a_pod_that_comes_after_the_end_starts_nothing() {
    let mut world = started();
    world.pass(Duration::from_secs(61));
    world.add_pod("b", "n2");
    assert!(world.settle().is_empty());
}

#[test]
fn a_change_of_the_filter_changes_the_running_capture() {
    let mut world = started();
    let mut spec = of_pods();
    spec["filter"] = "tcp".into();
    spec["duration"] = 100.into();
    world.edit(spec);
    assert_eq!(world.settle(), [("n1".to_owned(), "update")]);
    let capture = world.nodes["n1"].capture.as_ref().unwrap();
    assert_eq!(capture.spec.filter, "tcp");
    assert_eq!(
        capture.spec.limits.duration,
        Some(Span(Duration::from_secs(100)))
    );
    assert_eq!(world.status.observed_generation, Some(2));
}

#[test]
fn a_change_of_what_is_fixed_starts_the_capture_anew() {
    let mut world = started();
    let mut spec = of_pods();
    spec["snaplen"] = 64.into();
    world.edit(spec);
    assert_eq!(world.settle(), [("n1".to_owned(), "replace")]);
    assert_eq!(
        world.nodes["n1"].capture.as_ref().unwrap().spec.snaplen,
        Some(64)
    );
}

#[test]
fn an_edit_after_the_end_is_a_new_run_and_another_look_is_not() {
    let mut world = started();
    world.end("n1", StateReason::Packets);
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Completed));
    world.pass(Duration::from_secs(3600));
    assert!(world.settle().is_empty(), "what is complete stays complete");
    world.remove_pod("a");
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Completed));
    world.add_pod("a", "n1");
    let mut spec = of_pods();
    spec["maxPackets"] = 5.into();
    world.edit(spec);
    let begun = world.now;
    assert_eq!(world.settle(), [("n1".to_owned(), "replace")]);
    assert_eq!(world.status.phase, Some(Phase::Running));
    assert_eq!(world.status.started_at.as_ref().unwrap().0, begun);
    assert!(world.status.completed_at.is_none());
}

#[test]
fn suspend_ends_the_capture_and_resuming_begins_a_new_run() {
    let mut world = started();
    let mut spec = of_pods();
    spec["suspend"] = true.into();
    world.edit(spec.clone());
    let of_n1 = |actions: &[&'static str]| -> Vec<_> {
        actions
            .iter()
            .map(|name| ("n1".to_owned(), *name))
            .collect()
    };
    assert_eq!(world.settle(), of_n1(&["stop", "list_files"]));
    assert_eq!(world.status.message, "suspended: complete on 1 node");
    assert_eq!(world.status.phase, Some(Phase::Completed));
    assert_eq!(world.status.nodes[0].files.len(), 1, "its files are known");
    let ended = world.status.clone();
    world.pass(Duration::from_secs(500));
    assert!(world.settle().is_empty());
    assert_eq!(world.status, ended, "nothing is written again");
    let mut edited = spec;
    edited["filter"] = "udp".into();
    world.edit(edited);
    assert!(world.settle().is_empty(), "it stays suspended");
    world.edit(of_pods());
    assert_eq!(world.settle(), of_n1(&["replace"]));
    assert_eq!(world.status.phase, Some(Phase::Running));
    assert!(world.settle().is_empty(), "resumed once");
    let limits = &world.nodes["n1"].capture.as_ref().unwrap().spec.limits;
    assert_eq!(limits.duration, Some(Span(Duration::from_secs(60))));
}

#[test]
fn addresses_alone_are_captured_on_every_node_and_with_pods_by_address() {
    let mut world = World::new(serde_json::json!({ "targetIPs": ["192.0.2.7"] }));
    world.add_node("n1");
    world.members.insert("n1".to_owned(), Default::default());
    world.settle();
    let spec = &world.nodes["n1"].capture.as_ref().unwrap().spec;
    assert_eq!(spec.targets, ["192.0.2.7"]);
    assert_eq!(spec.each_packet_once, Some(true));
    assert!(spec.pods.is_none());

    let mut both = of_pods();
    both["targetIPs"] = serde_json::json!(["192.0.2.7"]);
    let mut world = World::new(both);
    world.add_node("n1");
    world.add_pod("a", "n1");
    world.settle();
    let spec = &world.nodes["n1"].capture.as_ref().unwrap().spec;
    assert_eq!(spec.targets, ["10.0.0.1", "192.0.2.7"]);
    assert_eq!(spec.each_packet_once, Some(true));
    assert!(spec.pods.is_none());

    let mut world = World::new(of_pods());
    world.add_node("n1");
    world.add_pod("a", "n1");
    world.settle();
    let spec = &world.nodes["n1"].capture.as_ref().unwrap().spec;
    assert_eq!(spec.each_packet_once, Some(false), "at the pod's interface");
}

#[test]
fn a_resource_is_let_go_when_its_captures_have_ended() {
    let mut world = started();
    world.deleting = Some(world.now);
    let decision = world.decide();
    assert!(!decision.release);
    assert_eq!(decision.actions[0].1.name(), "stop");
    world.end("n1", StateReason::Requested);
    assert!(world.decide().release);
}

#[test]
fn files_go_with_a_resource_that_asks_for_it() {
    let mut world = started();
    world.end("n1", StateReason::Duration);
    world.settle();
    world.deleting = Some(world.now);
    assert!(world.settle_deletion().is_empty(), "files stay");
    world.delete_files = true;
    assert_eq!(world.settle_deletion(), ["delete"]);
}

#[test]
fn after_its_ttl_a_resource_expires_and_its_files_go_too() {
    let mut spec = of_pods();
    spec["retention"] = serde_json::json!({ "ttl": "1h" });
    let mut world = World::new(spec);
    world.add_node("n1");
    world.add_pod("a", "n1");
    world.settle();
    world.end("n1", StateReason::Duration);
    world.settle();
    let decision = world.decide();
    assert!(!decision.expired);
    assert_eq!(decision.again_in, Some(Duration::from_secs(3600)));
    world.pass(Duration::from_secs(3600));
    assert!(world.decide().expired);
    world.deleting = Some(world.now);
    assert_eq!(world.settle_deletion(), ["delete"]);
}

impl World {
    fn settle_deletion(&self) -> Vec<&'static str> {
        let decision = self.decide();
        decision
            .actions
            .iter()
            .map(|(_, action)| action.name())
            .collect()
    }
}

#[test]
fn the_time_after_which_a_lost_node_is_given_up_is_asked_for() {
    let world = started();
    let decision = world.decide();
    assert_eq!(decision.again_in, Some(Duration::from_secs(61)));
    assert_eq!(GRACE, Duration::from_secs(60));
}
