//! Bad days: what cannot work is rejected with a message that says why, and failures while
//! recording leave whole files and a correct ledger.

use std::fs;

use anyhow::{Context as _, Result};
use capture_tests::{
    capture_file, frame, gate,
    generator::{Generator, Load},
    mount::Tmpfs,
    netns::Pair,
    process::Ended,
    recorder::{self, Recorder},
    scene::{numbered_frames, send_through},
};
use rustix::process::Signal;
use tempfile::TempDir;

/// It ended with a useful error: it names the cause and is not a crash.
fn refused(ended: &Ended, names: &[&str]) {
    assert!(!ended.status.success(), "it was taken: {names:?}");
    assert!(ended.status.code().is_some(), "it crashed: {ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    for name in names {
        assert!(
            ended.stderr.contains(name),
            "{name:?} is not in: {}",
            ended.stderr
        );
    }
}

#[test]
fn what_makes_no_sense_is_refused_by_its_name() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let parent = TempDir::new()?;
    let directory = parent.path().join("captures");
    let path = directory.to_string_lossy().into_owned();
    for (option, value) in [
        ("-B", "0"),
        ("-B", "three"),
        ("-B", "99PiB"),
        ("-B", "-1MiB"),
        ("--rotate-size", "0"),
        ("--rotate-size", "1 parsec"),
        ("--rotate-interval", "0s"),
        ("--rotate-interval", "soon"),
        ("--rotate-packets", "0"),
        ("--max-files", "0"),
        ("--max-bytes", "0"),
        ("--min-free", "101%"),
        ("--min-free", "most"),
        ("--duration", "0s"),
        ("--duration", "99999999999999999999y"),
        ("-c", "0"),
        ("-c", "-5"),
        ("-s", "many"),
        ("--compress", "lz77"),
        ("--compress", "gzip:10"),
        ("--compress", "zstd:23"),
        ("--compress", "none:1"),
        ("--compress-when", "later"),
        ("--format", "erf"),
        ("-Q", "sideways"),
        ("--name", "a/b"),
        ("--name", ".."),
        ("--name", "../escape"),
        ("--name", "a..b"),
        ("--name", ""),
        ("--name", "x y"),
        ("-i", ""),
        ("-i", "name-that-is-too-long-for-an-interface"),
        ("-i", "pod[1"),
    ] {
        let mut arguments = vec!["record", "-w", &path];
        if option != "-i" {
            arguments.extend(["-i", "eth0"]);
        }
        let given = format!("{option}={value}");
        arguments.push(&given);
        let ended = recorder::run(&pair.b, &arguments)?;
        let (option, value) = (
            option.trim_start_matches('-'),
            value.trim_start_matches('-'),
        );
        refused(&ended, &[value]);
        assert!(
            option.len() == 1 || ended.stderr.contains(option) || ended.stderr.contains(value),
            "{given}: {}",
            ended.stderr
        );
    }
    // Nothing was created, neither there nor next to it.
    assert_eq!(fs::read_dir(parent.path())?.count(), 0);
    Ok(())
}

#[test]
fn an_expression_that_makes_no_sense_is_refused_and_nothing_is_recorded() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let parent = TempDir::new()?;
    let path = parent
        .path()
        .join("captures")
        .to_string_lossy()
        .into_owned();
    for (expression, word) in [
        ("port", "end"),
        ("udp prot 53", "\"prot\""),
        ("udp port ninety", "ninety"),
        ("tcp and (", "end"),
        ("host 300.1.2.3", "300.1.2.3"),
    ] {
        let arguments = ["record", "-w", &path, "-i", "eth0", expression];
        let ended = recorder::run(&pair.b, &arguments)?;
        refused(&ended, &["filter expression", word]);
    }
    assert_eq!(fs::read_dir(parent.path())?.count(), 0);
    Ok(())
}

#[test]
fn a_directory_that_cannot_be_written_is_named() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let read_only = Tmpfs::new("ro")?;
    let parent = TempDir::new()?;
    let file = parent.path().join("file");
    fs::write(&file, "")?;
    for directory in [
        read_only.path().to_owned(),
        read_only.path().join("below"),
        file.clone(),
        file.join("below"),
    ] {
        let path = directory.to_string_lossy().into_owned();
        let ended = recorder::run(&pair.b, &["record", "-i", "eth0", "-w", &path])?;
        refused(&ended, &[&path]);
    }
    Ok(())
}

#[test]
fn a_full_disk_keeps_every_finished_file_and_is_what_the_capture_ends_with() -> Result<()> {
    let Some(_permit) = gate::alone()? else {
        return Ok(());
    };
    for format in ["pcap", "pcapng"] {
        let pair = Pair::new()?;
        let disk = Tmpfs::new("size=12m")?;
        let arguments = ["-i", "eth0", "--rotate-size", "2MiB", "--min-free", "0"];
        let more = ["--compress", "none", "--format", format];
        let all = [&arguments[..], &more].concat();
        let mut recorder = Recorder::start(&pair.b, disk.path(), &all)?;
        let load = Load {
            frame: frame::numbered(0, 1514),
            count: 20_000,
            rate: Some(100_000),
            cpu: None,
        };
        let sent = Generator::load()?.send(&pair.b, "eth0", &load)?;
        // It continues in case there is room again.
        recorder.process().signal(Signal::INT)?;
        let recorded = recorder.wait()?;
        assert!(!recorded.ended.status.success());
        let said = &recorded.ended.stderr;
        assert!(!said.contains("panicked"), "{said}");
        let ledger = recorded.summary.total;
        assert!(ledger.seen <= sent.count, "{ledger:?}");
        assert!(ledger.discarded.disk_full > 0, "{ledger:?}");
        assert_eq!(recorded.summary.reason, "failed");
        let failure = recorded.summary.failure.as_deref().unwrap_or_default();
        assert!(
            failure.contains("space") || failure.contains("full"),
            "{failure:?}"
        );
        let paths = recorded.paths();
        assert!(paths.len() >= 3, "{paths:?}");
        let mut next = 0;
        let mut packets = 0;
        for (path, file) in paths.iter().zip(&recorded.summary.files) {
            assert_eq!(capture_file::read_with_peers(path)? as u64, file.packets);
            for packet in capture_file::read(path)?.packets {
                let number = frame::number(&packet.bytes).context("no number")?;
                assert!(number >= next, "{number} after {next}");
                next = number + 1;
                packets += 1;
            }
        }
        assert_eq!(packets, ledger.written, "{ledger:?}");
    }
    Ok(())
}

#[test]
fn two_captures_of_one_name_do_not_meet() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let path = directory.path().to_string_lossy().into_owned();
    let first = Recorder::start(&pair.b, directory.path(), &["-i", "eth0", "--name", "web"])?;
    let arguments = ["record", "-w", &path, "-i", "eth0", "--name", "web"];
    refused(&recorder::run(&pair.b, &arguments)?, &["web"]);
    // Another name is accepted, and the first capture continues.
    let second = Recorder::start(&pair.b, directory.path(), &["-i", "eth0", "--name", "db"])?;
    send_through(&pair, &numbered_frames(0..50))?;
    for recorder in [first, second] {
        let recorded = recorder.stop()?;
        recorded.lost_nothing(50)?;
        assert_eq!(recorded.packets()?.len(), 50);
    }
    // The name is free again.
    Recorder::start(&pair.b, directory.path(), &["-i", "eth0", "--name", "web"])?
        .stop()?
        .lost_nothing(0)
}
