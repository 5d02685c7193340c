//! Captures of pods with host-side interfaces, as CNI plug-ins with bridges create them.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1::{self, CaptureState, PodAttachment};
use capture_tests::{
    capture_file,
    client::Capturectl,
    daemon::{Client, Daemon, wrote_all},
    gate,
    pods::{Node, PodNamespace, send},
    process::Process,
    wait,
};

/// A pod as its coordinator describes it, with one address.
pub(crate) fn pod(name: &str, address: &str) -> v1::Pod {
    v1::Pod {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        uid: format!("uid-of-{name}"),
        addresses: vec![address.to_owned()],
        containers: vec!["app".to_owned(), "log".to_owned()],
        host_network: false,
    }
}

/// The pod of a namespace.
fn pod_of(name: &str, namespace: &PodNamespace) -> v1::Pod {
    pod(name, &namespace.address.to_string())
}

/// A capture of these pods.
pub(crate) fn spec_of(pods: Vec<v1::Pod>) -> v1::CaptureSpec {
    v1::CaptureSpec {
        pods: Some(v1::PodSelection {
            pods,
            every_interface: false,
        }),
        ring_size: Some(1 << 20),
        ..Default::default()
    }
}

/// Changes the pods of a capture.
pub(crate) fn set_pods(client: &Client, name: &str, pods: Vec<v1::Pod>) -> Result<v1::Capture> {
    let request = v1::UpdateCaptureRequest {
        name: name.to_owned(),
        spec: Some(spec_of(pods)),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["pods".to_owned()],
        }),
        ..Default::default()
    };
    let answer = client.wait(client.captures.clone().update_capture(request))?;
    answer.into_inner().capture.context("no capture")
}

/// The state of each pod.
pub(crate) fn attachments(capture: &v1::Capture) -> Vec<PodAttachment> {
    let attachments = capture.pods.iter().map(v1::PodState::attachment);
    attachments.collect()
}

/// Waits until a pod has this attachment.
pub(crate) fn wait_for_pod(
    client: &Client,
    name: &str,
    pod: usize,
    attachment: PodAttachment,
) -> Result<v1::Capture> {
    wait::until(&format!("pod {pod} to be {attachment:?}"), || {
        let capture = client.get(name)?;
        let is_so = capture.pods.get(pod).map(v1::PodState::attachment) == Some(attachment);
        Ok(is_so.then_some(capture))
    })
}

/// Seen, filtered and written packets of an interface, all its entries in the capture together.
pub(crate) fn counts(capture: &v1::Capture, interface: &str) -> [u64; 3] {
    let mut counts = [0; 3];
    for entry in capture
        .interfaces
        .iter()
        .filter(|one| one.interface == interface)
    {
        let ledger = entry.ledger.unwrap_or_default();
        let of_this = [ledger.seen, ledger.filtered, ledger.written];
        for (count, more) in counts.iter_mut().zip(of_this) {
            *count += more.unwrap_or_default();
        }
    }
    counts
}

/// Every packet of a capture's files.
fn contents(daemon: &Daemon, client: &Client, name: &str) -> Result<Vec<capture_file::Contents>> {
    let files = client.list_files(name)?;
    let paths = files.iter().map(|file| daemon.files(name).join(&file.name));
    paths.map(|path| capture_file::read(&path)).collect()
}

/// The names that tshark shows for the sources of a file's packets, each once.
pub(crate) fn names_in(path: &Path) -> Result<Vec<String>> {
    let output = Command::new("tshark")
        .args(["-N", "n", "-T", "fields", "-e", "ip.src_host", "-r"])
        .arg(path)
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout)?;
    let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// A node with a daemon.
fn scene() -> Result<(Node, Daemon, Client)> {
    let node = Node::new()?;
    let daemon = Daemon::start(&node.namespace, &["--set", "node_name=node1"])?;
    let client = daemon.client()?;
    Ok((node, daemon, client))
}

