//! Problematic traffic and interfaces.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use capture_tests::{
    client::Capturectl,
    daemon::{Daemon, spec, wrote_all},
    netns::{Namespace, Pair},
    packet_socket::PacketSocket,
    scene::{numbered_frames, send_through},
};

use crate::{Attack, scene::Scene};

pub(crate) const ATTACKS: [Attack; 5] = [
    Attack {
        name: "tail-of-itself",
        done: "tail over TCP of the interface that carries it, and five packets",
        quick: true,
        run: tail_of_itself,
    },
    Attack {
        name: "flapping-interface",
        done: "an interface that goes down and up 20 times, and is renamed 10 times",
        quick: true,
        run: flapping_interface,
    },
    Attack {
        name: "vanishing-interface",
        done: "an interface that is deleted and made again 10 times while any is recorded",
        quick: true,
        run: vanishing_interface,
    },
    Attack {
        name: "many-interfaces",
        done: "a capture of 500 interfaces that all go away at once",
        quick: false,
        run: many_interfaces,
    },
    Attack {
        name: "idle-captures",
        done: "64 captures that nothing happens to",
        quick: false,
        run: idle_captures,
    },
];

/// How often the process's threads have gone to sleep so far.
fn sleeps(pid: u32) -> Result<u64> {
    let mut sleeps = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = std::fs::read_to_string(task?.path().join("status"))?;
        let count = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
            .context("no count")?;
        sleeps += count.trim().parse::<u64>()?;
    }
    Ok(sleeps)
}

fn idle_captures() -> Result<String> {
    const CAPTURES: u64 = 64;
    const SECONDS: u64 = 10;
    let pair = Pair::new()?;
    let mut daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    for number in 0..CAPTURES {
        let mut idle = spec("eth0", "udp port 9");
        idle.ring_size = Some(1 << 17);
        client.start(&format!("idle-{number}"), idle)?;
    }
    let pid = daemon.process().id();
    // What their starts left to do.
    std::thread::sleep(Duration::from_secs(5));
    let before = sleeps(pid)?;
    std::thread::sleep(Duration::from_secs(SECONDS));
    let woken = sleeps(pid)? - before;
    // Retention is applied every two seconds; everything else waits for something to happen.
    ensure!(
        woken < CAPTURES * SECONDS,
        "the threads woke {woken} times in {SECONDS} s"
    );
    for number in 0..CAPTURES {
        wrote_all(&client.stop(&format!("idle-{number}"))?, 0)?;
    }
    Ok(format!("the threads woke {woken} times in {SECONDS} s"))
}

fn sent_bytes(namespace: &Namespace) -> Result<u64> {
    let text = namespace.ip("-json -statistics link show dev eth0")?;
    let links: serde_json::Value = serde_json::from_str(&text)?;
    let stats = links[0].get("stats64").or_else(|| links[0].get("stats"));
    let bytes = stats.and_then(|stats| stats["tx"]["bytes"].as_u64());
    bytes.context("no statistics")
}

fn tail_of_itself() -> Result<String> {
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &["--insecure-listen", "10.0.0.2:9443"])?;
    let client = daemon.client()?;
    client.start("a", spec("eth0", ""))?;
    let ctl = Capturectl::with(&pair.a, &["--node", "10.0.0.2:9443", "--insecure"])?;
    let tail = ctl.start(&["tail", "a", "--text"])?;
    capture_tests::wait::until_true("tail to be connected", || {
        let request = capture_proto::v1::GetNodeRequest {};
        let node = client
            .wait(client.node.clone().get_node(request))?
            .into_inner()
            .node;
        Ok(node
            .and_then(|node| node.usage)
            .is_some_and(|usage| usage.packet_readers == 1))
    })?;
    std::thread::sleep(Duration::from_millis(500));
    let before = sent_bytes(&pair.b)?;
    PacketSocket::sender(&pair.a, "eth0")?.send_all(&numbered_frames(0..5))?;
    std::thread::sleep(Duration::from_secs(3));
    let bytes = sent_bytes(&pair.b)? - before;
    drop(tail);
    let capture = client.stop("a")?;
    ensure!(bytes < 50_000, "five packets became {bytes} bytes in 3 s");
    let matched = capture
        .ledger
        .as_ref()
        .and_then(|ledger| ledger.matched)
        .context("not known")?;
    wrote_all(&capture, matched)?;
    ensure!(
        (5..50).contains(&matched),
        "five packets sent, {matched} recorded"
    );
    daemon.end()?;
    Ok(format!(
        "five packets became {bytes} bytes on the wire in 3 s; ledger {matched}"
    ))
}

fn flapping_interface() -> Result<String> {
    let mut scene = Scene::new(&[])?;
    for round in 0..20 {
        scene.pair.b.ip("link set eth0 down")?;
        if round % 2 == 0 {
            scene.pair.b.ip("link set eth0 name other0")?;
            scene.pair.b.ip("link set other0 name eth0")?;
        }
        scene.pair.b.ip("link set eth0 up")?;
        // The stack accepts packets as soon as there is a carrier.
        capture_tests::wait::until_true("the carrier", || {
            Ok(scene.pair.b.ip("link show dev eth0")?.contains("LOWER_UP")
                && scene.pair.a.ip("link show dev eth0")?.contains("LOWER_UP"))
        })?;
        scene.send(20)?;
    }
    scene.end()
}

fn vanishing_interface() -> Result<String> {
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    client.start("a", spec("eth*", ""))?;
    for _ in 0..10 {
        pair.b.ip("link add eth7 type veth peer name peer7")?;
        pair.b.ip("link set eth7 up")?;
        pair.b.ip("link del eth7")?;
    }
    send_through(&pair, &numbered_frames(0..300))?;
    let capture = client.stop("a")?;
    let eth0 = capture
        .interfaces
        .iter()
        .find(|of| of.interface == "eth0")
        .context("no eth0")?;
    let written = eth0.ledger.as_ref().and_then(|ledger| ledger.written);
    ensure!(
        written == Some(300),
        "sent 300, {written:?} written of eth0"
    );
    let all = capture
        .ledger
        .as_ref()
        .and_then(|ledger| ledger.matched)
        .context("not known")?;
    wrote_all(&capture, all)?;
    let (ended, _directory) = daemon.end()?;
    ensure!(
        ended.status.success(),
        "the daemon ended with {}",
        ended.status
    );
    Ok(format!(
        "sent 300, ledger 300, {} interfaces in the ledger",
        capture.interfaces.len()
    ))
}

fn many_interfaces() -> Result<String> {
    let scene = Scene::new(&[])?;
    let other = Namespace::new()?;
    for number in 0..500 {
        let name = other.name();
        scene.pair.b.ip(&format!(
            "link add v{number} type veth peer name v{number} netns {name}"
        ))?;
    }
    scene.client.start("many", spec("v*", ""))?;
    let probe = scene.probe()?;
    drop(other);
    capture_tests::wait::until_true("all interfaces to be gone", || {
        Ok(!scene.pair.b.ip("-oneline link show")?.contains(" v1@"))
    })?;
    let capture = scene.client.stop("many")?;
    wrote_all(
        &capture,
        capture
            .ledger
            .as_ref()
            .and_then(|ledger| ledger.matched)
            .unwrap_or(0),
    )?;
    let resources = scene.daemon.resources()?;
    ensure!(resources.bpf < 200, "{resources:?} after they were gone");
    Ok(format!(
        "{} interfaces in its ledger, {}, {}",
        capture.interfaces.len(),
        probe.end()?,
        scene.end()?
    ))
}
