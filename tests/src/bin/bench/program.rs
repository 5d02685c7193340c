//! The kernel program alone, by `BPF_PROG_TEST_RUN`, while the recorder drains the ring.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use aya::programs::{SchedClassifier, TcAttachType, TestRun as _, TestRunOptions};
use capture_tests::{
    frame,
    netns::Pair,
    recorder::{Recorder, standard_arguments},
};
use serde::Serialize;
use tempfile::TempDir;

use crate::{Arguments, median, peer::on_generator_core};

/// One packet size.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// Bytes of each packet.
    pub(crate) length: u32,
    /// Nanoseconds per packet.
    pub(crate) nanoseconds: f64,
}

/// The size of `struct __sk_buff` of `linux/bpf.h`, and the offset of its ifindex.
const CONTEXT: usize = 192;
const IFINDEX: usize = 40;

/// Measures each size in portions that fit into the ring, so that no packet finds it full.
pub(crate) fn measure(arguments: &Arguments) -> Result<Vec<Row>> {
    const PORTION: u32 = 10_000;
    let portions = if arguments.quick { 20 } else { 100 };
    let mut rows = Vec::new();
    for length in [64_u32, 512, 1514] {
        let pair = Pair::new()?;
        let directory = TempDir::new_in(&arguments.directory)?;
        let mut command = std::process::Command::new("taskset");
        command
            .args(["-c", "1"])
            .arg(capture_tests::recorder::program()?)
            .args(standard_arguments(directory.path())?)
            .args(["-i", "eth0", "-B", "64MiB", "--digest", "none"]);
        let recorder = Recorder::start_command(&pair.b, directory.path(), command)?;
        let ifindex = pair.b.ifindex("eth0")?;
        let packet = frame::numbered(0, length as usize);
        let times = on_generator_core(&pair.b, || {
            let (_, programs) = SchedClassifier::query_tcx("eth0", TcAttachType::Ingress)?;
            let first = programs.into_iter().next().context("no program on eth0")?;
            let program = SchedClassifier::from_program_info(first, "measured".into())?;
            let mut context = [0; CONTEXT];
            context[IFINDEX..IFINDEX + 4].copy_from_slice(&ifindex.to_ne_bytes());
            let mut times = Vec::new();
            for _ in 0..portions {
                let result = program.test_run(TestRunOptions {
                    data_in: Some(&packet),
                    ctx_in: Some(&context),
                    repeat: PORTION,
                    ..TestRunOptions::default()
                })?;
                times.push(result.duration.as_nanos() as f64);
                thread::sleep(Duration::from_millis(20));
            }
            Ok(times)
        })?;
        let recorded = recorder.stop()?;
        let ledger = recorded.summary.total;
        ensure!(
            ledger.ring_full == 0 && ledger.written >= u64::from(PORTION * portions),
            "the ring was full, or the program did not record: {ledger:?}"
        );
        rows.push(Row {
            length,
            nanoseconds: median(times).unwrap_or_default(),
        });
    }
    Ok(rows)
}