#[test]
fn a_packet_between_two_pods_is_kept_once_and_the_ledger_of_each_pod_is_what_it_sent_and_got()
-> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (node, daemon, client) = scene()?;
    let (a, b, c) = (
        node.pod(11, &[12, 13])?,
        node.pod(12, &[11, 13])?,
        node.pod(13, &[11, 12])?,
    );
    let pods = vec![pod_of("a", &a), pod_of("b", &b)];
    let started = client.start("once", spec_of(pods.clone()))?;
    assert_eq!(
        attachments(&started),
        [PodAttachment::Interface; 2],
        "{started:?}"
    );
    assert_eq!(started.pods[0].interface, a.interface);
    let twice = v1::CaptureSpec {
        pods: Some(v1::PodSelection {
            pods,
            every_interface: true,
        }),
        ..spec_of(Vec::new())
    };
    client.start("twice", twice)?;
    send(&a.namespace, &b.namespace, b.address, 300)?;
    send(&b.namespace, &a.namespace, a.address, 200)?;
    send(&a.namespace, &c.namespace, c.address, 50)?;
    send(&c.namespace, &b.namespace, b.address, 70)?;
    let once = client.stop("once")?;
    // Seen: sent and received. Filtered: received from the other pod, at whose interface it is
    // kept.
    assert_eq!(counts(&once, &a.interface), [550, 200, 350]);
    assert_eq!(counts(&once, &b.interface), [570, 300, 270]);
    assert_eq!(
        once.interfaces.len(),
        2,
        "neither the bridge nor the third pod"
    );
    wrote_all(&once, 620)?;
    let twice = client.stop("twice")?;
    assert_eq!(counts(&twice, &a.interface), [550, 0, 550]);
    assert_eq!(counts(&twice, &b.interface), [570, 0, 570]);
    wrote_all(&twice, 1120)?;

    let contents = contents(&daemon, &client, "once")?;
    let packets: usize = contents.iter().map(|file| file.packets.len()).sum();
    assert_eq!(packets, 620);
    let described = &contents[0].interfaces[0];
    let expected = "pod shop/a on node node1, containers app,log, veth";
    assert_eq!(described.description.as_deref(), Some(expected));
    let expected = "node=node1\nnamespace=shop\npod=a\nuid=uid-of-a\ncontainers=app,log";
    assert_eq!(described.comment.as_deref(), Some(expected));
    Ok(())
}

#[test]
fn a_pod_is_followed_when_it_comes_goes_and_is_exchanged_for_another() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (node, daemon, client) = scene()?;
    let peer = node.pod(20, &[21, 22])?;
    // Nothing exists yet.
    let started = client.start("follow", spec_of(Vec::new()))?;
    assert_eq!(
        (started.state(), started.pods.len()),
        (CaptureState::Running, 0)
    );
    let late = set_pods(&client, "follow", vec![pod("a", "10.244.0.21")])?;
    assert_eq!(attachments(&late), [PodAttachment::Waiting]);

    // Its interface is created first, and its address a little later, as by CNI plug-ins.
    let a = node.pod_without_address(21)?;
    std::thread::sleep(std::time::Duration::from_millis(700));
    let watch = v1::WatchCapturesRequest::default();
    let mut events = client
        .wait(client.captures.clone().watch_captures(watch))?
        .into_inner();
    a.take_address(&[20])?;
    let attached = async {
        while let Some(event) = events.message().await? {
            let capture = event.capture.unwrap_or_default();
            if attachments(&capture) == [PodAttachment::Interface] {
                return anyhow::Ok(event.r#type);
            }
        }
        anyhow::bail!("the watch ended")
    };
    let told = client.wait(async { tokio::time::timeout(wait::PATIENCE, attached).await })??;
    assert_eq!(
        told,
        i32::from(v1::EventType::Changed),
        "who watches is told"
    );
    send(&a.namespace, &peer.namespace, peer.address, 100)?;

    // Another one is added; the first is unchanged.
    let b = node.pod(22, &[20])?;
    let both = vec![pod_of("a", &a), pod_of("b", &b)];
    let updated = set_pods(&client, "follow", both)?;
    assert_eq!(attachments(&updated), [PodAttachment::Interface; 2]);
    send(&b.namespace, &peer.namespace, peer.address, 30)?;
    send(&peer.namespace, &a.namespace, a.address, 7)?;

    // The first is removed with its namespace.
    drop(a);
    let gone = wait_for_pod(&client, "follow", 0, PodAttachment::Waiting)?;
    assert_eq!(gone.pods[0].message, "its interface is gone");
    send(&b.namespace, &peer.namespace, peer.address, 20)?;

    // It comes back at another interface, and the second is removed.
    let a = node.pod(21, &[20])?;
    wait_for_pod(&client, "follow", 0, PodAttachment::Interface)?;
    send(&a.namespace, &peer.namespace, peer.address, 11)?;
    let left = set_pods(&client, "follow", vec![pod_of("a", &a)])?;
    assert_eq!(attachments(&left), [PodAttachment::Interface]);
    send(&b.namespace, &peer.namespace, peer.address, 1000)?;
    send(&a.namespace, &peer.namespace, peer.address, 5)?;

    let ended = client.stop("follow")?;
    assert_eq!(counts(&ended, "veth21")[2], 100 + 7 + 11 + 5);
    assert_eq!(
        counts(&ended, "veth22")[2],
        30 + 20,
        "kept after it has left"
    );
    let names: Vec<_> = ended
        .interfaces
        .iter()
        .map(|one| one.interface.as_str())
        .collect();
    assert_eq!(names, ["veth21", "veth22", "veth21"]);
    wrote_all(&ended, 173)?;
    let packets = contents(&daemon, &client, "follow")?;
    assert_eq!(
        packets.iter().map(|file| file.packets.len()).sum::<usize>(),
        173
    );
    Ok(())
}

