//! Tests of the index: a change affects only what it should, and the incremental result equals that of a
//! rebuild.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::core::{Expression, Selector};

use super::{Index, Interest};
use crate::{
    cluster::{Node, Pod},
    request::{NodeChoice, Selection},
};

fn pod(namespace: &str, name: &str, node: &str, app: &str) -> Pod {
    Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: format!("uid-{namespace}-{name}"),
        node: node.to_owned(),
        addresses: vec!["10.0.0.1".to_owned()],
        containers: vec!["main".to_owned()],
        host_network: false,
        ended: false,
        labels: BTreeMap::from([("app".to_owned(), app.to_owned())]),
        is_daemon: false,
    }
}

fn daemon(node: &str, uid: &str) -> Pod {
    Pod {
        is_daemon: true,
        uid: uid.to_owned(),
        addresses: vec![format!("192.0.2.{}", node.len())],
        ..pod("capture", &format!("daemon-{uid}"), node, "daemon")
    }
}

fn labelled(app: &str, namespaces: &[&str]) -> Interest {
    let selector = [("app".to_owned(), app.to_owned())].into_iter().collect();
    selecting(selector, namespaces)
}

fn selecting(selector: Selector, namespaces: &[&str]) -> Interest {
    let namespaces = namespaces.iter().map(|&name| name.to_owned()).collect();
    Interest {
        selection: Some(Selection {
            names: Vec::new(),
            labels: Some((selector, namespaces)),
        }),
        nodes: NodeChoice::default(),
        every_node: false,
    }
}

fn named(names: &[(&str, &str)]) -> Interest {
    let own = |(namespace, name): &(&str, &str)| ((*namespace).to_owned(), (*name).to_owned());
    Interest {
        selection: Some(Selection {
            names: names.iter().map(own).collect(),
            labels: None,
        }),
        nodes: NodeChoice::default(),
        every_node: false,
    }
}

fn names(concerned: &BTreeSet<String>) -> Vec<&str> {
    concerned.iter().map(String::as_str).collect()
}

#[test]
fn a_pod_concerns_those_that_mean_it_before_or_after() {
    let mut index = Index::default();
    index.apply_resource("web", labelled("web", &["shop"]));
    index.apply_resource("db", labelled("db", &[]));
    index.apply_resource("one", named(&[("shop", "a")]));
    assert_eq!(index.missing("one"), [("shop".to_owned(), "a".to_owned())]);

    let concerned = index.apply_pod(pod("shop", "a", "n1", "web"));
    assert_eq!(names(&concerned), ["one", "web"]);
    assert!(
        index.apply_pod(pod("shop", "a", "n1", "web")).is_empty(),
        "nothing changed"
    );
    assert!(
        index.apply_pod(pod("other", "b", "n1", "web")).is_empty(),
        "of another namespace"
    );

    let concerned = index.apply_pod(pod("shop", "a", "n1", "db"));
    assert_eq!(
        names(&concerned),
        ["db", "one", "web"],
        "it leaves one and joins another"
    );
    assert!(index.members("web").is_empty());
    assert_eq!(index.members("db")["n1"].len(), 1);

    let concerned = index.remove_pod(&("shop".to_owned(), "a".to_owned()));
    assert_eq!(names(&concerned), ["db", "one"]);
    assert!(index.members("one").is_empty());
    assert_eq!(index.missing("one").len(), 1);
}

#[test]
fn a_pod_without_an_address_or_that_has_ended_is_not_captured() {
    let mut index = Index::default();
    index.apply_resource("one", named(&[("shop", "a")]));
    let mut waiting = pod("shop", "a", "n1", "web");
    waiting.addresses.clear();
    index.apply_pod(waiting);
    assert!(index.members("one").is_empty());
    assert_eq!(index.pending("one").len(), 1);
    assert!(index.missing("one").is_empty());
    index.apply_pod(pod("shop", "a", "n1", "web"));
    assert_eq!(index.members("one").len(), 1);
    let mut ended = pod("shop", "a", "n1", "web");
    ended.ended = true;
    let concerned = index.apply_pod(ended);
    assert_eq!(names(&concerned), ["one"]);
    assert!(index.members("one").is_empty());
    assert_eq!(index.missing("one").len(), 1);
}

