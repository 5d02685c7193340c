//! `capturectl analyze`, run like a user runs it.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use capture_tests::{client, gate};

/// A refused connection from 10.0.0.1, and an unanswered one from 10.0.0.3: raw IP.
fn pcap() -> Vec<u8> {
    file(&[
        (1, 2, [40_000, 80], 0x02, 1, 0),
        (3, 2, [40_001, 81], 0x02, 1, 0),
        (2, 1, [80, 40_000], 0x14, 1, 0),
    ])
}

/// Three segments are sent again.
fn again() -> Vec<u8> {
    let data = |sequence| (1, 2, [40_000, 80], 0x18, sequence, 10);
    file(&[
        (1, 2, [40_000, 80], 0x02, 0, 0),
        (2, 1, [80, 40_000], 0x12, 1, 0),
        data(1),
        data(1),
        data(11),
        data(11),
        data(21),
        data(21),
    ])
}

/// 150 ports that do not answer.
fn scan() -> Vec<u8> {
    let syns: Vec<_> = (1..=150)
        .map(|port| (1, 2, [40_000, port], 0x02, 1, 0))
        .collect();
    file(&syns)
}

/// Last bytes of the addresses, ports, flags, sequence number, bytes of data.
type Segment = (u8, u8, [u16; 2], u8, u32, u8);

/// A segment each second, raw IP.
fn file(segments: &[Segment]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 101] {
        file.extend(word.to_le_bytes());
    }
    for (second, (from, to, ports, flags, sequence, data)) in (1_u32..).zip(segments) {
        let length = 40 + data;
        let mut packet = vec![0x45, 0, 0, length, 0, 0, 0x40, 0, 64, 6, 0, 0];
        packet.extend([10, 0, 0, *from, 10, 0, 0, *to]);
        packet.extend(ports.map(u16::to_be_bytes).concat());
        packet.extend(sequence.to_be_bytes());
        packet.extend([0, 0, 0, 2, 0x50, *flags, 0xff, 0xff, 0, 0, 0, 0]);
        packet.resize(usize::from(length), 7);
        let length = u32::from(length);
        for word in [second, 0, length, length] {
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
        summary.contains("10.0.0.2:80 refused 1 connection"),
        "{summary}"
    );
    ensure!(fs::read_to_string(here.join("a.html"))?.contains("refused 1 connection"));
    ensure!(fs::read_to_string(here.join("tables/findings.csv"))?.contains("tcp-refused-1"));
    ensure!(here.join("a.jsonl").is_file());
    for (more, frames) in [(&[][..], 2), (&["--whole-flow"], 2)] {
        let extract = ["a.pcap", "--extract", "tcp-refused-1", "-w", "out.pcapng"];
        let (code, said) = analyze(here, &[&extract, more].concat())?;
        ensure!(code == 0, "{code}: {said}");
        ensure!(
            said.contains(&format!("{frames} packets of tcp-refused-1")),
            "{said}"
        );
    }
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
    Ok(())
}

#[test]
fn the_frames_that_prove_a_finding_are_extracted_and_no_others() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let here = directory.path();
    fs::write(here.join("a.pcap"), again())?;
    let extract = [
        "a.pcap",
        "--extract",
        "tcp-retransmissions-1",
        "-w",
        "out.pcap",
    ];
    for (more, packets) in [(&[][..], 3), (&["--whole-flow"], 5)] {
        let (code, said) = analyze(here, &[&extract[..], more].concat())?;
        ensure!(code == 0, "{code}: {said}");
        let (code, text) = analyze(here, &["out.pcap", "-o", "json"])?;
        let report: serde_json::Value = serde_json::from_str(&text).context(text)?;
        ensure!(
            code == 0 && report["inventory"]["packets"] == packets,
            "{more:?}: {}",
            report["inventory"]
        );
    }
    Ok(())
}

#[test]
fn both_ends_are_compared_packet_by_packet() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let here = directory.path();
    fs::write(here.join("a.pcap"), pcap())?;
    // The second of three packets did not arrive.
    let mut other = pcap();
    other.drain(24 + 56..24 + 2 * 56);
    fs::write(here.join("b.pcap"), other)?;
    let (code, said) = analyze(here, &["a.pcap", "--compare", "b.pcap"])?;
    ensure!(code == 0, "{code}: {said}");
    for line in [
        "2 packets are in both; 1 are only in the first files, 0 only in the others",
        "tcp 10.0.0.3 port 40001 to 10.0.0.2 port 81: 1 packets only in the first files, 0 in both",
        "first frame 2: tcp 10.0.0.3 port 40001 to 10.0.0.2 port 81",
    ] {
        ensure!(said.contains(line), "{line:?} is not in {said}");
    }
    let (_, text) = analyze(here, &["b.pcap", "--compare", "a.pcap", "-o", "json"])?;
    let compared: serde_json::Value = serde_json::from_str(&text).context(text)?;
    ensure!(
        compared["packets"]["missing"][0]["only_in"] == "other",
        "{}",
        compared["packets"]
    );
    Ok(())
}

#[test]
fn a_hint_is_left_out_by_its_name() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let here = directory.path();
    fs::write(here.join("a.pcap"), scan())?;
    let (code, said) = analyze(here, &["a.pcap", "-o", "json"])?;
    ensure!(
        code == 0 && said.contains("security-scan-1"),
        "{code}: {said}"
    );
    let without = ["a.pcap", "-o", "json", "--without", "scan,flood"];
    let (code, said) = analyze(here, &without)?;
    ensure!(code == 0 && !said.contains("security-"), "{code}: {said}");
    let (code, said) = analyze(here, &["a.pcap", "--without", "nothing"])?;
    ensure!(code == 2 && said.contains("beaconing"), "{code}: {said}");
    Ok(())
}
