use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use capture_tests::{
    capture_file,
    client::Capturectl,
    compare,
    daemon::Daemon,
    frame, gate,
    generator::{Generator, Load},
    netns::Pair,
    packet_socket::PacketSocket,
    process::Process,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::breaking::Breaking;

/// Bytes of the capture that is pulled. With CAPTURE_PULL_BYTES=5000000000 the test needs 15 GB of disk
/// and some minutes.
const BYTES: u64 = 24 << 20;
const FRAME: usize = 1514;
/// Memory limit of client and daemon, without the rings.
const MOST_MEMORY: u64 = 100 << 20;

/// Checks a ledger in JSON against the sender's count.
pub(crate) fn wrote_all(capture: &Value, sent: u64) -> Result<()> {
    let ledger = &capture["ledger"];
    let number = |name: &str| {
        ledger[name]
            .as_u64()
            .with_context(|| format!("{name}: {ledger}"))
    };
    ensure!(
        number("seen")? == number("filtered")? + number("matched")?,
        "{ledger}"
    );
    ensure!(
        number("matched")? == number("submitted")? + number("ring_full")? + number("unreadable")?,
        "{ledger}"
    );
    ensure!(
        number("seen")? == sent && number("written")? == sent,
        "{sent} sent: {ledger}"
    );
    Ok(())
}

#[test]
fn a_connection_that_breaks_five_times_gives_the_same_bytes() -> Result<()> {
    let Some(_permit) = gate::alone()? else {
        return Ok(());
    };
    let bytes = match env::var("CAPTURE_PULL_BYTES") {
        Ok(bytes) => bytes.parse()?,
        Err(_) => BYTES,
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let ctl = Capturectl::at(&pair.b, &daemon.socket())?;
    // Plain files, so that the bytes sent are the bytes pulled.
    let file_bytes = format!("{}B", bytes / 6);
    ctl.output(&[
        "start",
        "large",
        "-i",
        "eth0",
        "--compress",
        "none",
        "--ring-size",
        "64MiB",
        "--rotate-size",
        &file_bytes,
    ])?;
    let sent = Generator::load()?.send(
        &pair.b,
        "eth0",
        &Load {
            frame: frame::numbered(0, FRAME),
            count: u32::try_from(bytes / FRAME as u64)?,
            rate: Some(100_000),
            cpu: None,
        },
    )?;
    let stopped = ctl.json(&["stop", "large"])?;
    wrote_all(&stopped[0], sent.count)?;

    let directory = TempDir::new()?;
    let path = |name: &str| directory.path().join(name);
    let whole = path("whole.pcapng");
    ctl.peak_memory(&["pull", "large", "-w", whole.to_str().context("UTF-8")?])?;
    let digest = sha256(&whole)?;
    fs::remove_file(&whole)?;

    let breaks: Vec<_> = (1..=5).map(|number| bytes * number / 6).collect();
    let breaking = Breaking::new(directory.path(), &daemon.socket(), &breaks)?;
    let over_breaks = Capturectl::at(&pair.b, &breaking.socket)?;
    let mended = path("mended.pcapng");
    let memory =
        over_breaks.peak_memory(&["pull", "large", "-w", mended.to_str().context("UTF-8")?])?;
    assert_eq!(breaking.breaks(), 5);
    assert!(memory < MOST_MEMORY, "the client took {memory} bytes");
    let memory = daemon.memory()?;
    assert!(memory < MOST_MEMORY, "the daemon has {memory} bytes");
    assert_eq!(sha256(&mended)?, digest);
    assert_eq!(packets(&mended)?, sent.count);
    assert!(!path("mended.pcapng.pull").exists(), "nothing else is left");
    fs::remove_file(&mended)?;

    // And file by file, unchanged from the node.
    let apart = path("apart");
    ctl.peak_memory(&["pull", "large", "--into", apart.to_str().context("UTF-8")?])?;
    let files = ctl.json(&["files", "large"])?;
    let files = files.as_array().context("no list")?;
    assert!(files.len() > 5, "{files:?}");
    for file in files {
        let name = file["name"].as_str().context("no name")?;
        same_bytes(
            &daemon.files("large").join(name),
            &apart.join("local").join(name),
        )?;
    }
    Ok(())
}

#[test]
fn a_pull_that_was_given_up_goes_on_where_it_was_and_is_never_half_there() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let ctl = Capturectl::at(&pair.b, &daemon.socket())?;
    ctl.output(&[
        "start",
        "web",
        "-i",
        "eth0",
        "--compress",
        "none",
        "--rotate-packets",
        "900",
    ])?;
    let frames: Vec<_> = (0..2000)
        .map(|number| frame::numbered(number, 1400))
        .collect();
    PacketSocket::sender(&pair.a, "eth0")?.send_all(&frames)?;
    wrote_all(&ctl.json(&["stop", "web"])?[0], 2000)?;

    let directory = TempDir::new()?;
    let output = directory.path().join("web.pcapng");
    let output_name = output.to_str().context("UTF-8")?;
    // Breaks permanently in the second file: no attempt gets further than the one before.
    let breaks: Vec<_> = (0..20).map(|number| 1_500_000 + number).collect();
    let breaking = Breaking::new(directory.path(), &daemon.socket(), &breaks)?;
    let over_breaks = Capturectl::at(&pair.b, &breaking.socket)?;
    let failed = over_breaks.run(&["pull", "web", "-w", output_name, "--attempts", "3"])?;
    assert_eq!(failed.status.code(), Some(4), "{}", failed.stderr);
    assert!(
        failed
            .stderr
            .contains("run the same command again to resume"),
        "{}",
        failed.stderr
    );
    assert!(!output.exists());
    let parts = directory.path().join("web.pcapng.pull/local");
    let here: u64 = fs::read_dir(&parts)?
        .map(|entry| Ok(entry?.metadata()?.len()))
        .sum::<Result<u64>>()?;
    assert!(here > 1_000_000, "{here} bytes have come");

    // Bytes that are here already are not requested again: they may be gone from the node by now.
    let first = fs::read_dir(&parts)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "pcapng"))
        .context("no file has come whole")?;
    let on_node = daemon
        .files("web")
        .join(first.file_name().context("no name")?);
    fs::write(&on_node, vec![0; fs::metadata(&on_node)?.len().try_into()?])?;
    ctl.output(&["pull", "web", "-w", output_name])?;
    assert_eq!(packets(&output)?, 2000);

    // A pull from the start finds and reports the damage on the node, and writes no output.
    let other = directory.path().join("other.pcapng");
    let other_name = other.to_str().context("UTF-8")?;
    let damaged = ctl.run(&["pull", "web", "-w", other_name])?;
    assert_eq!(damaged.status.code(), Some(6), "{}", damaged.stderr);
    assert!(
        damaged.stderr.contains("its digest is xxh128:"),
        "{}",
        damaged.stderr
    );
    assert!(!other.exists());
    let verdict = ctl.run(&["verify", "web"])?;
    assert_eq!(verdict.status.code(), Some(6), "{}", verdict.stdout);
    let rest = ctl.run(&["pull", "web", "-w", other_name, "--skip-bad"])?;
    assert_eq!(rest.status.code(), Some(6), "{}", rest.stderr);
    assert_eq!(packets(&other)?, 1100);
    Ok(())
}

