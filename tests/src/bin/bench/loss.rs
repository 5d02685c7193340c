//! Packets lost and CPU used, by packet size and offered rate, to a disk.

use anyhow::Result;
use capture_tests::{
    frame,
    generator::{Generator, Load},
    netns::Pair,
};
use serde::Serialize;

use crate::{
    Arguments, median,
    peer::{self, GENERATOR_CORE, Options, Outcome, Peer},
};

/// One recorder at one size and rate.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// The recorder.
    pub(crate) recorder: Peer,
    /// Bytes of each packet.
    pub(crate) length: u32,
    /// Requested packets per second; `None` for maximum speed.
    pub(crate) asked: Option<u64>,
    /// Packets per second actually offered.
    pub(crate) offered: f64,
    /// Packets sent.
    pub(crate) sent: u64,
    /// Share of the packets that was lost, 0 to 1.
    pub(crate) lost: f64,
    /// CPU seconds of the recorder per million packets kept; `None` if it kept none.
    pub(crate) cpu_per_million: Option<f64>,
    /// CPU seconds of the recorder per gigabyte (10^9 bytes) kept; `None` if it kept none.
    pub(crate) cpu_per_gigabyte: Option<f64>,
    /// Peak memory without the buffer, in bytes.
    pub(crate) memory: u64,
}

const PEERS: [Peer; 6] = [
    Peer::Tcpdump,
    Peer::Captured,
    Peer::Dumpcap,
    Peer::CapturedDefault,
    Peer::CapturedZstd,
    Peer::CapturedGzip,
];

/// Gigabits per second as packets of 1,514 bytes per second.
const fn gigabits(number: u64) -> Option<u64> {
    Some(number * 1_000_000_000 / 8 / 1514)
}

/// Measures every recorder with the same traffic, in turns.
pub(crate) fn measure(arguments: &Arguments) -> Result<Vec<Row>> {
    let cases: &[(u32, &[Option<u64>])] = if arguments.quick {
        &[
            (64, &[Some(1_000_000)]),
            (512, &[Some(1_000_000)]),
            (1514, &[gigabits(5), gigabits(15)]),
        ]
    } else {
        &[
            (64, &[Some(300_000), Some(1_000_000), Some(1_700_000), None]),
            (512, &[Some(300_000), Some(1_000_000), None]),
            (
                1514,
                &[gigabits(2), gigabits(5), gigabits(10), gigabits(15), None],
            ),
        ]
    };
    let pair = Pair::new()?;
    let mut generator = Generator::load()?;
    let mut rows = Vec::new();
    let wanted = |length: &u32| arguments.length.is_empty() || arguments.length.contains(length);
    for (length, rates) in cases.iter().filter(|(length, _)| wanted(length)) {
        for rate in *rates {
            let load = Load {
                frame: frame::numbered_for_another(0, *length as usize),
                count: arguments.packets(),
                rate: *rate,
                cpu: Some(GENERATOR_CORE),
            };
            let mut taken = vec![Vec::new(); PEERS.len()];
            for _ in 0..arguments.repeat() {
                for (peer, taken) in PEERS.into_iter().zip(&mut taken) {
                    taken.push(once(peer, &pair, &mut generator, &load, arguments)?);
                    // Data of one recorder that waits for writeback must not burden the next one.
                    rustix::fs::sync();
                }
            }
            for (peer, taken) in PEERS.into_iter().zip(taken) {
                rows.push(row(peer, &load, &taken));
            }
            eprintln!("measured {length} bytes at {rate:?}");
        }
    }
    Ok(rows)
}

#[derive(Debug, Clone, Copy)]
struct Run {
    offered: f64,
    outcome: Outcome,
}

fn once(
    peer: Peer,
    pair: &Pair,
    generator: &mut Generator,
    load: &Load,
    arguments: &Arguments,
) -> Result<Run> {
    let options = Options::default();
    let running = peer::start(peer, &pair.b, "eth0", &arguments.directory, &options)?;
    let sent = generator.send(&pair.b, "eth0", load)?;
    Ok(Run {
        offered: sent.rate(),
        outcome: running.finish()?,
    })
}

fn row(peer: Peer, load: &Load, runs: &[Run]) -> Row {
    let sent = f64::from(load.count);
    let length = load.frame.len() as f64;
    let of = |value: &dyn Fn(&Run) -> f64| median(runs.iter().map(value).collect());
    let kept: Vec<_> = runs.iter().filter(|run| run.outcome.packets > 0).collect();
    let per_packet = |cpu: &dyn Fn(&Outcome) -> f64| {
        let values = kept
            .iter()
            .map(|run| cpu(&run.outcome) / run.outcome.packets as f64);
        median(values.collect())
    };
    let cpu = per_packet(&|outcome| outcome.cpu.as_secs_f64());
    Row {
        recorder: peer,
        length: load.frame.len() as u32,
        asked: load.rate,
        offered: of(&|run| run.offered).unwrap_or_default(),
        sent: u64::from(load.count),
        lost: of(&|run| 1.0 - run.outcome.packets as f64 / sent).unwrap_or_default(),
        cpu_per_million: cpu.map(|seconds| seconds * 1e6),
        cpu_per_gigabyte: cpu.map(|seconds| seconds * 1e9 / length),
        memory: runs
            .iter()
            .map(|run| run.outcome.memory)
            .max()
            .unwrap_or_default(),
    }
}
