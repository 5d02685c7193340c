//! Promiscuous mode: as in tcpdump, and ended with the capture.

use std::process::Command;

use anyhow::{Context as _, Result};
use capture_tests::{
    compare, frame, gate,
    netns::{Namespace, Pair},
    packet_socket::PacketSocket,
    recorder::{self, Recorder},
    scene::numbered_frames,
    tcpdump::Tcpdump,
    wait,
};
use tempfile::TempDir;

/// How many requests for promiscuous mode the kernel counts on an interface.
fn promiscuity(namespace: &Namespace, interface: &str) -> Result<u64> {
    let text = namespace.ip(&format!("-json -details link show dev {interface}"))?;
    let links: serde_json::Value = serde_json::from_str(&text)?;
    links[0]["promiscuity"]
        .as_u64()
        .with_context(|| format!("no promiscuity in {text}"))
}

/// `eth0` of `pair.b` is a port of a bridge `br0`, whose other port leads to a third host.
struct Bridge {
    pair: Pair,
    other: Namespace,
}

impl Bridge {
    fn new() -> Result<Self> {
        let pair = Pair::new()?;
        let other = Namespace::new()?;
        let bridge = &pair.b;
        bridge.ip("link add br0 type bridge mcast_snooping 0")?;
        bridge.ip("link set br0 up")?;
        bridge.ip(&format!(
            "link add port type veth peer name eth0 netns {}",
            other.name()
        ))?;
        for port in ["eth0", "port"] {
            bridge.ip(&format!("link set {port} master br0 up"))?;
        }
        other.ip("link set eth0 up")?;
        for port in ["eth0", "port"] {
            wait::until_true("the bridge to forward", || {
                let text = bridge.ip(&format!("-details link show dev {port}"))?;
                Ok(text.contains("state forwarding"))
            })?;
        }
        Ok(Self { pair, other })
    }

    /// Teaches the bridge the hosts' ports, so that it does not flood later frames.
    fn learn(&self) -> Result<()> {
        let there = PacketSocket::open(&self.other, "eth0")?.only_incoming()?;
        let hello = frame_between(A, B, 9999);
        PacketSocket::sender(&self.pair.a, "eth0")?.send(&hello)?;
        assert_eq!(there.receive(1)?, [hello]);
        let here = PacketSocket::open(&self.pair.a, "eth0")?.only_incoming()?;
        let answer = frame_between(B, A, 9998);
        PacketSocket::sender(&self.other, "eth0")?.send(&answer)?;
        assert_eq!(here.receive(1)?, [answer]);
        Ok(())
    }

    /// Sends frames from one host to the other, through the bridge.
    fn send(&self, frames: &[Vec<u8>]) -> Result<()> {
        let receiver = PacketSocket::open(&self.other, "eth0")?.only_incoming()?;
        PacketSocket::sender(&self.pair.a, "eth0")?.send_all(frames)?;
        assert_eq!(receiver.receive(frames.len())?, frames);
        Ok(())
    }
}

const A: [u8; 6] = [2, 0, 0, 0, 0, 0x1a];
const B: [u8; 6] = [2, 0, 0, 0, 0, 0x1b];

fn frame_between(from: [u8; 6], to: [u8; 6], number: u64) -> Vec<u8> {
    let mut frame = frame::numbered(number, 70);
    frame[..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&from);
    frame
}

fn forwarded(count: u64) -> Vec<Vec<u8>> {
    (0..count)
        .map(|number| frame_between(A, B, number))
        .collect()
}

