//! `--each-packet-once`: a packet that passes a veth, a bridge and the uplink is recorded at the first of them.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
};

use anyhow::{Context as _, Result, ensure};
use capture_tests::{
    capture_file::{Direction, Packet},
    compare,
    frame::{self, IPV4, IPV6, Ipv4},
    gate,
    packet_socket::PacketSocket,
    pods::{self, Node, PodNamespace},
    recorder::{Recorded, Recorder},
    scene::transfer,
};
use tempfile::TempDir;

/// EtherType "Local Experimental 1" of IEEE 802: no stack answers it.
const NOT_IP: u16 = 0x88b5;

/// The same traffic, recorded on every interface of a node by two captures.
struct Both {
    once: Recorded,
    every: Recorded,
    _directories: [TempDir; 2],
}

impl Both {
    fn record(node: &Node, traffic: impl FnOnce() -> Result<()>) -> Result<Self> {
        let directories = [TempDir::new()?, TempDir::new()?];
        let namespace = &node.namespace;
        let start = |directory: &TempDir, arguments: &[&str]| {
            let arguments = [&["-i", "any"], arguments].concat();
            Recorder::start(namespace, directory.path(), &arguments)
        };
        let every = start(&directories[0], &[])?;
        let once = start(&directories[1], &["--each-packet-once"])?;
        traffic()?;
        Ok(Self {
            once: once.stop()?,
            every: every.stop()?,
            _directories: directories,
        })
    }

    /// Checks both ledgers: `sent` packets were seen `sights` times each, and recorded once.
    fn has_each_once(&self, sent: u64, sights: u64) -> Result<()> {
        let (once, every) = (&self.once.summary.total, &self.every.summary.total);
        self.every.lost_nothing(sent * sights)?;
        ensure!(every.duplicate == 0, "{every:?}");
        ensure!(
            once.seen == sent * sights && once.filtered == 0,
            "{sent} packets, {sights} times each: {once:?}"
        );
        ensure!(
            once.written == sent && once.duplicate == sent * (sights - 1),
            "{sent} packets, {sights} times each: {once:?}"
        );
        self.has_the_first()
    }

    /// Checks that what was recorded once is what came into the node: packets received on any interface
    /// but the bridge.
    fn has_the_first(&self) -> Result<()> {
        let mut first = packets(&self.every)?;
        first.retain(|(interface, packet)| {
            interface != "cni0" && packet.direction == Some(Direction::In)
        });
        let first: Vec<Packet> = first.into_iter().map(|(_, packet)| packet).collect();
        compare::same_packets_in_any_order(&self.once.packets()?, &first)
    }
}

/// The packets, each with the name of its interface.
fn packets(recorded: &Recorded) -> Result<Vec<(String, Packet)>> {
    let mut packets = Vec::new();
    for file in recorded.files()? {
        for packet in file.packets {
            let interface = file.interfaces.get(packet.interface as usize);
            let name = interface.and_then(|interface| interface.name.clone());
            packets.push((name.context("a packet of no interface")?, packet));
        }
    }
    Ok(packets)
}

/// A node with two pods.
fn node() -> Result<(Node, PodNamespace, PodNamespace)> {
    let node = Node::new()?;
    let a = node.pod(2, &[3])?;
    let b = node.pod(3, &[2])?;
    Ok((node, a, b))
}

