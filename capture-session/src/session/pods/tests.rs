use super::*;

fn interface(ifindex: u32, name: &str) -> Interface {
    Interface {
        ifindex,
        name: name.to_owned(),
        alternative_names: Vec::new(),
        hardware_type: 1,
        kind: Some("veth".to_owned()),
        alias: None,
        address: Vec::new(),
        up: true,
        peer: None,
        master: None,
    }
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 244, 0, last])
}

fn pod(name: &str, last: u8) -> Pod {
    Pod {
        id: PodId::new("shop", name, "").expect("a name"),
        addresses: vec![address(last)],
        containers: vec!["app".to_owned(), "log".to_owned()],
        host_network: false,
    }
}

fn selection(pods: Vec<Pod>) -> PodSelection {
    PodSelection {
        pods,
        every_interface: false,
    }
}

fn attachments(pods: &Pods) -> Vec<PodAttachment> {
    pods.states().iter().map(|state| state.attachment).collect()
}

/// Searches, with `located` as the kernel's answer.
fn look(pods: &mut Pods, located: &[(u8, Located)], interfaces: &[Interface], now: Instant) {
    let located = located.iter();
    let located = located.map(|(last, located)| (address(*last), located.clone()));
    pods.found(Ok(located.collect()), interfaces, now, now);
}

#[test]
fn a_pod_is_followed_to_its_interface_and_waits_when_that_is_gone() {
    let now = Instant::now();
    let all = selection(vec![pod("a", 1), pod("b", 2)]);
    let mut pods = Pods::new(all, Directions::InOut, Arc::from("node1"));
    let veth = interface(7, "veth7");
    let behind = [(1, Located::Behind(7))];
    look(&mut pods, &behind, std::slice::from_ref(&veth), now);
    let expected = [PodAttachment::Interface, PodAttachment::Waiting];
    assert_eq!(attachments(&pods), expected);
    assert_eq!(pods.at(7).map(|pod| pod.id.name.as_str()), Some("a"));
    let addresses = pods.addresses();
    assert_eq!(addresses.at_interfaces, BTreeSet::from([address(1)]));
    assert_eq!(addresses.all, BTreeSet::from([address(1), address(2)]));
    assert!(addresses.by_address.is_empty());
    assert_eq!(
        pods.wanted(),
        BTreeSet::from([address(2)]),
        "only what is missing"
    );

    pods.gone(7, now);
    assert_eq!(pods.states()[0].message, "its interface is gone");
    assert!(pods.addresses().at_interfaces.is_empty());
    // However long it takes: its address may belong to another pod by then.
    look(&mut pods, &[], &[], now + SETTLED * 2);
    let expected = [PodAttachment::Waiting, PodAttachment::Address];
    assert_eq!(attachments(&pods), expected);
}

#[test]
fn pods_without_an_interface_of_their_own_are_told_as_what_they_are() {
    let now = Instant::now();
    let mut node = pod("node", 4);
    node.host_network = true;
    let mut none = pod("none", 5);
    none.addresses.clear();
    let all = vec![
        pod("macvlan", 1),
        pod("shared", 2),
        pod("late", 3),
        node,
        none,
    ];
    let mut pods = Pods::new(selection(all), Directions::InOut, Arc::from(""));
    let macvlan = Located::Apart(Some("macvlan".to_owned()));
    look(&mut pods, &[(1, macvlan), (2, Located::Here)], &[], now);
    use PodAttachment::{Address, Waiting};
    assert_eq!(
        attachments(&pods),
        [Address, Address, Waiting, Address, Waiting]
    );
    assert!(pods.states()[0].message.contains("kind macvlan"));
    assert!(pods.states()[4].message.contains("no address"));
    assert!(pods.any_by_address());
    let by_address = BTreeSet::from([address(1), address(2), address(4)]);
    assert_eq!(pods.addresses().by_address, by_address);
    let named: Vec<_> = pods.names().into_iter().map(|(_, name)| name).collect();
    assert_eq!(
        named,
        ["macvlan.shop", "late.shop"],
        "not the node's address"
    );
}

