//! Interfaces that appear, disappear, are renamed, are down, or do not exist.

use std::{net::UdpSocket, process::Command};

use anyhow::{Context as _, Result};
use capture_tests::{
    attached,
    capture_file::{Contents, Direction, Packet},
    compare,
    frame::{self, Ipv4},
    gate,
    netns::{Namespace, Pair},
    packet_socket::PacketSocket,
    recorder::{self, Recorder},
    scene::{numbered_frames, send_through},
    tun::Tun,
    wait,
};
use tempfile::TempDir;

/// Joins `a` and `b` by another pair, with this name on both sides.
fn add_interface(pair: &Pair, name: &str) -> Result<()> {
    pair.a.ip(&format!(
        "link add {name} type veth peer name {name} netns {}",
        pair.b.name()
    ))?;
    pair.a.ip(&format!("link set {name} up"))?;
    pair.b.ip(&format!("link set {name} up"))?;
    Ok(())
}

/// Packets of the capture that were received by the interface of this name.
fn packets_of(files: &[Contents], name: &str) -> Vec<Packet> {
    let mut packets = Vec::new();
    for file in files {
        for packet in &file.packets {
            let interface = &file.interfaces[packet.interface as usize];
            if interface.name.as_deref() == Some(name) {
                packets.push(packet.clone());
            }
        }
    }
    packets
}

#[test]
fn an_interface_that_appears_and_matches_is_recorded_and_one_that_goes_keeps_its_ledger()
-> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let arguments = ["-i", "eth0", "-i", "pod*"];
    let mut recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
    send_through(&pair, &numbered_frames(0..10))?;
    for name in ["pod1", "other", "pod2"] {
        add_interface(&pair, name)?;
    }
    for name in ["pod1", "pod2"] {
        wait_for_programs(&pair.b, name)?;
    }
    let frames = numbered_frames(100..150);
    for name in ["pod1", "other", "pod2"] {
        send_on(&pair, name, &frames)?;
    }
    pair.b.ip("link del pod1")?;
    // The capture continues.
    send_through(&pair, &numbered_frames(10..20))?;
    assert!(recorder.process().is_running()?);
    let recorded = recorder.stop()?;
    recorded.lost_nothing(120)?;
    let summary = &recorded.summary;
    assert_eq!(summary.interface("eth0")?.ledger.written, 20);
    assert_eq!(summary.interface("pod1")?.ledger.written, 50);
    assert_eq!(summary.interface("pod2")?.ledger.written, 50);
    assert_eq!(summary.interfaces.len(), 3, "{summary:?}");
    let files = recorded.files()?;
    for name in ["pod1", "pod2"] {
        compare::same_frames(&packets_of(&files, name), &frames)?;
    }
    Ok(())
}

/// Waits until a program of the recorder is attached to an interface.
fn wait_for_programs(namespace: &Namespace, interface: &str) -> Result<()> {
    wait::until_true(&format!("a program on {interface}"), || {
        let programs = attached::programs(namespace, interface)?;
        Ok(programs.len() >= 2)
    })
}

/// Sends frames from `a` to `b` through the interfaces of this name, and waits for their arrival.
fn send_on(pair: &Pair, name: &str, frames: &[Vec<u8>]) -> Result<()> {
    let receiver = PacketSocket::open(&pair.b, name)?.only_incoming()?;
    PacketSocket::sender(&pair.a, name)?.send_all(frames)?;
    assert_eq!(receiver.receive(frames.len())?, frames);
    Ok(())
}

#[test]
fn a_renamed_interface_keeps_its_identity() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    add_interface(&pair, "pod1")?;
    let directory = TempDir::new()?;
    let recorder = Recorder::start(&pair.b, directory.path(), &["-i", "pod1"])?;
    send_on(&pair, "pod1", &numbered_frames(0..10))?;
    let index = pair.b.ifindex("pod1")?;
    pair.b.ip("link set pod1 down")?;
    pair.b.ip("link set pod1 name web1")?;
    pair.b.ip("link set web1 up")?;
    let receiver = PacketSocket::open(&pair.b, "web1")?.only_incoming()?;
    let frames = numbered_frames(10..20);
    PacketSocket::sender(&pair.a, "pod1")?.send_all(&frames)?;
    assert_eq!(receiver.receive(frames.len())?, frames);
    let recorded = recorder.stop()?;
    recorded.lost_nothing(20)?;
    assert_eq!(recorded.summary.interfaces.len(), 1);
    assert_eq!(recorded.summary.interfaces[0].ifindex, index);
    compare::same_frames(&recorded.packets()?, &numbered_frames(0..20))
}

/// Like [`add_interface`], with a given index in `b`.
fn add_interface_with_index(pair: &Pair, name: &str, index: u32) -> Result<()> {
    pair.b.ip(&format!(
        "link add {name} index {index} type veth peer name {name} netns {}",
        pair.a.name()
    ))?;
    pair.a.ip(&format!("link set {name} up"))?;
    pair.b.ip(&format!("link set {name} up"))?;
    Ok(())
}

