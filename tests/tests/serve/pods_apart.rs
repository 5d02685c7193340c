//! Captures of pods without a host-side interface, and of pods on other interfaces as well.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use capture_proto::v1::{self, CaptureState, PodAttachment};
use capture_tests::{
    capture_file,
    daemon::{Daemon, wrote_all},
    gate,
    netns::Namespace,
    pods::{Node, send},
    recorder,
};

use crate::pods::{attachments, counts, pod, spec_of, wait_for_pod};

const NODE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const WORLD: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const MACVLAN: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 50);

/// A pod with a macvlan of the node's uplink.
fn macvlan(node: &Node) -> Result<Namespace> {
    let namespace = Namespace::new()?;
    node.namespace
        .ip("link add mv0 link eth0 address 02:00:00:00:09:50 type macvlan mode bridge")?;
    node.namespace.ip(&format!(
        "link set mv0 netns {} name eth0",
        namespace.name()
    ))?;
    settle_macvlan(node, &namespace)?;
    Ok(namespace)
}

/// Assigns the address of a pod's macvlan.
fn settle_macvlan(node: &Node, namespace: &Namespace) -> Result<()> {
    namespace.ip("link set eth0 up")?;
    namespace.ip(&format!("addr add {MACVLAN}/24 dev eth0"))?;
    namespace.ip(&format!(
        "neigh replace {WORLD} lladdr 02:00:00:00:09:02 dev eth0"
    ))?;
    node.world.ip(&format!(
        "neigh replace {MACVLAN} lladdr 02:00:00:00:09:50 dev eth0"
    ))?;
    Ok(())
}

#[test]
fn macvlan_and_host_network_pods_are_told_as_such_and_captured_by_address() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let node = Node::new()?;
    let apart = macvlan(&node)?;
    let veth = node.pod(11, &[])?;
    let daemon = Daemon::start(&node.namespace, &[])?;
    let client = daemon.client()?;
    let host = v1::Pod {
        host_network: true,
        ..pod("host", &NODE.to_string())
    };
    let of_macvlan = pod("macvlan", &MACVLAN.to_string());
    let of_veth = pod("veth", &veth.address.to_string());

    let started = client.start("macvlan", spec_of(vec![of_macvlan.clone()]))?;
    assert_eq!(attachments(&started), [PodAttachment::Address]);
    let message = &started.pods[0].message;
    assert!(
        message.contains("macvlan") && message.contains("by address"),
        "{message}"
    );
    client.start("host", spec_of(vec![host.clone()]))?;
    let all = client.start("all", spec_of(vec![of_macvlan, host, of_veth]))?;
    use PodAttachment::{Address, Interface};
    assert_eq!(attachments(&all), [Address, Address, Interface]);

    send(&apart, &node.world, WORLD, 100)?;
    send(&node.world, &apart, MACVLAN, 60)?;
    send(&node.namespace, &node.world, WORLD, 30)?;
    send(&node.world, &node.namespace, NODE, 20)?;
    // From the node to a pod and back: passes the bridge and the pod's interface.
    send(&node.namespace, &veth.namespace, veth.address, 9)?;
    send(&veth.namespace, &node.namespace, NODE, 8)?;

    let macvlan = client.stop("macvlan")?;
    assert_eq!(
        counts(&macvlan, "eth0")[2],
        160,
        "both ways, each packet once"
    );
    wrote_all(&macvlan, 160)?;
    // The node sends to the pod with the bridge's address, which is not the address of this capture.
    let host = client.stop("host")?;
    assert_eq!(counts(&host, "eth0")[2], 50);
    assert_eq!(counts(&host, "cni0")[2], 8);
    wrote_all(&host, 58)?;
    let all = client.stop("all")?;
    assert_eq!(counts(&all, "eth0")[2], 210);
    assert_eq!(
        counts(&all, "cni0")[2],
        0,
        "kept at the pod's own interface"
    );
    assert_eq!(counts(&all, "veth11")[2], 17);
    wrote_all(&all, 227)
}

#[test]
fn with_interfaces_the_packets_of_pods_are_kept_there_as_well() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let node = Node::new()?;
    let (a, b) = (node.pod(11, &[12])?, node.pod(12, &[11])?);
    node.world
        .ip("route replace 10.244.0.0/24 via 10.9.0.1 dev eth0")?;
    node.namespace
        .run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"))?;
    let daemon = Daemon::start(&node.namespace, &[])?;
    let client = daemon.client()?;
    let spec = v1::CaptureSpec {
        interfaces: vec!["eth0".to_owned(), "cni0".to_owned()],
        ..spec_of(vec![pod("a", &a.address.to_string())])
    };
    client.start("everywhere", spec)?;
    send(&a.namespace, &node.world, WORLD, 40)?;
    send(&b.namespace, &node.world, WORLD, 90)?;
    send(&node.namespace, &node.world, WORLD, 25)?;
    let ended = client.stop("everywhere")?;
    assert_eq!(counts(&ended, "veth11"), [40, 0, 40]);
    assert_eq!(
        counts(&ended, "cni0"),
        [130, 90, 40],
        "of the pod, not of its neighbour"
    );
    assert_eq!(counts(&ended, "eth0"), [155, 115, 40]);
    wrote_all(&ended, 120)
}

