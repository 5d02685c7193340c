//! A capture stops when it is told to, and when a limit is reached.

use anyhow::{Result, ensure};
use capture_tests::{
    compare, frame, gate,
    generator::{Generator, Load},
    netns::Pair,
    recorder::Recorder,
    scene::{numbered_frames, send_through},
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
        // Nobody tells it to.
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
    // Long enough that the frames are sent before it ends, also on a machine that has much to do.
    let arguments = ["-i", "eth0", "--duration", "3s"];
    let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
    let frames = numbered_frames(0..10);
    send_through(&pair, &frames)?;
    let recorded = recorder.wait_for_success()?;
    recorded.lost_nothing(10)?;
    compare::same_frames(&recorded.packets()?, &frames)
}

#[test]
fn every_signal_to_stop_ends_the_capture_well() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    for signal in [Signal::INT, Signal::TERM] {
        let directory = TempDir::new()?;
        let mut recorder = Recorder::start(&pair.b, directory.path(), &["-i", "eth0"])?;
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
fn a_second_signal_stops_at_once_and_the_ledger_says_what_was_left() -> Result<()> {
    let Some(_permit) = gate::alone()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    // A ring that holds what takes minutes to compress.
    let arguments = ["-i", "eth0", "-B", "256MiB", "--compress", "zstd:19"];
    let mut recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
    let load = Load {
        frame: frame::numbered(0, 1514),
        count: 150_000,
        rate: None,
        cpu: None,
    };
    let sent = Generator::load()?.send(&pair.b, "eth0", &load)?;
    recorder.process().signal(Signal::INT)?;
    recorder.process().wait_for_stderr("stop")?;
    recorder.process().signal(Signal::INT)?;
    let recorded = recorder.wait()?;
    let ledger = recorded.summary.total;
    assert_eq!(ledger.seen, sent.count, "{ledger:?}");
    recorded.packets()?;
    ensure!(
        ledger.discarded.stopped > 0,
        "everything was written before it stopped: {ledger:?}"
    );
    Ok(())
}