#[test]
fn wireshark_shows_pods_by_name_in_files_merged_files_and_streams() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (node, daemon, client) = scene()?;
    let (a, b) = (node.pod(11, &[12])?, node.pod(12, &[11])?);
    let rotation = v1::Rotation {
        max_packets: Some(40),
        ..Default::default()
    };
    let files = v1::FileOutput {
        rotation: Some(rotation),
        ..Default::default()
    };
    let spec = v1::CaptureSpec {
        output: Some(v1::Output {
            kind: Some(v1::output::Kind::Files(files)),
        }),
        ..spec_of(vec![pod_of("a", &a), pod_of("b", &b)])
    };
    client.start("names", spec)?;
    let ctl = Capturectl::at(&node.namespace, &daemon.socket())?;
    let directory = tempfile::TempDir::new()?;
    let streamed = directory.path().join("streamed.pcapng");
    let tail = Process::start_into(
        &node.namespace,
        ctl.command(&["tail", "names"])?,
        std::fs::File::create(&streamed)?.into(),
    )?;
    crate::lab::wait_for_readers(&daemon, 1)?;
    send(&a.namespace, &b.namespace, b.address, 60)?;
    send(&b.namespace, &a.namespace, a.address, 60)?;
    wrote_all(&client.stop("names")?, 120)?;
    let tail = tail.wait()?;
    assert!(tail.status.success(), "{}", tail.stderr);

    let expected = ["a.shop", "b.shop"];
    let files = client.list_files("names")?;
    assert_eq!(files.len(), 3);
    let mut in_files = Vec::new();
    for file in &files {
        let path = daemon.files("names").join(&file.name);
        capture_file::read_with_peers(&path)?;
        in_files.extend(names_in(&path)?);
    }
    in_files.sort();
    in_files.dedup();
    assert_eq!(in_files, expected, "each file has the names");
    let merged = directory.path().join("merged.pcapng");
    ctl.output(&["pull", "names", "-w", &merged.display().to_string()])?;
    for path in [&merged, &streamed] {
        assert_eq!(names_in(path)?, expected, "{}", path.display());
        let contents = capture_file::read(path)?;
        assert_eq!(contents.packets.len(), 120);
        let described = &contents.interfaces[0];
        let text = described.description.as_deref().unwrap_or_default();
        assert!(text.contains("pod shop/a on node node1"), "{text}");
        let comment = described.comment.as_deref().unwrap_or_default();
        assert!(comment.contains("namespace=shop\npod=a\n"), "{comment}");
    }
    Ok(())
}

#[test]
fn wrong_pods_are_refused_by_field_value_and_way_out() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (_node, _daemon, client) = scene()?;
    let good = || pod("a", "10.244.0.11");
    let with = |change: &dyn Fn(&mut v1::Pod)| {
        let mut pod = good();
        change(&mut pod);
        vec![pod]
    };
    let many = (0..1025).map(|number| pod(&format!("p{number}"), "10.244.0.11"));
    for (pods, parts) in [
        (
            with(&|pod| pod.name = "../etc".to_owned()),
            ["pods[0].name", "a-z"],
        ),
        (
            with(&|pod| pod.namespace = String::new()),
            ["pods[0].namespace", "DNS label"],
        ),
        (
            with(&|pod| pod.uid = "x y".to_owned()),
            ["pods[0].uid", "at most 64"],
        ),
        (
            with(&|pod| pod.addresses = vec!["10.0.0.0/8".to_owned()]),
            ["addresses[0]", "podIPs"],
        ),
        (
            with(&|pod| pod.addresses = vec!["127.0.0.1".to_owned()]),
            ["addresses[0]", "a loopback address"],
        ),
        (
            with(&|pod| pod.addresses = vec![String::new(); 17]),
            ["addresses", "at most 16"],
        ),
        (
            with(&|pod| pod.containers = vec!["A".to_owned()]),
            ["containers[0]", "DNS label"],
        ),
        (
            with(&|pod| pod.containers = vec![String::new(); 65]),
            ["containers", "at most 64"],
        ),
        (vec![good(), good()], ["pods[1]", "shop/a is listed twice"]),
        (many.collect(), ["spec.pods.pods", "at most 1024"]),
    ] {
        let error = client
            .start("wrong", spec_of(pods))
            .expect_err("it is wrong");
        let error = format!("{error:#}");
        for part in parts {
            assert!(error.contains(part), "no {part:?} in {error}");
        }
    }
    // A capture that was started without pods accepts none, and one with pods keeps the field.
    client.start("plain", capture_tests::daemon::spec("lo", ""))?;
    let error = set_pods(&client, "plain", vec![good()]).expect_err("not of pods");
    assert!(
        format!("{error:#}").contains("started without pods"),
        "{error:#}"
    );
    client.start("of-pods", spec_of(vec![good()]))?;
    let request = v1::UpdateCaptureRequest {
        name: "of-pods".to_owned(),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["pods".to_owned()],
        }),
        ..Default::default()
    };
    let error = client
        .wait(client.captures.clone().update_capture(request))
        .expect_err("not set");
    assert!(error.message().contains("empty selection"), "{error}");
    assert_eq!(client.get("of-pods")?.pods.len(), 1);
    Ok(())
}