#[test]
fn a_pod_to_which_no_interface_leads_is_captured_by_address_after_a_while() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let node = Node::new()?;
    let daemon = Daemon::start(&node.namespace, &[])?;
    let client = daemon.client()?;
    // As CNI plug-ins create it: directly in the pod's namespace, for which the node has no id then.
    let apart = Namespace::new()?;
    node.namespace.ip(&format!(
        "link add link eth0 name eth0 address 02:00:00:00:09:50 netns {} type macvlan mode bridge",
        apart.name()
    ))?;
    settle_macvlan(&node, &apart)?;
    let pods = vec![pod("unseen", &MACVLAN.to_string())];
    let started = client.start("unseen", spec_of(pods))?;
    assert_eq!(attachments(&started), [PodAttachment::Waiting]);
    let unseen = wait_for_pod(&client, "unseen", 0, PodAttachment::Address)?;
    let message = &unseen.pods[0].message;
    assert!(message.contains("SR-IOV"), "{message}");
    send(&apart, &node.world, WORLD, 12)?;
    send(&node.world, &apart, MACVLAN, 10)?;
    let ended = client.stop("unseen")?;
    assert_eq!(counts(&ended, "eth0"), [22, 0, 22]);
    wrote_all(&ended, 22)
}

#[test]
fn the_capture_of_a_daemon_that_is_exchanged_goes_on_and_tells_how_long_it_was_away() -> Result<()>
{
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let node = Node::new()?;
    let (a, b) = (node.pod(11, &[12])?, node.pod(12, &[11])?);
    let daemon = Daemon::start(&node.namespace, &[])?;
    let client = daemon.client()?;
    client.start("on", spec_of(vec![pod("a", &a.address.to_string())]))?;
    send(&a.namespace, &b.namespace, b.address, 50)?;
    let (ended, directory) = daemon.end()?;
    assert!(ended.status.success(), "{}", ended.stderr);
    send(&a.namespace, &b.namespace, b.address, 10)?;

    let daemon = Daemon::start_in(&node.namespace, directory, &[])?;
    let client = daemon.client()?;
    let on = client.wait_for_state("on", CaptureState::Running)?;
    assert_eq!(attachments(&on), [PodAttachment::Interface]);
    assert_eq!(on.resumed, 1);
    let away = on.warnings.iter().find(|one| one.contains("no daemon ran"));
    let away = away.with_context(|| format!("{:?}", on.warnings))?;
    assert!(away.contains(" s between "), "{away}");
    send(&a.namespace, &b.namespace, b.address, 5)?;
    let ended = client.stop("on")?;
    wrote_all(&ended, 55)?;
    let mut packets = 0;
    for file in client.list_files("on")? {
        packets += capture_file::read(&daemon.files("on").join(&file.name))?
            .packets
            .len();
    }
    assert_eq!(packets, 55);
    Ok(())
}

/// The capabilities of a daemon on a node (capability(7): 12, 38, 39).
#[test]
fn pods_are_found_with_no_more_capabilities_than_a_capture_takes() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let node = Node::new()?;
    let a = node.pod(11, &[])?;
    let socket = tempfile::TempDir::new()?;
    let path = |name: &str| socket.path().join(name);
    let mut command = std::process::Command::new("setpriv");
    let held = "-all,+bpf,+net_admin,+perfmon";
    command
        .args(["--inh-caps", held, "--bounding-set", held, "--"])
        .arg(recorder::program()?)
        .args(["serve", "--set", "defaults.min_free=0", "--metrics", ""]);
    for (flag, name) in [
        ("--socket", "socket"),
        ("--state-dir", "s"),
        ("--data-dir", "d"),
    ] {
        command.arg(flag).arg(path(name));
    }
    let mut process = capture_tests::process::Process::start(&node.namespace, command)?;
    process.wait_for_stderr(" serves")?;
    let client = capture_tests::daemon::Client::new(&path("socket"))?;
    let started = client.start("few", spec_of(vec![pod("a", &a.address.to_string())]))?;
    assert_eq!(
        attachments(&started),
        [PodAttachment::Interface],
        "{:?}",
        started.pods
    );
    send(
        &a.namespace,
        &node.namespace,
        Ipv4Addr::new(10, 244, 0, 1),
        33,
    )?;
    wrote_all(&client.stop("few")?, 33)
}