#[test]
fn daemons_are_followed_and_a_rolling_update_leaves_the_new_one() {
    let mut index = Index::default();
    let interest = Interest {
        selection: None,
        nodes: NodeChoice::default(),
        every_node: true,
    };
    index.apply_resource("addresses", interest);
    let concerned = index.apply_pod(daemon("n1", "first"));
    assert_eq!(names(&concerned), ["addresses"]);
    assert_eq!(index.members("addresses").len(), 1);
    let before = index.daemon_changes();
    index.apply_pod(daemon("n1", "second"));
    assert_eq!(index.daemons()["n1"].pod_uid, "second");
    assert!(index.daemon_changes() > before);
    index.remove_pod(&daemon("n1", "first").key());
    assert_eq!(
        index.daemons()["n1"].pod_uid,
        "second",
        "the old one's end changes nothing"
    );
    index.remove_pod(&daemon("n1", "second").key());
    assert!(index.members("addresses").is_empty());
}

#[test]
fn nodes_that_are_not_selected_have_no_members() {
    let mut index = Index::default();
    let disk = BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]);
    let mut interest = labelled("web", &[]);
    interest.nodes.labels.clone_from(&disk);
    index.apply_resource("web", interest);
    index.apply_pod(pod("shop", "a", "n1", "web"));
    index.apply_pod(pod("shop", "b", "n2", "web"));
    let node = |name: &str, labels: &BTreeMap<String, String>| {
        Arc::new(Node {
            name: name.to_owned(),
            address: String::new(),
            labels: labels.clone(),
        })
    };
    index.apply_node(node("n1", &disk));
    let concerned = index.apply_node(node("n2", &BTreeMap::new()));
    assert_eq!(names(&concerned), ["web"]);
    let members = index.members("web");
    assert_eq!(members.keys().collect::<Vec<_>>(), ["n1"]);
    let mut interest = labelled("web", &[]);
    interest.nodes.names.insert("n2".to_owned());
    index.apply_resource("web", interest);
    let members = index.members("web");
    assert_eq!(members.keys().collect::<Vec<_>>(), ["n2"]);
}

/// A small pseudo-random generator with a fixed seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

#[test]
fn after_any_changes_the_members_are_those_of_an_index_that_starts_anew() {
    let by = |expressions: Vec<Expression>| {
        let mut selector = Selector::default();
        selector.extend(expressions);
        selecting(selector, &[])
    };
    let app = || "app".to_owned();
    let values = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
    let interests = || {
        [
            ("web", labelled("web", &["ns0"])),
            ("db", labelled("db", &[])),
            ("two", named(&[("ns0", "p1"), ("ns1", "p2")])),
            ("all", by(Vec::new())),
            (
                "either",
                by(vec![Expression::In(app(), values(&["db", "mail"]))]),
            ),
            (
                "not",
                by(vec![Expression::NotEqual(app(), "web".to_owned())]),
            ),
            (
                "both",
                by(vec![
                    Expression::Exists(app()),
                    Expression::NotIn(app(), values(&["db"])),
                    Expression::Equal(app(), "mail".to_owned()),
                ]),
            ),
        ]
    };
    let mut numbers = Numbers(7);
    let mut index = Index::default();
    for (name, interest) in interests() {
        index.apply_resource(name, interest);
    }
    for step in 0..3000 {
        if step % 50 == 0 {
            // Somebody changes what a resource selects, and back.
            let (name, interest) = interests().into_iter().nth(step / 50 % 7).unwrap();
            index.apply_resource(name, labelled("other", &[]));
            index.apply_resource(name, interest);
        }
        let namespace = format!("ns{}", numbers.below(2));
        let name = format!("p{}", numbers.below(6));
        if numbers.below(4) == 0 {
            index.remove_pod(&(namespace, name));
            continue;
        }
        let app = ["web", "db", "mail", "none"][usize::try_from(numbers.below(4)).unwrap()];
        let mut pod = pod(&namespace, &name, &format!("n{}", numbers.below(3)), app);
        pod.ended = numbers.below(5) == 0;
        if numbers.below(5) == 0 {
            pod.addresses.clear();
        }
        index.apply_pod(pod);
    }
    let mut anew = Index::default();
    for pod in index.pods.values() {
        anew.apply_pod(Pod::clone(pod));
    }
    for (name, interest) in interests() {
        anew.apply_resource(name, interest);
        assert_eq!(index.members(name), anew.members(name), "{name}");
        index.remove_resource(name);
    }
    let left = index.pods.values().flat_map(|pod| index.candidates.of(pod));
    assert_eq!(left.count(), 0, "nothing is left behind");
}
