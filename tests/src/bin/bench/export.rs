//! The cost of documents for a search cluster, compared with `tshark -T ek` on the same file in the same run.

mod taker;

use std::path::Path;

use anyhow::{Context as _, Result};
use capture_tests::program;
use serde::Serialize;

use crate::{Arguments, analyze, median};
use taker::Taker;

/// The resources that one program used for the documents of a file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) program: String,
    pub(crate) documents: u32,
    /// Wall time.
    pub(crate) seconds: f64,
    /// CPU time of all its threads.
    pub(crate) cpu_seconds: f64,
    /// Bytes of memory at most.
    pub(crate) memory: u64,
}

pub(crate) const TSHARK: &str = "tshark -T ek";
/// Packets of the same file.
pub(crate) const SAME: &str = "packets";
pub(crate) const PACKETS: &str = "packets, more of them";
/// Each packet is a flow of its own.
pub(crate) const FLOWS: &str = "flows";
pub(crate) const UPLOAD: &str = "packets, uploaded";
pub(crate) const LONGER: &str = "packets, uploaded, 4 times as many";

/// Flows of packets.
const FEW: u32 = 2_000;
/// Bytes that are left of packets, where only their number matters.
const CUT_TO: usize = 96;

pub(crate) fn measure(arguments: &Arguments) -> Result<Vec<Row>> {
    let exporter = program::find("capture-export", "capture-export")?;
    let exporter = exporter.to_str().context("a path that is not UTF-8")?;
    let state = tempfile::tempdir().context("making a directory for the exporter's state")?;
    let state = state
        .path()
        .to_str()
        .context("a directory that is not UTF-8")?;
    let file = arguments.directory.join("capture-bench-export.pcap");
    let path = file.to_str().context("a directory that is not UTF-8")?;
    let taker = Taker::start()?;
    let url = taker.url();
    let print = |kind| vec![exporter, "documents", "--documents", kind, path];
    let tshark = vec!["tshark", "-n", "-T", "ek", "-r", path];
    let upload = vec![
        exporter,
        "--state-dir",
        state,
        "deliver",
        "search",
        "--url",
        &url,
        "--documents",
        "packet",
        path,
    ];
    let many = arguments.packets();
    // tshark writes some thousand a second.
    let few = many.min(100_000);
    let mut rows = Vec::new();
    for (packets, flows, cut, programs) in [
        (
            few,
            FEW,
            usize::MAX,
            &[(TSHARK, tshark), (SAME, print("packet"))][..],
        ),
        (
            many,
            FEW,
            CUT_TO,
            &[(PACKETS, print("packet")), (UPLOAD, upload.clone())],
        ),
        (many, many, CUT_TO, &[(FLOWS, print("flow"))]),
        (many.saturating_mul(4), FEW, CUT_TO, &[(LONGER, upload)]),
    ] {
        analyze::write(&file, packets, flows, cut)?;
        let measured = measure_all(arguments, programs, packets);
        remove(&file)?;
        rows.extend(measured?);
    }
    Ok(rows)
}

fn measure_all(
    arguments: &Arguments,
    programs: &[(&str, Vec<&str>)],
    documents: u32,
) -> Result<Vec<Row>> {
    let measure = |(name, command): &(&str, Vec<&str>)| {
        let (mut seconds, mut cpu, mut memory) = (Vec::new(), Vec::new(), 0);
        for _ in 0..arguments.repeat() {
            let (time, used) =
                analyze::run(command).with_context(|| format!("measuring {name}"))?;
            seconds.push(time);
            cpu.push(used.cpu.as_secs_f64());
            memory = used.memory.max(memory);
        }
        Ok(Row {
            program: (*name).to_owned(),
            documents,
            seconds: median(seconds).context("nothing measured")?,
            cpu_seconds: median(cpu).context("nothing measured")?,
            memory,
        })
    };
    programs.iter().map(measure).collect()
}

fn remove(file: &Path) -> Result<()> {
    std::fs::remove_file(file).context("removing the file that documents were made of")
}