#[test]
fn a_bridge_shows_what_it_forwards_as_tcpdump_sees_it() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let bridge = Bridge::new()?;
    bridge.learn()?;
    let directory = TempDir::new()?;
    let frames = forwarded(1000);
    // tcpdump runs with -p: it sees the packets that our promiscuous mode makes the bridge show.
    let tcpdump = Tcpdump::start(&bridge.pair.b, "br0", &[])?;
    let recorder = Recorder::start(&bridge.pair.b, directory.path(), &["-i", "br0"])?;
    assert_eq!(promiscuity(&bridge.pair.b, "br0")?, 1);
    bridge.send(&frames)?;
    let theirs = tcpdump.stop_after(frames.len())?;
    let recorded = recorder.stop()?;
    recorded.lost_nothing(1000)?;
    compare::same_frames(&recorded.packets()?, &frames)?;
    compare::same_frames(&theirs, &frames)?;
    assert_eq!(promiscuity(&bridge.pair.b, "br0")?, 0);
    Ok(())
}

#[test]
fn nothing_is_promiscuous_for_any_or_when_it_is_not_wanted() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let bridge = Bridge::new()?;
    bridge.learn()?;
    let arguments: [&[&str]; 2] = [&["-i", "br0", "-p"], &["-i", "any"]];
    for arguments in arguments {
        let directory = TempDir::new()?;
        let recorder = Recorder::start(&bridge.pair.b, directory.path(), arguments)?;
        assert_eq!(promiscuity(&bridge.pair.b, "br0")?, 0, "{arguments:?}");
        bridge.send(&forwarded(100))?;
        let recorded = recorder.stop()?;
        assert_eq!(recorded.summary.interface("br0")?.ledger.seen, 0);
    }
    Ok(())
}

#[test]
fn promiscuous_mode_is_counted_and_ends_with_the_process() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let start = |name: &str| {
        let path = directory.path().join(name);
        Recorder::start(&pair.b, &path, &["-i", "eth*", "--name", name])
    };
    let (first, second) = (start("first")?, start("second")?);
    assert_eq!(promiscuity(&pair.b, "eth0")?, 2, "a glob names as well");
    first.kill()?;
    assert_eq!(promiscuity(&pair.b, "eth0")?, 1);
    pair.b.ip("link set eth0 promisc on")?;
    second.stop()?.lost_nothing(0)?;
    assert_eq!(promiscuity(&pair.b, "eth0")?, 1, "somebody else's stays");
    Ok(())
}

/// A recorder as root without CAP_NET_RAW, which cannot open a packet socket.
fn without_net_raw(pair: &Pair, directory: &TempDir, name: &str) -> Result<Recorder> {
    let path = directory.path().join(name);
    let set = "-all,+bpf,+net_admin,+perfmon";
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set", set, "--inh-caps", set])
        .arg(recorder::program()?)
        .args(recorder::standard_arguments(&path)?)
        .args(["-i", "eth0", "--min-free", "0", "--name", name]);
    Recorder::start_command(&pair.b, &path, command)
}

#[test]
fn without_a_packet_socket_the_flag_is_shared_and_the_next_start_clears_what_a_kill_left()
-> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let start = |name: &str| without_net_raw(&pair, &directory, name);
    let promiscuity = || promiscuity(&pair.b, "eth0");

    let (first, second) = (start("first")?, start("second")?);
    assert_eq!(promiscuity()?, 1, "the flag is no count");
    first.stop()?.lost_nothing(0)?;
    assert_eq!(promiscuity()?, 1, "the other one needs it");
    second.kill()?;
    assert_eq!(promiscuity()?, 1, "the kernel does not clear it");
    let arguments = ["-i", "eth0", "-p"];
    let next = Recorder::start(&pair.b, &directory.path().join("next"), &arguments)?;
    assert_eq!(promiscuity()?, 0);
    next.stop()?.lost_nothing(0)?;

    pair.b.ip("link set eth0 promisc on")?;
    let third = start("third")?;
    PacketSocket::sender(&pair.a, "eth0")?.send_all(&numbered_frames(0..10))?;
    let recorded = third.stop()?;
    recorded.lost_nothing(10)?;
    assert_eq!(recorded.summary.warnings, [""; 0]);
    assert_eq!(promiscuity()?, 1, "somebody else has set it");
    Ok(())
}
