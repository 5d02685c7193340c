//! The load generator: packets injected as if received on an interface, by an XDP program that is run
//! with `BPF_F_TEST_XDP_LIVE_FRAMES` (Linux 5.18). Millions per second from one core, so that the
//! recorder is the bottleneck.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf,
    maps::{Array, MapData, PerCpuArray},
    programs::{SchedClassifier, TestRun as _, TestRunAttrs, TestRunOptions, Xdp},
};
use generator_ebpf::{DUE, FIRST, INTERVAL, LATEST, SEQUENCE, SEQUENCE_OFFSET, WAITED};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::netns::Namespace;

/// The kernel passes packets to the stack in lists of this length.
const BATCH: u32 = 64;

/// `struct xdp_md` of `linux/bpf.h`.
const CONTEXT: usize = 24;

/// The generator's loaded program.
#[derive(Debug)]
pub struct Generator {
    program: Ebpf,
}

/// The packets to send.
#[derive(Debug, Clone)]
pub struct Load {
    /// The packet; 8 bytes at [`SEQUENCE_OFFSET`] become its number, from 0.
    pub frame: Vec<u8>,
    /// Their number.
    pub count: u32,
    /// Packets per second; `None` for maximum speed.
    pub rate: Option<u64>,
    /// The core to send from.
    pub cpu: Option<usize>,
}

/// The result of sending.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// Packets sent.
    pub count: u64,
    /// Time from the first to the latest packet.
    pub elapsed: Duration,
    /// The part of it that was spent waiting for the next packet to be due.
    pub waited: Duration,
}

impl Sent {
    /// Nanoseconds per packet, including the stack's work.
    #[must_use]
    pub fn nanoseconds_per_packet(&self) -> f64 {
        self.elapsed.as_secs_f64() * 1e9 / (self.count.saturating_sub(1).max(1)) as f64
    }

    /// Nanoseconds of work per packet: creating it and its path through the stack, without waiting.
    #[must_use]
    pub fn work_per_packet(&self) -> f64 {
        let worked = self.elapsed.saturating_sub(self.waited);
        worked.as_secs_f64() * 1e9 / self.count.max(1) as f64
    }

    /// Packets per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        1e9 / self.nanoseconds_per_packet()
    }
}

fn load_object() -> Result<Ebpf> {
    Ebpf::load(aya::include_bytes_aligned!(concat!(
        env!("OUT_DIR"),
        "/generator"
    )))
    .context("loading the load generator's object")
}

impl Generator {
    /// Loads the program.
    pub fn load() -> Result<Self> {
        let mut program = load_object()?;
        let generate: &mut Xdp = program
            .program_mut("generate")
            .context("no generate in the object")?
            .try_into()?;
        generate.load().context("loading the generator")?;
        Ok(Self { program })
    }

    /// Sends a load into an interface, as if it was received there; returns when everything is
    /// sent.
    pub fn send(&mut self, namespace: &Namespace, interface: &str, load: &Load) -> Result<Sent> {
        let ifindex = namespace.ifindex(interface)?;
        namespace.run(|| self.send_here(ifindex, load))
    }

    /// Like [`Self::send`], in the network namespace of the calling thread.
    pub fn send_here(&mut self, ifindex: u32, load: &Load) -> Result<Sent> {
        ensure!(
            load.frame.len() >= SEQUENCE_OFFSET + 8,
            "a frame of {} bytes has no room for a number: at least {} are needed",
            load.frame.len(),
            SEQUENCE_OFFSET + 8
        );
        if let Some(cpu) = load.cpu {
            pin(cpu)?;
        }
        let interval = load.rate.map_or(0, |rate| 1_000_000_000 / rate.max(1));
        let mut state = self.state()?;
        state.set(INTERVAL, interval, 0)?;
        for slot in [DUE, SEQUENCE, FIRST, LATEST, WAITED] {
            state.set(slot, 0, 0)?;
        }
        let mut context = [0; CONTEXT];
        context[4..8].copy_from_slice(&u32::try_from(load.frame.len())?.to_ne_bytes());
        context[12..16].copy_from_slice(&ifindex.to_ne_bytes());
        let generate: &Xdp = self
            .program
            .program("generate")
            .context("no generate in the object")?
            .try_into()?;
        generate
            .test_run(TestRunOptions {
                data_in: Some(&load.frame),
                ctx_in: Some(&context),
                repeat: load.count,
                attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
                ..TestRunOptions::default()
            })
            .context("running the generator (live frames need Linux 5.18)")?;
        let state = self.state()?;
        Ok(Sent {
            count: state.get(&SEQUENCE, 0)?,
            elapsed: Duration::from_nanos(state.get(&LATEST, 0)? - state.get(&FIRST, 0)?),
            waited: Duration::from_nanos(state.get(&WAITED, 0)?),
        })
    }

    fn state(&mut self) -> Result<Array<&mut MapData, u64>> {
        let map = self.program.map_mut("STATE").context("no STATE map")?;
        Ok(map.try_into()?)
    }
}

/// Pins the calling thread to one core.
pub fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("pinning to core {cpu}"))
}

/// A loaded TC program that counts packets and passes them on, not attached yet: a program of others
/// that runs besides the recorder.
#[derive(Debug)]
pub struct Counter {
    program: Ebpf,
}

impl Counter {
    /// Loads the program.
    pub fn load() -> Result<Self> {
        let mut program = load_object()?;
        let counter: &mut SchedClassifier = program
            .program_mut("count")
            .context("no count in the object")?
            .try_into()?;
        counter.load().context("loading the counter")?;
        Ok(Self { program })
    }

    /// The program to attach.
    pub fn program(&mut self) -> Result<&mut SchedClassifier> {
        let program = self.program.program_mut("count");
        Ok(program.context("no count in the object")?.try_into()?)
    }

    /// Packets counted so far.
    pub fn count(&self) -> Result<u64> {
        let map = self.program.map("COUNTED").context("no COUNTED map")?;
        let counted: PerCpuArray<_, u64> = map.try_into()?;
        Ok(counted.get(&0, 0)?.iter().sum())
    }
}