#[test]
fn interfaces_whose_indexes_lead_to_one_place_are_counted_each_for_itself() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    // Counters are found by the index modulo this.
    const PLACES: u32 = 512;
    let index = |number| 77 + number * PLACES;
    let pair = Pair::new()?;
    for filter in ["", "ether[49] & 1 = 0"] {
        add_interface_with_index(&pair, "first", index(1))?;
        add_interface_with_index(&pair, "second", index(2))?;
        let directory = TempDir::new()?;
        let arguments = ["-i", "first", "-i", "second", "-i", "pod*", filter];
        let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
        send_on(&pair, "first", &numbered_frames(0..10))?;
        send_on(&pair, "second", &numbered_frames(0..20))?;
        pair.b.ip("link del first")?;
        // Later interfaces use the freed slot, one after the other.
        for number in 3..8 {
            let name = format!("pod{number}");
            add_interface_with_index(&pair, &name, index(number))?;
            wait_for_programs(&pair.b, &name)?;
            send_on(&pair, &name, &numbered_frames(0..10 * u64::from(number)))?;
            send_on(&pair, "second", &numbered_frames(0..2))?;
            pair.b.ip(&format!("link del {name}"))?;
        }
        let recorded = recorder.stop()?;
        pair.b.ip("link del second")?;
        let expected = [("first".to_owned(), 10), ("second".to_owned(), 30)]
            .into_iter()
            .chain((3..8).map(|number| (format!("pod{number}"), 10 * number)));
        let mut all = 0;
        for (name, sent) in expected {
            let ledger = recorded.summary.interface(&name)?.ledger;
            let filtered = if filter.is_empty() { 0 } else { sent / 2 };
            assert_eq!(ledger.seen, sent, "{name}: {ledger:?}");
            assert_eq!(ledger.filtered, filtered, "{name}: {ledger:?}");
            assert_eq!(ledger.written, sent - filtered, "{name}: {ledger:?}");
            all += sent;
        }
        assert_eq!(recorded.summary.total.seen, all);
    }
    Ok(())
}

#[test]
fn any_means_every_interface() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    add_interface(&pair, "pod1")?;
    for format in ["pcap", "pcapng"] {
        let directory = TempDir::new()?;
        let arguments = ["-i", "any", "--format", format];
        let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
        send_through(&pair, &numbered_frames(0..10))?;
        send_on(&pair, "pod1", &numbered_frames(10..30))?;
        let recorded = recorder.stop()?;
        recorded.lost_nothing(30)?;
        assert_eq!(recorded.summary.interface("eth0")?.ledger.written, 10);
        assert_eq!(recorded.summary.interface("pod1")?.ledger.written, 20);
        assert_eq!(recorded.summary.interface("lo")?.ledger.written, 0);
        compare::same_frames(&recorded.packets()?, &numbered_frames(0..30))?;
    }
    Ok(())
}

#[test]
fn an_interface_that_is_down_is_recorded_once_it_is_up() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    pair.b.ip("link set eth0 down")?;
    let directory = TempDir::new()?;
    let mut recorder = Recorder::start(&pair.b, directory.path(), &["-i", "eth0"])?;
    let said = recorder.process().stderr();
    assert!(
        said.contains("eth0") && said.contains("down"),
        "nothing said that eth0 is down: {said}"
    );
    pair.b.ip("link set eth0 up")?;
    recorder.process().wait_for_stderr("interface eth0 is up")?;
    let frames = numbered_frames(0..10);
    send_through(&pair, &frames)?;
    let recorded = recorder.stop()?;
    recorded.lost_nothing(10)?;
    compare::same_frames(&recorded.packets()?, &frames)
}

#[test]
fn an_interface_that_is_not_there_is_refused_and_the_nearest_is_named() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let path = directory.path().to_string_lossy().into_owned();
    for name in ["eth1", "eht0", "eth00"] {
        let ended = recorder::run(&pair.b, &["record", "-w", &path, "-i", name])?;
        assert!(!ended.status.success());
        assert!(
            ended.stderr.contains(name) && ended.stderr.contains("eth0"),
            "{}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
    Ok(())
}

#[test]
fn only_the_direction_asked_for_is_recorded() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    for (option, expected) in [
        ("in", vec![Direction::In]),
        ("out", vec![Direction::Out]),
        ("inout", vec![Direction::In, Direction::Out]),
    ] {
        let pair = Pair::new()?;
        let directory = TempDir::new()?;
        let arguments = ["-i", "eth0", "-Q", option];
        let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
        let outgoing = PacketSocket::open(&pair.a, "eth0")?.only_incoming()?;
        send_through(&pair, &numbered_frames(0..10))?;
        let answer = frame::numbered(99, 70);
        PacketSocket::sender(&pair.b, "eth0")?.send(&answer)?;
        assert_eq!(outgoing.receive(1)?[0], answer);
        let recorded = recorder.stop()?;
        let packets = recorded.packets()?;
        let mut frames = Vec::new();
        if expected.contains(&Direction::In) {
            frames.extend(numbered_frames(0..10));
        }
        if expected.contains(&Direction::Out) {
            frames.push(answer);
        }
        compare::same_frames(&packets, &frames)?;
        recorded.lost_nothing(frames.len() as u64)?;
        for packet in &packets {
            let direction = packet.direction;
            assert!(direction.is_some_and(|way| expected.contains(&way)));
        }
    }
    Ok(())
}

