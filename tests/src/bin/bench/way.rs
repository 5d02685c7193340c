//! What a recorder adds to each packet's way through the stack, while it loses nothing to speak of.

use anyhow::Result;
use capture_tests::{
    frame,
    generator::{Generator, Load},
    mount::Tmpfs,
    netns::Pair,
};
use serde::Serialize;

use crate::{
    Arguments, median,
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

/// Nothing of what is sent.
const NO_MATCH: &str = "udp port 9";

/// Measures in turns: nothing, and each recorder.
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
        discard: true,
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
            // A second's worth.
            count: 2_000_000,
            rate: None,
            cpu: Some(GENERATOR_CORE),
        };
        let mut bare = Vec::new();
        let mut taken = vec![(Vec::new(), Vec::new()); cases.len()];
        for _ in 0..repeat {
            bare.push(
                generator
                    .send(&pair.b, "eth0", &load)?
                    .nanoseconds_per_packet(),
            );
            for ((peer, matching), (times, losses)) in cases.iter().zip(&mut taken) {
                let options = Options {
                    expression: (!matching).then_some(NO_MATCH),
                    discard: true,
                    any_core: false,
                };
                let running = peer::start(*peer, &pair.b, "eth0", memory.path(), &options)?;
                let sent = generator.send(&pair.b, "eth0", &load)?;
                times.push(sent.nanoseconds_per_packet());
                let packets = running.finish()?.packets;
                losses.push(1.0 - packets as f64 / f64::from(load.count));
            }
        }
        let bare = median(bare).unwrap_or_default();
        for ((peer, matching), (times, losses)) in cases.iter().zip(taken) {
            rows.push(Row {
                recorder: *peer,
                matching: *matching,
                length: length as u32,
                bare,
                added: median(times).unwrap_or_default() - bare,
                lost: matching.then_some(median(losses).unwrap_or_default()),
            });
        }
    }
    Ok(rows)
}
