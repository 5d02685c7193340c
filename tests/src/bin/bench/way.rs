//! The time that a recorder adds to each packet's path through the stack. All write to a file system
//! in memory.

use anyhow::Result;
use capture_tests::{
    frame,
    generator::{Generator, Load},
    mount::Tmpfs,
    netns::Pair,
};
use serde::Serialize;

use crate::{
    Arguments, lower_quartile, median,
    peer::{self, GENERATOR_CORE, Options, Peer},
};

/// One recorder at one size.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// The recorder.
    pub(crate) recorder: Peer,
    /// Whether its expression matched the packets.
    pub(crate) matching: bool,
    /// Bytes of each packet.
    pub(crate) length: u32,
    /// Nanoseconds per packet without a recorder, in the same run.
    pub(crate) bare: f64,
    /// Nanoseconds per packet that the recorder adds.
    pub(crate) added: f64,
    /// Share of the packets that was lost; a lost packet is cheaper than one that is kept.
    pub(crate) lost: Option<f64>,
}

/// Packets per second: few enough that every recorder keeps up, because a lost packet costs less than
/// one that is kept. Waiting times of the generator are not counted.
const RATE: u64 = 400_000;

/// Packets sent at once.
const PORTION: u32 = 40_000;

/// Portions sent to each started recorder.
const PORTIONS: u32 = 10;

/// Matches none of the packets sent.
const NO_MATCH: &str = "udp port 9";

/// Measures in turns: no recorder, and each recorder.
pub(crate) fn measure(arguments: &Arguments) -> Result<Vec<Row>> {
    let pair = Pair::new()?;
    let mut generator = Generator::load()?;
    let memory = Tmpfs::new("size=8g")?;
    let mut cases = vec![
        (Peer::Tcpdump, true),
        (Peer::Captured, true),
        (Peer::Dumpcap, true),
        (Peer::Tcpdump, false),
        (Peer::Dumpcap, false),
    ];
    let filtering = Options {
        expression: Some(NO_MATCH),
        any_core: false,
    };
    match peer::start(Peer::Captured, &pair.b, "eth0", memory.path(), &filtering) {
        Ok(running) => {
            running.finish()?;
            cases.push((Peer::Captured, false));
        }
        Err(error) => eprintln!("not measured: packets that do not match: {error:#}"),
    }
    let repeat = arguments.repeat().max(3);
    let mut rows = Vec::new();
    for length in [64, 1514] {
        let load = Load {
            frame: frame::numbered_for_another(0, length),
            count: PORTION,
            rate: Some(RATE),
            cpu: Some(GENERATOR_CORE),
        };
        let mut bare = Vec::new();
        let mut taken = vec![(Vec::new(), Vec::new()); cases.len()];
        for _ in 0..repeat {
            bare.extend(portions(&mut generator, &pair, &load)?);
            for ((peer, matching), (times, losses)) in cases.iter().zip(&mut taken) {
                let options = Options {
                    expression: (!matching).then_some(NO_MATCH),
                    any_core: false,
                };
                let running = peer::start(*peer, &pair.b, "eth0", memory.path(), &options)?;
                times.extend(portions(&mut generator, &pair, &load)?);
                let packets = running.finish()?.packets;
                losses.push(1.0 - packets as f64 / f64::from(PORTION * PORTIONS));
            }
        }
        let bare = lower_quartile(bare).unwrap_or_default();
        for ((peer, matching), (times, losses)) in cases.iter().zip(taken) {
            rows.push(Row {
                recorder: *peer,
                matching: *matching,
                length: length as u32,
                bare,
                added: lower_quartile(times).unwrap_or_default() - bare,
                lost: matching.then_some(median(losses).unwrap_or_default()),
            });
        }
    }
    Ok(rows)
}

/// Nanoseconds of work per packet, for each portion.
fn portions(generator: &mut Generator, pair: &Pair, load: &Load) -> Result<Vec<f64>> {
    (0..PORTIONS)
        .map(|_| {
            let sent = generator.send(&pair.b, "eth0", load)?;
            Ok(sent.work_per_packet())
        })
        .collect()
}
