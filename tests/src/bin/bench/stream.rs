//! The remaining throughput of a TCP stream with segmentation offload while it is recorded to a disk.

use std::process::Command;

use anyhow::{Context as _, Result};
use capture_tests::{netns::Pair, process::Process};
use serde::Serialize;

use crate::{
    Arguments, median,
    peer::{self, Options, Peer},
};

/// One recorder.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// The recorder.
    pub(crate) recorder: Peer,
    /// Gigabits of payload per second.
    pub(crate) gigabits: f64,
    /// Share of the throughput without a recorder.
    pub(crate) kept: f64,
    /// Share of the packets that the recorder lost, if known.
    pub(crate) lost: Option<f64>,
}

const PEERS: [Peer; 4] = [Peer::Bare, Peer::Tcpdump, Peer::Captured, Peer::Dumpcap];

/// Measures in turns: no recorder, and each recorder.
pub(crate) fn measure(arguments: &Arguments) -> Result<Vec<Row>> {
    let pair = Pair::new()?;
    let mut server = Command::new("iperf3");
    server.args(["--server", "--bind", "10.0.0.2", "--forceflush"]);
    let server = Process::start(&pair.b, server)?;
    capture_tests::wait::until_true("iperf3's server", || Ok(once(&pair, "--bytes=1M").is_ok()))?;
    let seconds = if arguments.quick { 3 } else { 5 };
    let time = format!("--time={seconds}");
    let mut rates = vec![Vec::new(); PEERS.len()];
    let mut losses = vec![Vec::new(); PEERS.len()];
    let options = Options {
        any_core: true,
        ..Options::default()
    };
    for _ in 0..arguments.repeat() {
        for (at, peer) in PEERS.into_iter().enumerate() {
            let running = peer::start(peer, &pair.b, "eth0", &arguments.directory, &options)?;
            let before = passed(&pair)?;
            rates[at].push(once(&pair, &time)?);
            let passed = passed(&pair)? - before;
            let packets = running.finish()?.packets;
            if peer != Peer::Bare {
                losses[at].push((1.0 - packets as f64 / passed as f64).max(0.0));
            }
            rustix::fs::sync();
        }
    }
    drop(server);
    let rates: Vec<_> = rates.into_iter().filter_map(median).collect();
    Ok(PEERS
        .into_iter()
        .zip(&rates)
        .zip(losses)
        .map(|((recorder, gigabits), losses)| Row {
            recorder,
            gigabits: *gigabits,
            kept: gigabits / rates[0],
            lost: median(losses),
        })
        .collect())
}

/// Gigabits per second of one run.
fn once(pair: &Pair, how_much: &str) -> Result<f64> {
    let mut client = Command::new("iperf3");
    client.args(["--client", "10.0.0.2", "--json", how_much]);
    let ended = Process::start(&pair.a, client)?.wait()?;
    let report: serde_json::Value = serde_json::from_str(&ended.stdout)?;
    report["end"]["sum_received"]["bits_per_second"]
        .as_f64()
        .map(|bits| bits / 1e9)
        .with_context(|| format!("iperf3 said: {}{}", ended.stdout, ended.stderr))
}

/// Packets that have passed the interface; unsegmented ones count once.
fn passed(pair: &Pair) -> Result<u64> {
    let text = pair.b.ip("-json -statistics link show dev eth0")?;
    let links: serde_json::Value = serde_json::from_str(&text)?;
    let count = |way: &str| links[0]["stats64"][way]["packets"].as_u64();
    count("rx")
        .zip(count("tx"))
        .map(|(received, sent)| received + sent)
        .with_context(|| format!("no statistics in {text}"))
}
