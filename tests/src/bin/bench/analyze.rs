//! The cost of analysing a file, compared with tshark and capinfos on the same file in the same
//! run.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use capture_tests::{client, usage};
use serde::Serialize;

use crate::{Arguments, median};

/// The resources that one program used for the file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) program: String,
    pub(crate) packets: u32,
    /// Wall time.
    pub(crate) seconds: f64,
    /// CPU time of all its threads.
    pub(crate) cpu_seconds: f64,
}

pub(crate) const OURS: &str = "capturectl analyze";
pub(crate) const TSHARK: &str = "tshark -q -z conv,tcp";
pub(crate) const CAPINFOS: &str = "capinfos -M";

/// Number of flows of the packets.
const FLOWS: u32 = 2_000;

pub(crate) fn measure(arguments: &Arguments) -> Result<Vec<Row>> {
    let packets = arguments.packets().max(1_000_000);
    let file = arguments.directory.join("capture-bench-analyze.pcap");
    write(&file, packets)?;
    let rows = measure_file(arguments, &file, packets);
    std::fs::remove_file(&file).context("removing the file that was analysed")?;
    rows
}

fn measure_file(arguments: &Arguments, file: &Path, packets: u32) -> Result<Vec<Row>> {
    let path = file.to_str().context("a directory that is not UTF-8")?;
    let capturectl = client::program()?;
    let capturectl = capturectl.to_str().context("a path that is not UTF-8")?;
    let mut rows = Vec::new();
    for (name, command) in [
        (OURS, vec![capturectl, "analyze", path, "-o", "json"]),
        (CAPINFOS, vec!["capinfos", "-M", path]),
        (
            TSHARK,
            vec!["tshark", "-n", "-q", "-z", "conv,tcp", "-r", path],
        ),
    ] {
        let mut times = Vec::new();
        for _ in 0..arguments.repeat() {
            times.push(run(&command).with_context(|| format!("measuring {name}"))?);
        }
        let (seconds, cpu): (Vec<f64>, Vec<f64>) = times.into_iter().unzip();
        rows.push(Row {
            program: name.to_owned(),
            packets,
            seconds: median(seconds).context("nothing measured")?,
            cpu_seconds: median(cpu).context("nothing measured")?,
        });
    }
    Ok(rows)
}

/// Wall time and CPU time in seconds.
fn run(command: &[&str]) -> Result<(f64, f64)> {
    let (program, arguments) = command.split_first().context("no program")?;
    let begun = Instant::now();
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    loop {
        if let Some((status, cpu)) = usage::try_wait(child.id())? {
            ensure!(status.success(), "{program}: {status}");
            return Ok((begun.elapsed().as_secs_f64(), cpu.as_secs_f64()));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Connections with alternating directions: one packet of a request, two of its answer, one
/// acknowledgement.
fn write(file: &Path, packets: u32) -> Result<()> {
    let out = File::create(file).with_context(|| format!("creating {}", file.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, out);
    for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 262_144, 1] {
        out.write_all(&word.to_le_bytes())?;
    }
    for number in 0..packets {
        let (flow, turn) = (number % FLOWS, number / FLOWS);
        let round = turn / 4;
        let (client_sent, server_sent) = (round * 200, round * 2_896);
        let (from_client, sequence, ack, length) = match turn % 4 {
            0 => (true, client_sent, server_sent, 200),
            1 => (false, server_sent, client_sent + 200, 1_448),
            2 => (false, server_sent + 1_448, client_sent + 200, 1_448),
            _ => (true, client_sent + 200, server_sent + 2_896, 0),
        };
        let frame = frame(flow, from_client, sequence + 1, ack + 1, length);
        let time = u64::from(number) * 1_000;
        let captured = frame.len() as u32;
        for word in [
            1_700_000_000 + (time / 1_000_000_000) as u32,
            (time % 1_000_000_000) as u32,
            captured,
            captured,
        ] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(&frame)?;
    }
    out.flush()?;
    Ok(())
}

fn frame(flow: u32, from_client: bool, sequence: u32, ack: u32, length: usize) -> Vec<u8> {
    let flow = flow.to_be_bytes();
    let client = ([10, flow[1], flow[2], flow[3]], 40_000_u16);
    let server = ([192, 168, 0, 1], 443_u16);
    let (from, to) = if from_client {
        (client, server)
    } else {
        (server, client)
    };
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    frame.extend((length as u16 + 52).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend(from.0);
    frame.extend(to.0);
    frame.extend(from.1.to_be_bytes());
    frame.extend(to.1.to_be_bytes());
    frame.extend(sequence.to_be_bytes());
    frame.extend(ack.to_be_bytes());
    frame.extend([
        0x80, 0x10, 0xff, 0xff, 0, 0, 0, 0, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1,
    ]);
    frame.resize(frame.len() + length, 7);
    frame
}