#[test]
fn files_of_two_nodes_become_one_in_the_order_of_time() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let (a, b) = ("127.0.0.1:9443", "127.0.0.1:9444");
    let _one = Daemon::start(&pair.b, &["--insecure-listen", a])?;
    let _other = Daemon::start(&pair.b, &["--insecure-listen", b])?;
    let both = Capturectl::with(&pair.b, &["--insecure", "--node", a, "--node", b])?;
    let one = Capturectl::with(&pair.b, &["--insecure", "--node", a])?;
    one.output(&[
        "start",
        "web",
        "-i",
        "eth0",
        "--rotate-packets",
        "70",
        "--compress",
        "gzip",
    ])?;
    let other = Capturectl::with(&pair.b, &["--insecure", "--node", b])?;
    other.output(&[
        "start",
        "web",
        "-i",
        "eth0",
        "--rotate-packets",
        "90",
        "--compress",
        "zstd",
    ])?;
    let frames: Vec<_> = (0..500)
        .map(|number| frame::numbered(number, 100))
        .collect();
    PacketSocket::sender(&pair.a, "eth0")?.send_all(&frames)?;
    let stopped = both.json(&["stop", "web"])?;
    let stopped = stopped.as_array().context("no list")?;
    assert_eq!(stopped.len(), 2);
    for capture in stopped {
        wrote_all(capture, 500)?;
    }

    let directory = TempDir::new()?;
    for (name, linked) in [("both.pcapng", true), ("both.pcap.zst", false)] {
        let output = directory.path().join(name);
        both.output(&["pull", "web", "-w", output.to_str().context("UTF-8")?])?;
        let merged = capture_file::read(&output)?;
        assert_eq!(merged.packets.len(), 1000);
        assert!(merged.packets.is_sorted_by_key(|packet| packet.timestamp));
        if linked {
            let names: Vec<_> = merged
                .interfaces
                .iter()
                .map(|i| i.name.as_deref().unwrap_or_default())
                .collect();
            assert_eq!(names.len(), 2, "{names:?}");
            for node in [a, b] {
                assert!(
                    names.contains(&format!("{node}:eth0").as_str()),
                    "{names:?}"
                );
            }
        }
        // Each packet from both, each node's in the order of sending.
        let mut seen = [0_u64; 500];
        for packet in &merged.packets {
            seen[usize::try_from(frame::number(&packet.bytes).context("no number")?)?] += 1;
        }
        assert_eq!(seen, [2; 500]);
        assert_eq!(capture_file::read_with_peers(&output)?, 1000);
    }
    Ok(())
}

