//! Files belong to what was captured, whatever a resource selects afterwards.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use capture_client::model::{Capture, StateReason};
use serde_json::{Value, json};

use super::world::{World, of_pods};
use crate::decide::{Namespaces, OwnFile, first_own, namespaces::LABEL_NAMESPACES};

fn started() -> World {
    let mut world = World::new(of_pods());
    world.add_node("n1");
    world.add_pod_of("secret", "a", "n1");
    world.settle();
    world
}

fn capture(world: &World) -> &Capture {
    world.nodes["n1"].capture.as_ref().expect("a capture")
}

fn of(names: &[&str]) -> Namespaces {
    Namespaces::Of(names.iter().map(|&name| name.to_owned()).collect())
}

/// The selector is moved to the pods of another namespace.
fn move_selector(world: &mut World) -> Vec<(String, &'static str)> {
    world.remove_pod("a");
    world.add_pod_of("shop", "b", "n1");
    world.edit(of_pods());
    world.settle()
}

fn with_snaplen(bytes: u32) -> Value {
    let mut spec = of_pods();
    spec["snaplen"] = json!(bytes);
    spec
}

const SECOND: u64 = 1_000_000_000;
/// When the world begins.
const BEGIN: u64 = 1_800_000_000;

fn file(sequence: u64, last: Option<u64>) -> OwnFile<'static> {
    OwnFile {
        name: "a file",
        sequence,
        last: last.map(|seconds| seconds * SECOND),
    }
}

#[test]
fn whoever_moves_the_selector_does_not_get_what_was_captured_before() {
    let mut world = started();
    assert_eq!(Namespaces::ever(capture(&world)), of(&["secret"]));
    assert_eq!(move_selector(&mut world), [("n1".to_owned(), "update")]);
    let capture = capture(&world);
    assert_eq!(Namespaces::now(&capture.spec), of(&["shop"]));
    assert_eq!(Namespaces::ever(capture), of(&["secret", "shop"]));
}

#[test]
fn captures_that_replace_one_of_the_same_resource_keep_its_namespaces_and_its_files() {
    let mut world = started();
    move_selector(&mut world);
    for round in 1..3 {
        world.pass(Duration::from_secs(10));
        world.edit(with_snaplen(100 + round));
        assert_eq!(world.settle(), [("n1".to_owned(), "replace")]);
        assert_eq!(
            Namespaces::ever(capture(&world)),
            of(&["secret", "shop"]),
            "after {round} replacements"
        );
        // Files of the first capture belong to the resource, those of before it do not.
        let files = [
            file(1, Some(BEGIN - 1)),
            file(2, Some(BEGIN)),
            file(3, Some(BEGIN + 10)),
        ];
        assert_eq!(first_own(capture(&world), files), Some(2));
    }
    world.add_pod_of("third", "c", "n1");
    assert_eq!(world.settle(), [("n1".to_owned(), "update")]);
    let all = of(&["secret", "shop", "third"]);
    assert_eq!(Namespaces::ever(capture(&world)), all);
    let files = [file(1, Some(BEGIN - 1)), file(2, Some(BEGIN))];
    assert_eq!(first_own(capture(&world), files), Some(2));
}

#[test]
fn a_new_resource_of_the_same_name_has_none_of_the_files_of_the_last_one() {
    let mut world = started();
    world.pass(Duration::from_secs(60));
    world.end("n1", StateReason::Duration);
    world.settle();
    world.uid = "uid-2".to_owned();
    world.status = Default::default();
    world.remove_pod("a");
    world.add_pod_of("shop", "b", "n1");
    assert_eq!(world.settle(), [("n1".to_owned(), "replace")]);
    let capture = capture(&world);
    assert_eq!(Namespaces::ever(capture), of(&["shop"]));
    let old = [file(1, Some(BEGIN + 59)), file(2, None)];
    assert_eq!(first_own(capture, old), None);
    let with_own = old.into_iter().chain([
        file(3, Some(BEGIN + 61)),
        // Of later ones the time may be unknown: they are not older.
        file(4, None),
    ]);
    assert_eq!(first_own(capture, with_own), Some(3));
    let mut growing = file(3, None);
    growing.name = "web-1.pcap";
    assert_eq!(
        first_own(capture, old.into_iter().chain([growing])),
        Some(3)
    );
}

#[test]
fn a_capture_by_addresses_or_of_an_earlier_version_may_have_packets_of_any_pod() {
    let mut world = started();
    let mut with_addresses = of_pods();
    with_addresses["targetIPs"] = json!(["10.0.0.1"]);
    world.edit(with_addresses);
    assert_eq!(world.settle(), [("n1".to_owned(), "replace")]);
    assert_eq!(Namespaces::ever(capture(&world)), Namespaces::Any);
    world.edit(of_pods());
    world.settle();
    let back = capture(&world);
    assert_eq!(Namespaces::now(&back.spec), of(&["secret"]));
    assert_eq!(Namespaces::ever(back), Namespaces::Any, "once and for all");

    let mut old = started();
    let node = old.nodes.get_mut("n1").unwrap();
    let before = Arc::make_mut(node.capture.as_mut().unwrap());
    before.labels.remove(LABEL_NAMESPACES);
    assert_eq!(Namespaces::ever(capture(&old)), Namespaces::Any);
    move_selector(&mut old);
    assert_eq!(Namespaces::ever(capture(&old)), Namespaces::Any);
}

#[test]
fn more_namespaces_than_a_label_holds_are_all_of_them() {
    let mut world = started();
    for number in 0..9 {
        let namespace = format!("{}{number}", "n".repeat(30));
        world.add_pod_of(&namespace, &format!("p{number}"), "n1");
        world.settle();
        let Namespaces::Of(names) = Namespaces::ever(capture(&world)) else {
            let label = &capture(&world).labels[LABEL_NAMESPACES];
            assert_eq!(label, "*");
            assert!(number >= 7, "{number}");
            return;
        };
        assert_eq!(names.len(), number + 2);
    }
    panic!("a label of more than 255 bytes");
}

#[test]
fn a_capture_without_pods_has_none() {
    let mut world = started();
    world.remove_pod("a");
    world.settle();
    let capture = capture(&world);
    assert_eq!(
        Namespaces::now(&capture.spec),
        Namespaces::Of(BTreeSet::new())
    );
    assert_eq!(Namespaces::ever(capture), of(&["secret"]));
}