#[test]
fn what_is_known_of_pods_that_stay_is_kept() {
    let now = Instant::now();
    let mut pods = Pods::new(
        selection(vec![pod("a", 1), pod("b", 2)]),
        Directions::InOut,
        Arc::from("node1"),
    );
    let interfaces = [interface(7, "veth7"), interface(8, "veth8")];
    look(
        &mut pods,
        &[(1, Located::Behind(7)), (2, Located::Behind(8))],
        &interfaces,
        now,
    );
    pods.set(selection(vec![pod("b", 2), pod("c", 3)]), now);
    let expected = [PodAttachment::Interface, PodAttachment::Waiting];
    assert_eq!(attachments(&pods), expected);
    assert!(pods.at(7).is_none(), "a has left");
    pods.set(selection(vec![pod("b", 9)]), now);
    assert_eq!(
        attachments(&pods),
        [PodAttachment::Waiting],
        "it has another address"
    );
}

#[test]
fn packets_are_kept_at_both_ends_when_asked_for_or_when_the_sender_is_not_looked_at() {
    for (every_interface, directions, once) in [
        (false, Directions::InOut, true),
        (false, Directions::In, true),
        (true, Directions::InOut, false),
        (false, Directions::Out, false),
    ] {
        let selection = PodSelection {
            pods: vec![pod("a", 1)],
            every_interface,
        };
        let mut pods = Pods::new(selection, directions, Arc::from(""));
        look(
            &mut pods,
            &[(1, Located::Behind(7))],
            &[interface(7, "veth7")],
            Instant::now(),
        );
        assert_eq!(!pods.addresses().at_interfaces.is_empty(), once);
    }
}

#[test]
fn an_interface_that_cannot_be_joined_makes_its_pod_unreachable() {
    let mut pods = Pods::new(
        selection(vec![pod("a", 1)]),
        Directions::InOut,
        Arc::from(""),
    );
    let now = Instant::now();
    look(
        &mut pods,
        &[(1, Located::Behind(7))],
        &[interface(7, "veth7")],
        now,
    );
    pods.failed(7, "too many open files");
    let state = &pods.states()[0];
    assert_eq!(state.attachment, PodAttachment::Unreachable);
    assert_eq!(state.message, "too many open files");
    assert!(pods.addresses().at_interfaces.is_empty(), "it sends unseen");
    pods.found(Err("no right to ask".to_owned()), &[], now, now);
    assert_eq!(pods.states()[0].message, "no right to ask");
}

#[test]
fn the_description_of_a_pods_interface_says_node_pod_and_containers() {
    let mut pods = Pods::new(
        selection(vec![pod("a", 1)]),
        Directions::InOut,
        Arc::from("node1"),
    );
    let veth = interface(7, "veth7");
    look(
        &mut pods,
        &[(1, Located::Behind(7))],
        std::slice::from_ref(&veth),
        Instant::now(),
    );
    let mut description = veth.describe(capture_types::LinkType::Ethernet);
    pods.describe(&mut description);
    assert_eq!(
        description.description,
        "pod shop/a on node node1, containers app,log, veth"
    );
    assert_eq!(
        description.comment,
        "node=node1\nnamespace=shop\npod=a\ncontainers=app,log"
    );
}

#[test]
fn looking_is_quick_after_a_change_and_ends_when_nothing_changes() {
    let start = Instant::now();
    let mut pods = Pods::new(
        selection(vec![pod("a", 1)]),
        Directions::InOut,
        Arc::from(""),
    );
    let mut now = start;
    let mut looks = 0;
    while let Some(pause) = pods.looks.until_next(now) {
        assert!(pause <= Duration::from_secs(2), "{pause:?}");
        now += pause;
        look(&mut pods, &[], &[], now);
        looks += 1;
        assert!(looks < 100, "it does not end");
    }
    assert!(now.duration_since(start) > Duration::from_secs(50));
    pods.link_changed(now);
    let pause = pods.looks.until_next(now).expect("something has changed");
    assert!(pause < Duration::from_millis(100));
    // A long search is not followed by another one at once.
    pods.found(Ok(HashMap::new()), &[], now, now + Duration::from_secs(1));
    now += Duration::from_secs(1);
    pods.link_changed(now);
    let pause = pods.looks.until_next(now).expect("something has changed");
    assert!(pause > Duration::from_secs(5), "{pause:?}");
}
