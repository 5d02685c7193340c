//! `capture-coordinator --nodes`: two daemons in two network namespaces are a cluster.

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1::{self, read_file_response::Piece, stream_cluster_packets_response::Event};
use capture_tests::{
    coordinator::ClusterClient,
    daemon::{spec, wrote_all},
    gate,
    lab::{Lab, wait_for_reader},
    netns::Pair,
    pods::{Node, PORT, send},
    wait,
};
use twox_hash::XxHash3_128;

const API: &str = "10.0.0.1:9444";
const PACKETS: u32 = 150;

/// Packets of a stream, until the capture has ended on both nodes.
fn streamed(client: &ClusterClient) -> Result<Vec<v1::Packet>> {
    let request = v1::StreamClusterPacketsRequest {
        name: "web".to_owned(),
        ..Default::default()
    };
    let request = client.request(request)?;
    let answer = client.wait(client.service.clone().stream_cluster_packets(request))?;
    let mut events = answer.into_inner();
    let (mut packets, mut nodes, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(event) = client.wait(events.message())? {
        match event.event.context("an empty event")? {
            Event::Interface(interface) => nodes.push(interface.node),
            Event::Packets(batch) => packets.extend(batch.packets),
            Event::Missed(missed) => anyhow::bail!("missed: {missed:?}"),
            Event::Ended(end) => {
                ensure!(end.problem.is_empty(), "{end:?}");
                ended.push(end.node);
            }
            Event::Names(_) => {}
        }
    }
    nodes.sort();
    ended.sort();
    ensure!(nodes == ["left", "right"], "interfaces of {nodes:?}");
    ensure!(ended == ["left", "right"], "ended on {ended:?}");
    Ok(packets)
}

#[test]
fn packets_and_files_of_two_daemons_come_through_one_address_and_none_is_lost() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (lab, pair) = (Lab::new()?, Pair::new()?);
    let daemons = [
        lab.daemon(&pair.a, "10.0.0.1", "left")?,
        lab.daemon(&pair.b, "10.0.0.2", "right")?,
    ];
    let _coordinator = lab.coordinator_of_two(&pair, API)?;
    let own = lab.client("alice")?;
    let client = ClusterClient::connect(&pair.a, API, &lab.authority, Some(&own), "")?;

    let filter = format!("udp dst port {PORT}");
    for daemon in &daemons {
        daemon.client()?.start("web", spec("eth0", &filter))?;
    }
    let packets = std::thread::scope(|scope| {
        let sender = scope.spawn(|| -> Result<()> {
            for daemon in &daemons {
                wait_for_reader(daemon)?;
            }
            send(&pair.a, &pair.b, [10, 0, 0, 2].into(), PACKETS)?;
            for daemon in &daemons {
                daemon.client()?.stop("web")?;
            }
            Ok(())
        });
        let packets = streamed(&client)?;
        match sender.join() {
            Ok(sent) => sent.map(|()| packets),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })?;
    let count = packets.len();
    ensure!(count == 2 * PACKETS as usize, "{count} packets");
    ensure!(
        packets.is_sorted_by_key(|packet| packet.timestamp_ns),
        "packets are not in the order of time"
    );
    for id in [0, 1] {
        let of_node = packets.iter().filter(|packet| packet.interface_id == id);
        ensure!(of_node.count() == PACKETS as usize, "interface {id}");
    }
    for daemon in &daemons {
        wrote_all(&daemon.client()?.get("web")?, PACKETS.into())?;
    }
    files_arrive_whole(&client)
}

/// Every file of both nodes, compared with the digest that its node lists.
fn files_arrive_whole(client: &ClusterClient) -> Result<()> {
    let nodes = wait::until("digests of all files", || {
        let request = client.request(v1::ListClusterFilesRequest {
            name: "web".to_owned(),
        })?;
        let answer = client.wait(client.service.clone().list_cluster_files(request))?;
        let nodes = answer.into_inner().nodes;
        let mut files = nodes.iter().flat_map(|node| &node.files);
        Ok(files.all(|file| !file.digest.is_empty()).then_some(nodes))
    })?;
    ensure!(nodes.len() == 2, "{nodes:?}");
    for node in nodes {
        ensure!(node.files.len() == 1 && node.problem.is_empty(), "{node:?}");
        let file = &node.files[0];
        let request = client.request(v1::ReadClusterFileRequest {
            node: node.node.clone(),
            name: "web".to_owned(),
            file: file.name.clone(),
            offset: 0,
        })?;
        let answer = client.wait(client.service.clone().read_cluster_file(request))?;
        let mut pieces = answer.into_inner();
        let mut bytes = Vec::new();
        while let Some(piece) = client.wait(pieces.message())? {
            if let Some(Piece::Chunk(chunk)) = piece.piece.and_then(|piece| piece.piece) {
                bytes.extend_from_slice(&chunk.data);
            }
        }
        let found = format!("xxh128:{:032x}", XxHash3_128::oneshot(&bytes));
        ensure!(
            bytes.len() as u64 == file.bytes && found == file.digest,
            "{} bytes with {found} of {file:?}",
            bytes.len()
        );
    }
    Ok(())
}

#[test]
fn a_node_that_is_lost_is_told_and_the_others_answer() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (lab, pair) = (Lab::new()?, Pair::new()?);
    let left = lab.daemon(&pair.a, "10.0.0.1", "left")?;
    let right = lab.daemon(&pair.b, "10.0.0.2", "right")?;
    let _coordinator = lab.coordinator_of_two(&pair, API)?;
    let own = lab.client("alice")?;
    let client = ClusterClient::connect(&pair.a, API, &lab.authority, Some(&own), "")?;
    for daemon in [&left, &right] {
        daemon.client()?.start("web", spec("eth0", ""))?;
    }
    right.kill()?;
    wait::until_true("the lost node to be told", || {
        let request = client.request(v1::ListClusterNodesRequest {})?;
        let answer = client.wait(client.service.clone().list_cluster_nodes(request))?;
        let nodes = answer.into_inner().nodes;
        ensure!(nodes.len() == 2, "{nodes:?}");
        ensure!(nodes[0].node.is_some(), "left answers: {:?}", nodes[0]);
        Ok(nodes[1].node.is_none() && !nodes[1].problem.is_empty())
    })?;
    let request = client.request(v1::ListClusterCapturesRequest {
        name: "web".to_owned(),
    })?;
    let answer = client.wait(client.service.clone().list_cluster_captures(request))?;
    let captures = answer.into_inner().captures;
    ensure!(captures.len() == 2, "{captures:?}");
    ensure!(captures[0].problem.is_empty() && !captures[1].problem.is_empty());
    let request = client.request(v1::ListClusterFilesRequest {
        name: "no-such".to_owned(),
    })?;
    let status = client
        .wait(client.service.clone().list_cluster_files(request))
        .expect_err("there is none");
    ensure!(status.code() == tonic::Code::NotFound, "{status}");
    Ok(())
}