/// The same, which forwards packets between its pods and the world.
fn router() -> Result<(Node, PodNamespace)> {
    let (node, pod, _) = node()?;
    node.namespace
        .run(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1"))?;
    node.world.ip("route add 10.244.0.0/24 via 10.9.0.1")?;
    Ok((node, pod))
}

fn ip(protocol: u8, identification: u16, payload: &[u8]) -> Vec<u8> {
    let header = Ipv4 {
        protocol,
        identification,
        ..Ipv4::default()
    };
    to_pod(IPV4, &frame::ipv4(header, payload))
}

fn fragment(identification: u16, offset: u16, more_fragments: bool, payload: &[u8]) -> Vec<u8> {
    let header = Ipv4 {
        protocol: 17,
        identification,
        fragment_offset: offset,
        more_fragments,
    };
    to_pod(IPV4, &frame::ipv4(header, payload))
}

/// A frame to the pod 3.
fn to_pod(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    frame::ethernet_to([2, 0, 0, 0, 0xf5, 3], ethertype, payload)
}

/// Packets of many kinds, with retransmissions and with other packets that have the same bytes.
fn frames() -> Vec<Vec<u8>> {
    let long = vec![0x42; 1400];
    let mut almost = long.clone();
    almost[1399] = 0x43;
    let mut padded = ip(6, 7, &frame::tcp(80, 4000, b""));
    padded.resize(60, 0xee);
    let data = ip(6, 9, &frame::tcp(4000, 80, &long));
    let kinds = [
        // Without a checksum, and all with the identification 0.
        ip(17, 0, &frame::udp(4000, 4001, b"the same again")),
        ip(17, 0, &frame::udp(4000, 4001, b"the same agaim")),
        ip(17, 0, &frame::udp(4000, 4001, &long)),
        ip(17, 0, &frame::udp(4000, 4001, &almost)),
        ip(17, 0, &frame::udp(4000, 4001, &long[1..])),
        // A pure acknowledgement with the padding of a short frame, a segment, and its retransmission.
        padded,
        data.clone(),
        data,
        ip(1, 1, &[8, 0, 0xf7, 0xfd, 0, 1, 0, 1]),
        ip(1, 1, &[8, 0, 0xf7, 0xfc, 0, 1, 0, 2]),
        ip(132, 1, &[0; 40]),
        fragment(5, 0, true, &frame::udp(4000, 4001, &long[..1000])),
        fragment(5, 1008, false, &long[..300]),
        to_pod(IPV6, &frame::ipv6(17, &frame::udp(4000, 4001, b"hello"))),
        to_pod(IPV6, &frame::ipv6(6, &frame::tcp(4000, 80, &long))),
        to_pod(IPV6, &frame::ipv6(58, &[128, 0, 1, 2, 0, 1, 0, 1])),
        to_pod(IPV6, &frame::ipv6(44, &[17, 0, 0, 1, 0, 0, 0, 7, 1, 2, 3])),
        frame::tagged(
            frame::VLAN,
            7,
            &ip(17, 0, &frame::udp(4000, 4001, b"tagged")),
        ),
        // No payload at all.
        ip(253, 0, b""),
    ];
    // Each kind several times in a row, then all of them one after the other, several times.
    let in_a_row = kinds.iter().flat_map(|kind| vec![kind.clone(); 5]);
    let in_turn = (0..5).flat_map(|_| kinds.clone());
    in_a_row.chain(in_turn).collect()
}

/// Sends frames from one pod to the other, and waits until they have arrived.
fn send(from: &PodNamespace, to: &PodNamespace, frames: &[Vec<u8>]) -> Result<()> {
    let receiver = PacketSocket::open(&to.namespace, "eth0")?.only_incoming()?;
    PacketSocket::sender(&from.namespace, "eth0")?.send_all(frames)?;
    receiver.receive(frames.len())?;
    Ok(())
}

#[test]
fn a_packet_between_two_pods_is_recorded_once_also_if_it_is_sent_again() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (node, a, b) = node()?;
    let frames = frames();
    let both = Both::record(&node, || send(&a, &b, &frames))?;
    both.has_each_once(frames.len() as u64, 2)?;
    // In the order in which they were sent.
    compare::same_frames(&both.once.packets()?, &frames)
}

#[test]
fn packets_that_differ_in_a_little_and_come_in_at_two_interfaces_are_both_recorded() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let long = vec![0x42; 1400];
    let mut almost = long.clone();
    almost[1399] = 0x43;
    let segment = frame::tcp(4000, 80, b"");
    let mut next = segment.clone();
    next[7] += 1;
    let udp = |payload: &[u8]| frame::udp(4000, 4001, payload);
    let pairs = [
        (ip(17, 0, &udp(&long)), ip(17, 0, &udp(&almost))),
        (ip(17, 0, &udp(&long)), ip(17, 0, &udp(&long[1..]))),
        (ip(17, 1, &udp(b"")), ip(17, 2, &udp(b""))),
        (ip(6, 0, &segment), ip(6, 0, &next)),
        (ip(1, 0, &[8, 0, 0, 0, 0, 1]), ip(1, 0, &[8, 0, 0, 0, 0, 2])),
        (
            to_pod(IPV6, &frame::ipv6(6, &segment)),
            to_pod(IPV6, &frame::ipv6(6, &next)),
        ),
    ];
    let (node, a, b) = node()?;
    let both = Both::record(&node, || {
        for (from_a, mut from_b) in pairs.clone() {
            from_b[..6].copy_from_slice(&[2, 0, 0, 0, 0xf5, 2]);
            send(&a, &b, &[from_a])?;
            send(&b, &a, &[from_b])?;
        }
        Ok(())
    })?;
    both.has_each_once(2 * pairs.len() as u64, 2)
}

