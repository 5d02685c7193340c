//! The options of tcpdump work as in tcpdump, or are rejected with an alternative.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use capture_tests::{
    capture_file, compare, gate,
    netns::Pair,
    process::Process,
    recorder::{self, Recorder},
    scene::{numbered_frames, send_through},
    wait,
};
use rustix::process::Signal;
use tempfile::TempDir;

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

/// `captured` with these options and no command.
fn options(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(recorder::program()?);
    command
        .args(arguments)
        .args(["--summary", "json", "--min-free", "0"]);
    Ok(command)
}

fn files_in(directory: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.insert(name);
        }
    }
    Ok(names)
}

#[test]
fn a_named_file_is_that_file_and_a_second_capture_replaces_it() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    for (name, frames) in [
        ("web.pcap", 0..200),
        ("web.pcap", 200..250),
        ("web one.pcapng.gz", 0..50),
    ] {
        let path = directory.path().join(name);
        let frames = numbered_frames(frames);
        let command = options(&["-i", "eth0", "-w", text(&path)?])?;
        let recorder = Recorder::start_command(&pair.b, directory.path(), command)?;
        send_through(&pair, &frames)?;
        let recorded = recorder.stop()?;
        recorded.lost_nothing(frames.len() as u64)?;
        assert_eq!(recorded.paths(), std::slice::from_ref(&path));
        compare::same_frames(&recorded.packets()?, &frames)?;
        assert_eq!(capture_file::read_with_peers(&path)?, frames.len());
    }
    let left = files_in(directory.path())?;
    let expected = ["web one.pcapng.gz", "web one.pcapng.gz.manifest.jsonl"];
    let expected = expected
        .into_iter()
        .chain(["web.pcap", "web.pcap.manifest.jsonl"]);
    assert_eq!(left, expected.map(str::to_owned).collect());
    Ok(())
}

#[test]
fn a_named_file_that_rotates_has_a_sequence_and_keeps_its_newest() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let path = directory.path().join("web.pcapng.zst");
    // A file with a similar name is not part of the capture.
    let other = directory.path().join("web-000099.pcapng.zst");
    fs::write(&other, "mine")?;
    let frames = numbered_frames(0..100);
    let rotation = ["--rotate-packets", "30", "--max-files", "2"];
    let command = options(&[&["-i", "eth0", "-w", text(&path)?], &rotation[..]].concat())?;
    let recorder = Recorder::start_command(&pair.b, directory.path(), command)?;
    send_through(&pair, &frames)?;
    let recorded = recorder.stop()?;
    recorded.lost_nothing(100)?;
    let names: Vec<_> = recorded
        .summary
        .files
        .iter()
        .map(|file| file.file.as_str())
        .collect();
    assert_eq!(names, ["web-000003.pcapng.zst", "web-000004.pcapng.zst"]);
    assert!(!path.exists(), "retention has removed the oldest");
    assert_eq!(fs::read(&other)?, b"mine");
    Ok(())
}

#[test]
fn a_stream_is_whole_and_tcpdump_reads_it() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let path = directory.path().join("stream.pcapng");
    let frames = numbered_frames(0..2000);
    let command = options(&["-i", "eth0", "-w", "-"])?;
    let mut process = Process::start_into(&pair.b, command, File::create(&path)?.into())?;
    process.wait_for_stderr("recording")?;
    send_through(&pair, &frames)?;
    wait::until_true("all packets in the stream", || {
        let read = capture_file::read_unfinished(&path);
        Ok(read.is_ok_and(|contents| contents.packets.len() == frames.len()))
    })?;
    process.signal(Signal::INT)?;
    let ended = process.wait()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    let summary = ended
        .stderr
        .split_once('{')
        .context("no summary on stderr")?
        .1;
    let summary: serde_json::Value = serde_json::from_str(&format!("{{{summary}"))?;
    for count in ["seen", "written"] {
        assert_eq!(summary["total"][count], frames.len(), "{summary}");
    }
    compare::same_frames(&capture_file::read(&path)?.packets, &frames)?;
    assert_eq!(capture_file::read_with_peers(&path)?, frames.len());
    Ok(())
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_stream_well() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let (reader, writer) = std::io::pipe()?;
    let command = options(&["-i", "eth0", "-w", "-"])?;
    let mut process = Process::start_into(&pair.b, command, Stdio::from(writer))?;
    process.wait_for_stderr("recording")?;
    drop(reader);
    let ended = process.wait()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    Ok(())
}

#[test]
fn a_reader_that_has_seen_enough_of_a_text_is_no_failure() -> Result<()> {
    for arguments in [
        &["config", "defaults"][..],
        &["filter", "check", "udp"],
        &["filter", "explain", "udp"],
    ] {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let output = Command::new(recorder::program()?)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {errors}");
        ensure!(errors.is_empty(), "{arguments:?}: {errors}");
    }
    Ok(())
}

#[test]
fn options_alone_record_and_the_limit_says_what_stopped_means() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let expression = directory.path().join("expression");
    fs::write(
        &expression,
        "# the frames of this test\nether proto 0x88b5 or ip # or others\n",
    )?;
    let file = directory.path().join("five.pcap");
    let mut command = Command::new(recorder::program()?);
    command
        .args([
            "-i",
            "eth0",
            "-nn",
            "-l",
            "-U",
            "-c",
            "5",
            "-w",
            text(&file)?,
        ])
        .args(["--min-free", "0", "-F", text(&expression)?]);
    let mut process = Process::start(&pair.b, command)?;
    process.wait_for_stderr("recording")?;
    send_through(&pair, &numbered_frames(0..50))?;
    let ended = process.wait()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(capture_file::read_with_peers(&file)?, 5);
    ensure!(
        ended.stdout.contains("stopped: ") && ended.stdout.contains("not lost"),
        "{}",
        ended.stdout
    );
    Ok(())
}

