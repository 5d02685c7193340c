//! Captures whose resource is gone.

use std::{collections::BTreeSet, time::Duration};

use capture_client::model::{Capture, StateReason};

use super::world::{World, of_pods};
use crate::decide::{Orphan, orphans, spec::LABEL_UID};

fn capture(name: &str, uid: Option<&str>, end: Option<u64>) -> Capture {
    let mut world = World::new(of_pods());
    world.add_node("n1");
    world.add_pod("a", "n1");
    world.settle();
    if let Some(end) = end {
        world.pass(Duration::from_secs(end));
        world.end("n1", StateReason::Duration);
    }
    let mut capture = Capture::clone(world.nodes["n1"].capture.as_ref().unwrap());
    name.clone_into(&mut capture.name);
    capture.labels.remove(LABEL_UID);
    if let Some(uid) = uid {
        capture.labels.insert(LABEL_UID.to_owned(), uid.to_owned());
    }
    capture
}

#[test]
fn captures_without_a_resource_are_stopped_and_only_the_newest_files_are_kept() {
    let captures = [
        capture("mine", None, None),
        capture("alive", Some("uid-1"), Some(1)),
        capture("running", Some("gone"), None),
        capture("oldest", Some("gone"), Some(1)),
        capture("newest", Some("gone"), Some(3)),
        capture("middle", Some("gone"), Some(2)),
    ];
    let uids = BTreeSet::from(["uid-1".to_owned()]);
    let found = orphans(captures.iter(), &uids, 2);
    assert_eq!(
        found,
        [
            ("running".to_owned(), Orphan::Stop),
            ("oldest".to_owned(), Orphan::Delete),
        ]
    );
}
