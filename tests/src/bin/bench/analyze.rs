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
use capture_tests::{
    client,
    usage::{self, Usage},
};
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
    /// Bytes of memory at most.
    pub(crate) memory: u64,
}

pub(crate) const OURS: &str = "capturectl analyze";
pub(crate) const TSHARK: &str = "tshark -q -z conv,tcp";
pub(crate) const CAPINFOS: &str = "capinfos -M";
/// The same packets without their data, and four times as many of them.
pub(crate) const CUT: &str = "capturectl analyze, cut";
pub(crate) const LONGER: &str = "capturectl analyze, cut, 4 times as many";
/// As many packets, in more flows.
pub(crate) const MANY_FLOWS: &str = "capturectl analyze, cut, 100,000 flows";

/// Number of flows of the packets.
const FLOWS: u32 = 2_000;
/// Bytes that are left of packets which are cut.
const CUT_TO: usize = 96;

pub(crate) fn measure(arguments: &Arguments) -> Result<Vec<Row>> {
    let packets = arguments.packets().max(1_000_000);
    let capturectl = client::program()?;
    let capturectl = capturectl.to_str().context("a path that is not UTF-8")?;
    let file = arguments.directory.join("capture-bench-analyze.pcap");
    let path = file.to_str().context("a directory that is not UTF-8")?;
    let ours = || vec![capturectl, "analyze", path, "-o", "json"];
    let tshark = vec!["tshark", "-n", "-q", "-z", "conv,tcp", "-r", path];
    let whole = [
        (OURS, ours()),
        (CAPINFOS, vec!["capinfos", "-M", path]),
        (TSHARK, tshark),
    ];
    let mut rows = Vec::new();
    for (packets, flows, cut, programs) in [
        (packets, FLOWS, usize::MAX, &whole[..]),
        (packets, FLOWS, CUT_TO, &[(CUT, ours())]),
        (packets * 4, FLOWS, CUT_TO, &[(LONGER, ours())]),
        (packets, 100_000, CUT_TO, &[(MANY_FLOWS, ours())]),
    ] {
        write(&file, packets, flows, cut)?;
        let measured = programs
            .iter()
            .map(|(name, command)| measure_program(arguments, name, command, packets))
            .collect::<Result<Vec<_>>>();
        std::fs::remove_file(&file).context("removing the file that was analysed")?;
        rows.extend(measured?);
    }
    Ok(rows)
}

fn measure_program(
    arguments: &Arguments,
    name: &str,
    command: &[&str],
    packets: u32,
) -> Result<Row> {
    let (mut seconds, mut cpu, mut memory) = (Vec::new(), Vec::new(), 0);
    for _ in 0..arguments.repeat() {
        let (time, used) = run(command).with_context(|| format!("measuring {name}"))?;
        seconds.push(time);
        cpu.push(used.cpu.as_secs_f64());
        memory = used.memory.max(memory);
    }
    Ok(Row {
        program: name.to_owned(),
        packets,
        seconds: median(seconds).context("nothing measured")?,
        cpu_seconds: median(cpu).context("nothing measured")?,
        memory,
    })
}

/// Wall time in seconds, and what it took.
pub(crate) fn run(command: &[&str]) -> Result<(f64, Usage)> {
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
        if let Some((status, used)) = usage::try_wait(child.id())? {
            ensure!(status.success(), "{program}: {status}");
            return Ok((begun.elapsed().as_secs_f64(), used));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Connections with alternating directions: one packet of a request, two of its answer, one
/// acknowledgement. Packets are cut to so many bytes.
pub(crate) fn write(file: &Path, packets: u32, flows: u32, cut: usize) -> Result<()> {
    let out = File::create(file).with_context(|| format!("creating {}", file.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, out);
    for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 262_144, 1] {
        out.write_all(&word.to_le_bytes())?;
    }
    for number in 0..packets {
        let (flow, turn) = (number % flows, number / flows);
        let round = turn / 4;
        let (client_sent, server_sent) = (round * 200, round * 2_896);
        let (from_client, sequence, ack, length) = match turn % 4 {
            0 => (true, client_sent, server_sent, 200),
            1 => (false, server_sent, client_sent + 200, 1_448),
            2 => (false, server_sent + 1_448, client_sent + 200, 1_448),
            _ => (true, client_sent + 200, server_sent + 2_896, 0),
        };
        let mut frame = frame(flow, from_client, sequence + 1, ack + 1, length);
        frame[18..20].copy_from_slice(&((number % 0xffff) as u16 + 1).to_be_bytes());
        let time = u64::from(number) * 1_000;
        let original = frame.len() as u32;
        frame.truncate(cut);
        for word in [
            1_700_000_000 + (time / 1_000_000_000) as u32,
            (time % 1_000_000_000) as u32,
            frame.len() as u32,
            original,
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
