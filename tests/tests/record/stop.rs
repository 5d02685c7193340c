//! A capture stops on request, and when a limit is reached.

use std::{
    fs::{self, File},
    io::Read as _,
    process::Command,
};

use anyhow::{Result, ensure};
use capture_tests::{
    attached, capture_file, compare, frame, gate,
    generator::{Generator, Load},
    netns::Pair,
    recorder::{Recorder, program, standard_arguments},
    scene::{numbered_frames, send_through},
    summary::Summary,
    wait,
};
use rustix::process::Signal;
use tempfile::TempDir;

#[test]
fn exactly_as_many_packets_as_asked_for_are_written() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    for (format, limit) in [("pcap", 1), ("pcapng", 777), ("pcap", 2000)] {
        let pair = Pair::new()?;
        let directory = TempDir::new()?;
        let count = limit.to_string();
        let arguments = ["-i", "eth0", "-c", &count, "--format", format];
        let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
        let frames = numbered_frames(0..2000);
        send_through(&pair, &frames)?;
        // Without a request.
        let recorded = recorder.wait_for_success()?;
        let ledger = recorded.summary.total;
        assert_eq!(ledger.written, limit as u64, "{ledger:?}");
        assert!(ledger.seen <= frames.len() as u64, "{ledger:?}");
        compare::same_frames(&recorded.packets()?, &frames[..limit])?;
    }
    Ok(())
}

#[test]
fn a_capture_ends_by_itself_when_its_time_is_over() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    // Long enough that the frames are sent before it ends, even on a busy machine.
    let arguments = ["-i", "eth0", "--duration", "3s"];
    let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
    let frames = numbered_frames(0..10);
    send_through(&pair, &frames)?;
    let recorded = recorder.wait_for_success()?;
    recorded.lost_nothing(10)?;
    compare::same_frames(&recorded.packets()?, &frames)
}

#[test]
fn a_capture_under_nohup_outlives_its_terminal() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let mut command = Command::new("nohup");
    command
        .arg(program()?)
        .args(standard_arguments(directory.path())?)
        .args(["-i", "eth0"]);
    let mut recorder = Recorder::start_command(&pair.b, directory.path(), command)?;
    let frames = numbered_frames(0..20);
    send_through(&pair, &frames[..10])?;
    recorder.process().signal(Signal::HUP)?;
    send_through(&pair, &frames[10..])?;
    let recorded = recorder.stop()?;
    recorded.lost_nothing(20)?;
    compare::same_frames(&recorded.packets()?, &frames)
}

#[test]
fn every_signal_to_stop_ends_the_capture_well() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let directory = TempDir::new()?;
        // The tests themselves may run under nohup, which is inherited.
        let mut command = Command::new("env");
        command
            .arg("--default-signal=HUP")
            .arg(program()?)
            .args(standard_arguments(directory.path())?)
            .args(["-i", "eth0"]);
        let mut recorder = Recorder::start_command(&pair.b, directory.path(), command)?;
        let frames = numbered_frames(0..1000);
        send_through(&pair, &frames)?;
        recorder.process().signal(signal)?;
        let recorded = recorder.wait_for_success()?;
        recorded.lost_nothing(1000)?;
        compare::same_frames(&recorded.packets()?, &frames)?;
    }
    Ok(())
}

#[test]
fn a_second_signal_stops_at_once_and_what_was_written_can_be_read() -> Result<()> {
    let Some(_permit) = gate::alone()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    // A ring whose content takes minutes to compress: every packet has different bytes.
    let arguments = ["-i", "eth0", "-B", "512MiB", "--compress", "zstd:19"];
    let mut recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
    let mut generator = Generator::load()?;
    let mut sent = 0;
    for _ in 0..50 {
        let load = Load {
            frame: random_frame(1514)?,
            count: 5000,
            rate: None,
            cpu: None,
        };
        sent += generator.send(&pair.b, "eth0", &load)?.count;
    }
    recorder.process().signal(Signal::INT)?;
    // Two signals at the same moment would count as one.
    wait::until_true("the capture to detach", || {
        Ok(attached::programs(&pair.b, "eth0")?.is_empty())
    })?;
    recorder.process().signal(Signal::INT)?;
    let ended = recorder.end()?;
    ensure!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    if let Ok(summary) = serde_json::from_str::<Summary>(&ended.stdout) {
        summary.adds_up()?;
        let ledger = summary.total;
        ensure!(ledger.seen == sent, "{sent} were sent: {ledger:?}");
        ensure!(ledger.discarded.stopped > 0, "it did not stop: {ledger:?}");
    } else {
        ensure!(ended.status.code() == Some(130), "{ended:?}");
    }
    for entry in fs::read_dir(directory.path())? {
        let path = entry?.path();
        if !path.to_string_lossy().contains(".pcapng") {
            continue;
        }
        let packets = capture_file::read_unfinished(&path)?.packets;
        for (position, packet) in packets.iter().enumerate() {
            let expected = position as u64 % 5000;
            ensure!(
                frame::number(&packet.bytes) == Some(expected) && packet.bytes.len() == 1514,
                "packet {position} of {} is another one",
                path.display()
            );
        }
    }
    Ok(())
}

/// A frame whose payload does not compress.
fn random_frame(length: usize) -> Result<Vec<u8>> {
    let mut frame = frame::numbered(0, length);
    File::open("/dev/urandom")?.read_exact(&mut frame[50..])?;
    Ok(frame)
}