#[test]
fn an_alternative_name_will_do_and_a_name_goes_before_a_glob() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    add_interface(&pair, "v*")?;
    add_interface(&pair, "v1")?;
    pair.b
        .ip("link property add dev eth0 altname enp0s31f6longer")?;
    let directory = TempDir::new()?;
    let arguments = ["-i", "enp0s31f6longer", "-i", "v*"];
    let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
    send_through(&pair, &numbered_frames(0..10))?;
    send_on(&pair, "v*", &numbered_frames(10..30))?;
    send_on(&pair, "v1", &numbered_frames(30..40))?;
    let recorded = recorder.stop()?;
    recorded.lost_nothing(30)?;
    assert_eq!(recorded.summary.interface("eth0")?.ledger.written, 10);
    assert_eq!(recorded.summary.interface("v*")?.ledger.written, 20);
    assert_eq!(recorded.summary.interfaces.len(), 2);
    compare::same_frames(&recorded.packets()?, &numbered_frames(0..30))
}

#[test]
fn interfaces_that_cannot_be_recorded_are_named_once() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let _odd = [
        Tun::of_another_kind(&pair.b, "odd1")?,
        Tun::of_another_kind(&pair.b, "odd2")?,
    ];
    let directory = TempDir::new()?;
    let mut recorder = Recorder::start(&pair.b, directory.path(), &["-i", "any"])?;
    send_through(&pair, &numbered_frames(0..10))?;
    // Another message about it changes nothing.
    pair.b.ip("link set odd2 up")?;
    pair.b.ip("link set odd2 down")?;
    let said = recorder.process().stderr();
    let recorded = recorder.stop()?;
    recorded.lost_nothing(10)?;
    assert_eq!(said.matches("odd1").count(), 1, "{said}");
    let warnings = &recorded.summary.warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].starts_with("interface odd1, interface odd2: left out"),
        "{warnings:?}"
    );
    Ok(())
}

#[test]
fn tcpdump_reads_every_packet_of_any_beside_a_device_of_another_link_type() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    for format in ["pcapng", "pcap"] {
        let pair = Pair::new()?;
        let mut tun = Tun::new(&pair.b, "tun0")?;
        let directory = TempDir::new()?;
        let arguments = ["--format", format];
        let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
        let frames = numbered_frames(0..20);
        for (number, one) in frames.chunks(1).enumerate() {
            send_through(&pair, one)?;
            let header = Ipv4 {
                protocol: 17,
                ..Ipv4::default()
            };
            let datagram = frame::udp(1, 2, &[7; 100][..number]);
            tun.send(&frame::ipv4_to(frame::ADDRESS_NOBODY, header, &datagram))?;
        }
        let recorded = recorder.stop()?;
        recorded.lost_nothing(40)?;
        let files = recorded.files()?;
        assert_eq!(files.len(), 2, "one for each link type");
        let mut read = 0;
        for path in recorded.paths() {
            let output = Command::new("tcpdump").arg("-nr").arg(&path).output()?;
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {errors}", path.display());
            read += String::from_utf8_lossy(&output.stdout).lines().count();
        }
        assert_eq!(read, 40, "{format}");
    }
    Ok(())
}

#[test]
fn what_a_queue_drops_behind_the_recorder_is_told_beside_the_ledger() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    // 20 KB of queue at 1 Mbit/s: most of the packets that follow find it full.
    pair.b
        .tc("qdisc add dev eth0 root tbf rate 1mbit burst 5kb limit 20kb")?;
    let directory = TempDir::new()?;
    let arrived = PacketSocket::open(&pair.a, "eth0")?.only_incoming()?;
    let arguments = ["-i", "eth0", "-Q", "out", "udp"];
    let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
    pair.b.run(|| -> Result<()> {
        // The socket gets no error for a packet that finds no room in the queue.
        let sender = UdpSocket::bind("10.0.0.2:0")?;
        for _ in 0..200 {
            sender.send_to(&[7; 1000], "10.0.0.1:7788")?;
        }
        Ok(())
    })?;
    let recorded = recorder.stop()?;
    let ledger = recorded.summary.total;
    assert_eq!((ledger.matched, ledger.written), (200, 200), "{ledger:?}");
    let warnings = &recorded.summary.warnings;
    let dropped: usize = warnings
        .first()
        .and_then(|text| text.strip_prefix("interface eth0: the queueing discipline dropped "))
        .and_then(|text| text.split(' ').next())
        .with_context(|| format!("{warnings:?}"))?
        .parse()?;
    assert!(dropped > 100, "{dropped} of 200 found no room");
    // The rest arrives.
    arrived.receive(200 - dropped)?;
    Ok(())
}