#[test]
fn a_capture_is_pulled_to_stdout_and_nothing_is_left_behind() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let ctl = Capturectl::at(&pair.b, &daemon.socket())?;
    ctl.output(&["start", "web", "-i", "eth0", "--rotate-packets", "70"])?;
    let frames: Vec<_> = (0..200)
        .map(|number| frame::numbered(number, 100))
        .collect();
    PacketSocket::sender(&pair.a, "eth0")?.send_all(&frames)?;
    wrote_all(&ctl.json(&["stop", "web"])?[0], 200)?;
    let directory = TempDir::new()?;
    let output = directory.path().join("pulled.pcapng");
    let mut command = ctl.command(&["pull", "web", "-w", "-"])?;
    command.current_dir(directory.path());
    let stdout = fs::File::create(&output)?;
    let ended = Process::start_into(&pair.b, command, stdout.into())?.wait()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    compare::same_frames(&capture_file::read(&output)?.packets, &frames)?;
    assert_eq!(capture_file::read_with_peers(&output)?, 200);
    assert_eq!(fs::read_dir(directory.path())?.count(), 1, "no NAME.pull/");
    Ok(())
}

fn packets(path: &std::path::Path) -> Result<u64> {
    let path = path.to_str().context("UTF-8")?;
    let text = capture_tests::netns::run("capinfos", &["-c", "-M", "-T", "-r", path])?;
    let count = text.trim().rsplit('\t').next().context("no count")?;
    Ok(count.parse()?)
}

fn sha256(path: &std::path::Path) -> Result<String> {
    let path = path.to_str().context("UTF-8")?;
    let text = capture_tests::netns::run("sha256sum", &[path])?;
    let digest = text.split_whitespace().next().context("no digest")?;
    Ok(digest.to_owned())
}

fn same_bytes(one: &std::path::Path, other: &std::path::Path) -> Result<()> {
    capture_tests::netns::run(
        "cmp",
        &[
            one.to_str().context("UTF-8")?,
            other.to_str().context("UTF-8")?,
        ],
    )?;
    Ok(())
}