#[test]
fn without_a_certificate_of_the_authority_nobody_gets_an_answer() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (lab, pair) = (Lab::new()?, Pair::new()?);
    let _left = lab.daemon(&pair.a, "10.0.0.1", "left")?;
    let _right = lab.daemon(&pair.b, "10.0.0.2", "right")?;
    let _coordinator = lab.coordinator_of_two(&pair, API)?;
    let foreign = Lab::new()?.client("alice")?;
    for own in [None, Some(&foreign)] {
        let answered =
            ClusterClient::connect(&pair.a, API, &lab.authority, own, "").and_then(|client| {
                let request = client.request(v1::ListClusterNodesRequest {})?;
                Ok(client.wait(client.service.clone().list_cluster_nodes(request))?)
            });
        ensure!(answered.is_err(), "answered with {own:?}");
    }
    Ok(())
}

#[test]
fn packets_of_an_address_are_recorded_once_on_a_node_unless_every_interface_is_asked_for()
-> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    const API: &str = "10.9.0.2:9444";
    let (lab, node) = (Lab::new()?, Node::new()?);
    let (a, b) = (node.pod(2, &[3])?, node.pod(3, &[2])?);
    let daemon = lab.daemon(&node.namespace, "10.9.0.1", "left")?;
    let list = "[[node]]\nname = \"left\"\naddress = \"10.9.0.1\"\n";
    let mut coordinator = lab.coordinator_of(&node.world, API, list)?;
    coordinator.wait_for_stderr("left (10.9.0.1:8080): connected")?;
    let own = lab.client("alice")?;
    let client = ClusterClient::connect(&node.world, API, &lab.authority, Some(&own), "")?;
    let captures = [("once", None, 1), ("every", Some(false), 2)];
    for (name, asked, _) in captures {
        let capture = v1::CaptureSpec {
            targets: vec![b.address.to_string()],
            each_packet_once: asked,
            ..spec("any", "")
        };
        let capture = v1::CaptureSpec {
            interfaces: Vec::new(),
            ..capture
        };
        let request = client.request(v1::StartClusterCaptureRequest {
            name: name.to_owned(),
            spec: Some(v1::ClusterCaptureSpec {
                capture: Some(capture),
                ..Default::default()
            }),
            ..Default::default()
        })?;
        client.wait(client.service.clone().start_cluster_capture(request))?;
    }
    send(&a.namespace, &b.namespace, b.address, PACKETS)?;
    let packets = u64::from(PACKETS);
    for (name, _, sights) in captures {
        let capture = daemon.client()?.stop(name)?;
        wrote_all(&capture, sights * packets)?;
        let ledger = capture.ledger.context("no ledger")?;
        ensure!(
            ledger.matched == Some(2 * packets) && ledger.duplicate == Some((2 - sights) * packets),
            "{name}: {ledger:?}"
        );
    }
    Ok(())
}
