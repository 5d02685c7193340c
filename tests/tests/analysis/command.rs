//! `capturectl analyze`, run like a user runs it.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use capture_tests::{client, gate};

/// A refused connection from 10.0.0.1, and an unanswered one from 10.0.0.3: raw IP.
fn pcap() -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 262_144, 101] {
        file.extend(word.to_le_bytes());
    }
    for (second, from, to, ports, flags) in [
        (1_u32, 1, 2, [40_000_u16, 80], 0x02_u8),
        (2, 3, 2, [40_001, 81], 0x02),
        (3, 2, 1, [80, 40_000], 0x14),
    ] {
        let mut packet = vec![
            0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, from, 10, 0, 0, to,
        ];
        packet.extend(ports.map(u16::to_be_bytes).concat());
        packet.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        for word in [second, 0, 40, 40] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

fn analyze(directory: &Path, arguments: &[&str]) -> Result<(i32, String)> {
    let output = Command::new(client::program()?)
        .arg("analyze")
        .args(arguments)
        .current_dir(directory)
        .output()?;
    let code = output.status.code().context("ended by a signal")?;
    let text = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
    Ok((code, text))
}

#[test]
fn every_output_is_written_and_the_packets_of_a_finding_are_its_own() -> Result<()> {
    if !gate::has_programs(&["tshark"])? {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let here = directory.path();
    fs::write(here.join("a.pcap"), pcap())?;
    let (code, summary) = analyze(
        here,
        &[
            "a.pcap", "--html", "a.html", "--csv", "tables", "--frames", "a.jsonl",
        ],
    )?;
    ensure!(code == 0, "{code}: {summary}");
    ensure!(
        summary.contains("10.0.0.2:80 refused 1 connections"),
        "{summary}"
    );
    ensure!(fs::read_to_string(here.join("a.html"))?.contains("refused 1 connections"));
    ensure!(fs::read_to_string(here.join("tables/findings.csv"))?.contains("tcp-refused-1"));
    ensure!(here.join("a.jsonl").is_file());
    let (code, said) = analyze(
        here,
        &["a.pcap", "--extract", "tcp-refused-1", "-w", "out.pcapng"],
    )?;
    ensure!(code == 0, "{code}: {said}");
    let shown = Command::new("tshark")
        .args([
            "-n",
            "-r",
            "out.pcapng",
            "-T",
            "fields",
            "-e",
            "ip.src",
            "-e",
            "tcp.srcport",
        ])
        .current_dir(here)
        .output()?;
    let shown = String::from_utf8(shown.stdout)?;
    ensure!(
        shown
            .lines()
            .all(|line| line == "10.0.0.1\t40000" || line == "10.0.0.2\t80"),
        "{shown}"
    );
    ensure!(shown.contains("10.0.0.1\t40000"), "{shown}");
    let (code, said) = analyze(
        here,
        &["a.pcap", "--extract", "nothing-1", "-w", "x.pcapng"],
    )?;
    ensure!(
        code == 3 && said.contains("tcp-refused-1"),
        "{code}: {said}"
    );
    Ok(())
}

#[test]
fn a_filter_a_time_and_what_is_wrong_are_heeded() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let here = directory.path();
    let whole = pcap();
    fs::write(here.join("a.pcap"), &whole)?;
    fs::write(here.join("cut.pcap"), &whole[..whole.len() - 5])?;
    fs::write(here.join("stranger.txt"), "hello")?;
    let packets = |arguments: &[&str]| -> Result<(i32, u64)> {
        let (code, text) = analyze(here, &[arguments, &["-o", "json"]].concat())?;
        let report: serde_json::Value = serde_json::from_str(&text).context(text)?;
        let packets = report["inventory"]["packets"]
            .as_u64()
            .context("no packets")?;
        Ok((code, packets))
    };
    ensure!(packets(&["a.pcap", "-f", "host 10.0.0.3"])? == (0, 1));
    ensure!(packets(&["a.pcap", "--from", "1970-01-01T00:00:02Z"])? == (0, 2));
    ensure!(packets(&["a.pcap", "--to", "1970-01-01T00:00:02Z"])? == (0, 1));
    ensure!(
        packets(&["cut.pcap"])? == (6, 2),
        "cut is damaged, and the rest is reported"
    );
    ensure!(
        packets(&["."])? == (6, 5),
        "a directory means its capture files"
    );
    let (code, said) = analyze(here, &["gone.pcap"])?;
    ensure!(code == 3 && said.contains("gone.pcap"), "{code}: {said}");
    let (code, said) = analyze(here, &["a.pcap", "-f", "prot 3"])?;
    ensure!(code == 2 && said.contains("prot"), "{code}: {said}");
    let (code, said) = analyze(here, &["a.pcap", "--compare", "cut.pcap"])?;
    ensure!(
        code == 6 && said.contains("1 packets only in the first files"),
        "{code}: {said}"
    );
    Ok(())
}