#[test]
fn files_are_printed_as_the_text_format_has_them() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let file = directory.path().join("web.pcapng");
    let frames = numbered_frames(0..20);
    let command = options(&["-i", "eth0", "-w", text(&file)?])?;
    let recorder = Recorder::start_command(&pair.b, directory.path(), command)?;
    send_through(&pair, &frames)?;
    recorder.stop()?.lost_nothing(20)?;
    let print = |arguments: &[&str]| -> Result<String> {
        let ended = recorder::run(&pair.b, &[&["-r", text(&file)?], arguments].concat())?;
        ensure!(ended.status.success(), "{}", ended.stderr);
        Ok(ended.stdout)
    };
    let all = print(&[])?;
    assert_eq!(all.lines().count(), 20);
    assert!(all.lines().all(|line| line.contains(" eth0 In ")), "{all}");
    let numbered = print(&["-#", "-c", "3"])?;
    let stripped: Vec<_> = numbered.lines().map(|line| &line[7..]).collect();
    assert_eq!(stripped, all.lines().take(3).collect::<Vec<_>>());
    assert_eq!(print(&["greater", "1"])?, all);
    assert_eq!(print(&["less", "1"])?, "");
    Ok(())
}

#[test]
fn an_option_without_a_meaning_is_refused_with_what_to_type() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let odd = directory.path().join("web.cap");
    for (arguments, instead) in [
        (&["-i", "eth0", "-e"][..], "tcpdump -r"),
        (&["-i", "eth0", "-XX"], "tcpdump -r"),
        (&["-i", "eth0", "-A"], "tcpdump -r"),
        (&["-i", "eth0", "-tttt"], "tcpdump -t"),
        (&["-i", "eth0", "-Z", "nobody"], "cap_bpf"),
        (&["-i", "eth0", "--rotate-size", "100"], "100MiB"),
        (&["-i", "eth0", "--duration", "60"], "60s"),
        (&["-i", "eth0", "-B", "4096"], "4096MiB"),
        (&["-i", "eth0", "-G", "60", "-W", "5"], "-C"),
        (&["-i", "eth0", "-w", text(&odd)?], ".pcapng"),
        (
            &["-i", "eth0", "-w", "-", "--format", "pcap"],
            "--format pcap",
        ),
        (
            &["-i", "eth0", "-w", "x.pcap", "--format", "pcapng"],
            "--format",
        ),
        (&["-i", "eth0", "-F", "/dev/zero"], "/dev/zero"),
    ] {
        let ended = recorder::run(&pair.b, arguments)?;
        let code = ended.status.code();
        assert!(matches!(code, Some(1 | 2)), "{arguments:?}: {ended:?}");
        assert!(
            ended.stderr.contains(instead),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
    assert_eq!(files_in(directory.path())?, BTreeSet::new());
    let listed = recorder::run(&pair.b, &["-D"])?;
    assert!(listed.status.success(), "{listed:?}");
    for name in ["lo [", "eth0 [Up", "any"] {
        assert!(listed.stdout.contains(name), "{}", listed.stdout);
    }
    Ok(())
}

#[test]
fn signals_ask_for_the_ledger_and_a_finished_file_and_others_change_nothing() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    let frames = numbered_frames(0..100);
    let mut recorder = Recorder::start(&pair.b, directory.path(), &["-i", "eth0"])?;
    send_through(&pair, &frames[..60])?;
    for signal in [
        Signal::ALARM,
        Signal::XFSZ,
        Signal::VTALARM,
        Signal::PROF,
        Signal::IO,
    ] {
        recorder.process().signal(signal)?;
    }
    wait::until_true("60 packets in the ledger on stderr", || {
        recorder.process().signal(Signal::USR1)?;
        let said = recorder.process().stderr();
        let mut totals = said
            .lines()
            .rev()
            .filter(|line| line.trim_start().starts_with("total"));
        Ok(totals.any(|line| line.split_whitespace().nth(1) == Some("60")))
    })?;
    // The packets are taken from the ring within the flush interval.
    wait::until_true("a finished file", || {
        recorder.process().signal(Signal::USR2)?;
        Ok(files_in(directory.path())?
            .iter()
            .any(|name| name.ends_with(".pcapng")))
    })?;
    send_through(&pair, &frames[60..])?;
    let recorded = recorder.stop()?;
    recorded.lost_nothing(100)?;
    assert!(
        recorded.summary.files.len() >= 2,
        "{:?}",
        recorded.summary.files
    );
    compare::same_frames(&recorded.packets()?, &frames)
}

#[test]
fn a_stderr_and_a_stdout_that_cannot_be_written_to_end_no_capture() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let directory = TempDir::new()?;
    for (number, redirected) in ["2>/dev/full", "2>&-", ">&- 2>&-"].into_iter().enumerate() {
        let file = directory.path().join(format!("{number}.pcapng"));
        let script = format!(
            "exec \"$0\" -v -i eth0 --min-free 0 -c 20 -w {} {redirected}",
            text(&file)?
        );
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(recorder::program()?);
        let process = Process::start(&pair.b, command)?;
        let part = directory.path().join(format!("{number}.pcapng.part"));
        wait::until_true("the file that is being written", || Ok(part.exists()))?;
        // Packets sent before the programs are attached do not matter: more are sent until there are
        // enough.
        wait::until_true("20 packets", || {
            send_through(&pair, &numbered_frames(0..20))?;
            Ok(file.exists())
        })?;
        let ended = process.wait()?;
        assert_ne!(ended.status.code(), Some(101), "{redirected}: a panic");
        assert_eq!(capture_file::read_with_peers(&file)?, 20, "{redirected}");
    }
    Ok(())
}
