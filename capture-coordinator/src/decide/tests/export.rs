//! Sinks of the exporter that a resource names.

use std::sync::Arc;

use capture_client::model::{Capture, ExportState, StateReason};

use super::world::World;
use crate::{decide::Action, resource::Phase};

fn naming(sinks: &[&str]) -> serde_json::Value {
    serde_json::json!({
        "podSelector": { "labelSelector": { "matchLabels": { "app": "web" } } },
        "export": sinks,
    })
}

/// A node reports what a sink has of its files.
fn reports(world: &mut World, node: &str, delivered: u64, waiting: u64, message: &str) {
    let node = world.nodes.get_mut(node).unwrap();
    let capture: &mut Capture = Arc::make_mut(node.capture.as_mut().unwrap());
    capture.export = vec![ExportState {
        sink: "archive".to_owned(),
        delivered_files: delivered,
        waiting_files: waiting,
        message: message.to_owned(),
        ..ExportState::default()
    }];
}

/// Delivered, waiting and the message.
fn archive(world: &World) -> (u64, u64, String) {
    let [archive] = world.status.export.as_slice() else {
        panic!("{:?}", world.status.export)
    };
    assert_eq!(archive.sink, "archive");
    (archive.delivered, archive.waiting, archive.message.clone())
}

#[test]
fn the_status_adds_up_what_sinks_have_of_all_nodes_also_after_the_end() {
    let mut world = World::new(naming(&["archive"]));
    world.add_node("node-1");
    world.add_node("node-2");
    world.add_pod("web-1", "node-1");
    world.add_pod("web-2", "node-2");
    world.settle();
    assert_eq!(
        archive(&world),
        (0, 0, String::new()),
        "named, not reported"
    );
    for node in world.nodes.values() {
        let capture = node.capture.as_ref().unwrap();
        assert_eq!(capture.spec.export, ["archive"]);
    }
    reports(&mut world, "node-1", 1, 2, "");
    reports(&mut world, "node-2", 3, 0, "connection refused");
    world.settle();
    let message = "node-2: connection refused".to_owned();
    assert_eq!(archive(&world), (4, 2, message));

    world.end("node-1", StateReason::Duration);
    world.end("node-2", StateReason::Duration);
    world.settle();
    assert_eq!(world.status.phase, Some(Phase::Completed));
    reports(&mut world, "node-1", 3, 0, "");
    reports(&mut world, "node-2", 4, 0, "");
    world.settle();
    assert_eq!(archive(&world), (7, 0, String::new()), "after the end");
    assert_eq!(world.status.phase, Some(Phase::Completed));

    // What was last known stays when the capture is gone.
    world.nodes.get_mut("node-1").unwrap().capture = None;
    world.settle();
    assert_eq!(archive(&world).0, 7);
}

#[test]
fn a_change_of_the_sinks_changes_the_running_capture_and_starts_none() {
    let mut world = World::new(naming(&["archive"]));
    world.add_node("node-1");
    world.add_pod("web-1", "node-1");
    world.settle();
    world.edit(naming(&["lab"]));
    let decision = world.decide();
    let [(_, Action::Update { spec, paths, .. })] = decision.actions.as_slice() else {
        panic!("{:?}", decision.actions)
    };
    assert_eq!(spec.export, ["lab"]);
    assert_eq!(paths, &["export", "labels"]);
    world.settle();
    assert!(world.decide().actions.is_empty());

    // And none after the end.
    world.end("node-1", StateReason::Duration);
    world.settle();
    world.edit(naming(&[]));
    world.settle();
    assert_eq!(world.starts["node-1"], 1);
}
