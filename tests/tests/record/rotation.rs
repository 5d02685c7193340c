//! Rotation loses nothing and repeats nothing.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result};
use capture_tests::{
    capture_file, compare, gate,
    netns::Pair,
    recorder::{Recorded, Recorder},
    scene::{numbered_frames, send_through},
    wait,
};
use tempfile::TempDir;

/// Names of the finished capture files in a directory.
fn finished(directory: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.contains(".pcap") && !name.ends_with(".part") {
            names.insert(name);
        }
    }
    Ok(names)
}

/// Records 2,000 frames; checks that the concatenated files are these frames, and that each file
/// opens separately.
fn record_rotated(arguments: &[&str]) -> Result<(Recorded, TempDir)> {
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let frames = numbered_frames(0..2000);
    let mut all = vec!["-i", "eth0"];
    all.extend(arguments);
    let recorder = Recorder::start(&pair.b, directory.path(), &all)?;
    send_through(&pair, &frames)?;
    let recorded = recorder.stop()?;
    recorded.lost_nothing(frames.len() as u64)?;
    compare::same_frames(&recorded.packets()?, &frames)?;
    for (path, file) in recorded.paths().iter().zip(&recorded.summary.files) {
        let packets = capture_file::read_with_peers(path)?;
        assert_eq!(packets as u64, file.packets, "{}", path.display());
    }
    Ok((recorded, directory))
}

#[test]
fn files_rotated_by_packets_joined_are_the_capture() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    for format in ["pcap", "pcapng"] {
        for when in ["streaming", "rotated"] {
            let arguments = ["--rotate-packets", "300", "--format", format];
            let more = ["--compress-when", when, "--compress", "gzip"];
            let (recorded, _directory) = record_rotated(&[&arguments[..], &more].concat())?;
            let counts: Vec<_> = recorded.summary.files.iter().map(|f| f.packets).collect();
            assert_eq!(counts, [300, 300, 300, 300, 300, 300, 200]);
        }
    }
    Ok(())
}

#[test]
fn files_rotated_by_size_joined_are_the_capture_and_none_is_longer() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    const MOST: u64 = 256 << 10;
    for format in ["pcap", "pcapng"] {
        for compression in ["none", "gzip", "zstd"] {
            let arguments = ["--rotate-size", "256KiB", "--format", format];
            let more = ["--compress", compression];
            let (recorded, _directory) = record_rotated(&[&arguments[..], &more].concat())?;
            for file in &recorded.summary.files {
                assert!(file.bytes <= MOST, "{format} {compression}: {file:?}");
            }
            if compression == "none" {
                // 1.5 MB of packets.
                assert!(recorded.summary.files.len() >= 6);
            }
        }
    }
    Ok(())
}

#[test]
fn a_file_is_finished_on_the_clock_also_when_no_packet_comes() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let frames = numbered_frames(0..20);
    let arguments = ["-i", "eth0", "--rotate-interval", "1s"];
    let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
    for half in frames.chunks(10) {
        let before = finished(directory.path())?;
        send_through(&pair, half)?;
        // From here on there is no traffic.
        wait::until_true("a file that ends by the clock", || {
            Ok(finished(directory.path())?.len() > before.len())
        })?;
        for name in finished(directory.path())?.difference(&before) {
            capture_file::read_with_peers(&directory.path().join(name))?;
        }
    }
    let recorded = recorder.stop()?;
    recorded.lost_nothing(frames.len() as u64)?;
    compare::same_frames(&recorded.packets()?, &frames)
}

#[test]
fn the_oldest_files_go_first_and_the_newest_stay() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let frames = numbered_frames(0..2000);
    let arguments = ["-i", "eth0", "--rotate-packets", "300", "--max-files", "3"];
    let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
    // Files of others are kept, however old.
    let stranger = directory.path().join("another-capture.pcapng");
    fs::write(&stranger, "not ours")?;
    send_through(&pair, &frames)?;
    let recorded = recorder.stop()?;
    recorded.lost_nothing(frames.len() as u64)?;
    assert!(stranger.exists());
    let paths = recorded.paths();
    let on_disk = finished(directory.path())?;
    assert_eq!(on_disk.len(), paths.len() + 1, "{on_disk:?}");
    assert!((1..=3).contains(&paths.len()), "{paths:?}");
    let mut kept = Vec::new();
    for path in &paths {
        kept.extend(capture_file::read(path)?.packets);
    }
    assert!(kept.len() >= 800, "only {} packets were kept", kept.len());
    compare::same_frames(&kept, &frames[frames.len() - kept.len()..])
}

#[test]
fn a_capture_without_packets_ends_with_files_that_open() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let recorded = Recorder::start(&pair.b, directory.path(), &["-i", "eth0"])?.stop()?;
    recorded.lost_nothing(0)?;
    for path in recorded.paths() {
        assert_eq!(capture_file::read_with_peers(&path)?, 0);
    }
    assert!(recorded.packets()?.is_empty());
    Ok(())
}

#[test]
fn files_and_directories_are_for_their_owner_alone() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let parent = TempDir::new()?;
    let directory = parent.path().join("captures");
    let recorder = Recorder::start(&pair.b, &directory, &["-i", "eth0"])?;
    send_through(&pair, &numbered_frames(0..10))?;
    let mode =
        |path: &Path| -> Result<u32> { Ok(fs::metadata(path)?.permissions().mode() & 0o777) };
    let check = || -> Result<usize> {
        assert_eq!(mode(&directory)?, 0o700);
        let mut files = 0;
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            assert_eq!(mode(&path)?, 0o600, "{}", path.display());
            files += 1;
        }
        Ok(files)
    };
    // While it is written and afterwards.
    assert!(check().context("while it records")? >= 1);
    recorder.stop()?.lost_nothing(10)?;
    assert!(check()? >= 1);
    Ok(())
}

#[test]
fn a_file_can_be_read_while_it_grows_and_when_its_recorder_was_killed() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    for format in ["pcap", "pcapng"] {
        for compression in ["none", "gzip", "zstd"] {
            let pair = Pair::new()?;
            let directory = TempDir::new()?;
            let arguments = ["-i", "eth0", "--format", format, "--compress", compression];
            let recorder = Recorder::start(&pair.b, directory.path(), &arguments)?;
            let frames = numbered_frames(0..300);
            send_through(&pair, &frames)?;
            let read = || -> Result<Option<Vec<capture_file::Packet>>> {
                for entry in fs::read_dir(directory.path())? {
                    let path = entry?.path();
                    if path.to_string_lossy().ends_with(".part")
                        && path.to_string_lossy().contains(".pcap")
                    {
                        let packets = capture_file::read_unfinished(&path)?.packets;
                        return Ok((packets.len() >= frames.len()).then_some(packets));
                    }
                }
                Ok(None)
            };
            let case = || format!("{format} {compression}");
            // No more packets come: the recorder flushes the last ones by itself.
            let packets =
                wait::until("the packets in the unfinished file", read).with_context(case)?;
            compare::same_frames(&packets, &frames).with_context(case)?;
            recorder.kill()?;
            let packets = read()?.with_context(case)?;
            compare::same_frames(&packets, &frames).with_context(case)?;
        }
    }
    Ok(())
}
