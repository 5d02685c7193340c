//! The cost of the recorder from a packet to its file, without a kernel program: CPU time of each
//! thread, by codec, uncompressed also at given rates.
//! `cargo bench -p capture-pipeline --bench files -- [DIRECTORY [BYTES [MEBIBYTES]]]`
//!
//! Half of each packet's content is incompressible, like encrypted traffic; the other half repeats
//! like headers and text.

use std::{collections::BTreeMap, fs, path::Path, sync::atomic::AtomicBool, time::Instant};

use anyhow::{Context as _, Result};
use capture_pipeline::{
    packet::{InterfaceDescription, Packet},
    recorder::{CHECKPOINT_EVERY, Recorder, RecorderSpec},
};
use capture_types::{
    CaptureName, CompressWhen, Compression, Direction, Format, LinkType, OutputSpec, Retention,
    Rotation,
};

const TIMESTAMP: u64 = 1_767_225_600_000_000_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let directory = arguments.first().map_or(".", String::as_str);
    let length = arguments
        .get(1)
        .map_or(Ok(1514), |text| text.parse())
        .context("BYTES")?;
    let mebibytes: u64 = arguments
        .get(2)
        .map_or(Ok(4096), |text| text.parse())
        .context("MEBIBYTES")?;
    println!("{length} bytes per packet; CPU in ns per packet, by thread");
    for (compression, share) in [
        (Compression::None, 1),
        (Compression::Zstd(1), 4),
        (Compression::Zstd(3), 4),
        (Compression::Gzip(1), 8),
        (Compression::Gzip(6), 16),
    ] {
        let root = tempfile::tempdir_in(directory)?;
        run(
            root.path(),
            compression,
            length,
            mebibytes / share,
            f64::INFINITY,
        )?;
    }
    for rate in [0.5, 1.0, 2.0] {
        let root = tempfile::tempdir_in(directory)?;
        print!("at {rate} GB/s, ");
        run(root.path(), Compression::None, length, mebibytes / 2, rate)?;
    }
    Ok(())
}

/// Records this many mebibytes, at no more than `rate` GB/s.
fn run(
    directory: &Path,
    compression: Compression,
    length: usize,
    mebibytes: u64,
    rate: f64,
) -> Result<()> {
    let spec = RecorderSpec {
        name: CaptureName::new("bench")?,
        output: OutputSpec {
            directory: directory.to_owned(),
            format: Format::Pcapng,
            compression,
            compress_when: CompressWhen::Streaming,
            rotation: Rotation {
                size: Some(1 << 30),
                ..Rotation::default()
            },
            retention: Retention::default(),
            digest: None,
        },
        snaplen: 262_144,
        filter: None,
        packet_limit: None,
        export_sink: None,
        checkpoint_every: Some(CHECKPOINT_EVERY),
        export: Vec::new(),
    };
    let content = content(length);
    let mut recorder = Recorder::start(&spec, Box::new(|_| None))?;
    let interface = recorder.add_interface(InterfaceDescription {
        name: "eth0".to_owned(),
        ifindex: 2,
        comment: String::new(),
        description: String::new(),
        link_type: LinkType::Ethernet,
        mac: None,
    });
    let packets = (mebibytes << 20) / length as u64;
    let before = cpu()?;
    let begun = Instant::now();
    for number in 0..packets {
        let at = number as usize % (content.len() / length) * length;
        let timestamp = TIMESTAMP + number * 1_000;
        // Like the drain thread: packets come in batches, and wait while the writer is behind.
        while recorder.is_backlogged()
            || number % 256 == 0
                && begun.elapsed().as_secs_f64() * rate * 1e9 < (number * length as u64) as f64
        {
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        if number % 4096 == 0 {
            recorder.tick(timestamp);
        }
        recorder.packet(&Packet {
            timestamp,
            interface,
            direction: Direction::In,
            packet_type: 0,
            original_length: length as u32,
            bytes: &content[at..at + length],
        });
    }
    while recorder.progress().queued() > 0 {
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
    let elapsed = begun.elapsed();
    let after = cpu()?;
    let memory = resident()?;
    let finished = recorder.finish(&AtomicBool::new(false));
    let written: u64 = finished.interfaces.iter().map(|(written, _)| written).sum();
    assert_eq!(written, packets, "{:?}", finished.failure);
    let bytes: u64 = finished.files.iter().map(|file| file.entry.bytes).sum();
    let rate = (packets * length as u64) as f64 / elapsed.as_secs_f64() / 1e9;
    print!("{compression:?}: {rate:.2} GB/s, {memory} MiB resident, ");
    print!(
        "{:.2} of the size;",
        bytes as f64 / (packets * length as u64) as f64
    );
    let mut total = 0.0;
    for (thread, after) in &after {
        let spent = after - before.get(thread).copied().unwrap_or(0);
        let each = spent as f64 / packets as f64;
        total += each;
        if each >= 0.5 {
            print!(" {} {each:.0}", thread.1);
        }
    }
    println!(" = {total:.0}");
    Ok(())
}

/// 16 MiB: more than the nearest caches of the CPU.
fn content(length: usize) -> Vec<u8> {
    let mut state = 7_u64;
    (0..(16 << 20) / length * length)
        .map(|at| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            if at % length < length / 2 {
                (at % length % 61) as u8
            } else {
                (state >> 56) as u8
            }
        })
        .collect()
}

/// Nanoseconds that each thread has been on a CPU (`/proc/PID/task/TID/schedstat`).
fn cpu() -> Result<BTreeMap<(String, String), u64>> {
    let tasks = fs::read_dir("/proc/self/task")?;
    Ok(tasks
        .filter_map(|task| {
            let path = task.ok()?.path();
            let name = fs::read_to_string(path.join("comm")).ok()?;
            let spent = fs::read_to_string(path.join("schedstat")).ok()?;
            let spent = spent.split(' ').next()?.parse().ok()?;
            let id = path.file_name()?.to_string_lossy().into_owned();
            Some(((id, name.trim().to_owned()), spent))
        })
        .collect())
}

/// Mebibytes of memory in use, without the content of the packets.
fn resident() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .context("no VmRSS")?;
    let kibibytes: u64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .context("VmRSS is not a number")?;
    Ok((kibibytes >> 10).saturating_sub(16))
}