#[test]
fn what_is_not_ip_is_recorded_at_every_interface() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (node, a, b) = node()?;
    let frames = vec![to_pod(NOT_IP, &[7; 46]); 10];
    let both = Both::record(&node, || send(&a, &b, &frames))?;
    both.every.lost_nothing(20)?;
    both.once.lost_nothing(20)?;
    assert_eq!(both.once.summary.total.duplicate, 0);
    Ok(())
}

#[test]
fn a_routed_packet_is_recorded_before_its_time_to_live_is_decremented() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (node, pod) = router()?;
    // The pod's interface, the bridge and the uplink.
    let both = Both::record(&node, || {
        pods::send(&pod.namespace, &node.world, [10, 9, 0, 2].into(), 200)
    })?;
    both.has_each_once(200, 3)?;
    for (interface, packet) in packets(&both.once)? {
        assert_eq!(
            (interface.as_str(), packet.bytes[14 + 8]),
            (&*pod.interface, 64)
        );
    }
    let both = Both::record(&node, || {
        pods::send(&node.world, &pod.namespace, pod.address, 200)
    })?;
    both.has_each_once(200, 3)
}

#[test]
fn each_fragment_of_a_routed_datagram_is_recorded_once() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    const DATAGRAMS: u64 = 20;
    let (node, pod) = router()?;
    let both = Both::record(&node, || {
        let receiver = node.world.run(|| UdpSocket::bind("10.9.0.2:4001"))?;
        let address = SocketAddr::from((pod.address, 0));
        let sender = pod.namespace.run(|| UdpSocket::bind(address))?;
        let mut buffer = [0; 5000];
        for _ in 0..DATAGRAMS {
            // Three fragments with an MTU of 1,500 bytes.
            sender.send_to(&[7; 4000], "10.9.0.2:4001")?;
            ensure!(receiver.recv(&mut buffer)? == 4000, "a part of it");
        }
        Ok(())
    })?;
    both.has_each_once(3 * DATAGRAMS, 3)
}

#[test]
fn the_packets_of_a_tcp_connection_are_recorded_once() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (node, a, b) = node()?;
    let both = Both::record(&node, || {
        transfer(
            &a.namespace,
            &b.namespace,
            &format!("{}:5000", b.address),
            4 << 20,
        )
    })?;
    // How many segments there are is up to TCP: each is seen at both pods.
    let seen = both.every.summary.total.seen;
    both.has_each_once(seen / 2, 2)?;
    let (node, pod) = router()?;
    let both = Both::record(&node, || {
        transfer(&pod.namespace, &node.world, "10.9.0.2:5000", 4 << 20)
    })?;
    let seen = both.every.summary.total.seen;
    both.has_each_once(seen / 3, 3)
}

#[test]
fn packets_of_the_node_itself_are_recorded_where_it_sends_and_receives_them() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (node, pod, _) = node()?;
    let both = Both::record(&node, || {
        pods::send(&pod.namespace, &node.namespace, [10, 244, 0, 1].into(), 100)
    })?;
    both.has_each_once(100, 2)?;
    let both = Both::record(&node, || {
        pods::send(&node.namespace, &pod.namespace, pod.address, 100)
    })?;
    let once = both.once.summary.total;
    both.every.lost_nothing(200)?;
    assert_eq!((once.written, once.duplicate), (100, 100), "{once:?}");
    for (interface, packet) in packets(&both.once)? {
        assert_eq!(
            (interface.as_str(), packet.direction),
            ("cni0", Some(Direction::Out))
        );
    }
    let both = Both::record(&node, || {
        pods::send(&node.namespace, &node.namespace, [127, 0, 0, 1].into(), 100)
    })?;
    both.has_each_once(100, 1)
}
