//! The kernels that users have: each boots, loads the programs, and records every packet.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use capture_tests::{
    capture_file, gate,
    guest::{Given, Kernel},
    recorder,
    summary::Summary,
};
use tempfile::TempDir;

/// Echo requests, which the guest's loopback sends and receives, like the replies.
const PINGS: u64 = 20;
/// 14 bytes of Ethernet, 20 of IPv4, 8 of ICMP and the requested payload.
const LENGTH: usize = 14 + 20 + 8 + 1400;

/// Options by the name of the run. They differ in the programs for the verifier: with and without a
/// spill ring, short and whole packets, with and without a filter, each packet once; and in the attach method.
const RUNS: [(&str, &str); 7] = [
    ("plain", "icmp"),
    ("small", "-B 1MiB"),
    ("short", "-s 96 icmp"),
    ("clsact", "--attach clsact --host 127.0.0.1"),
    ("tcx", "--attach tcx icmp"),
    ("once", "--each-packet-once icmp"),
    (
        "exclusions",
        "--not-host 10.9.9.9 --not-host 10.8.0.0/16 --not-port 53 not vlan",
    ),
];

/// One run: `captured` in the background, pings, and all results given to the test.
const SCRIPT: &str = r#"
record() {
    name=$1; shift
    captured record -i lo -w /tmp/files --name $name --compress none --summary json $* > /tmp/$name.json 2> /tmp/$name.errors &
    recorder=$!
    until grep -q 'Ctrl-C stops' /tmp/$name.errors; do kill -0 $recorder || break; sleep 0.1; done
    ping -q -c PINGS -i 0.05 -s 1400 127.0.0.1 > /tmp/$name.pings
    kill -INT $recorder
    wait $recorder
    echo $? > /tmp/$name.status
    cat /tmp/files/$name-*.pcapng > /tmp/$name.file
    for what in json errors pings status file; do give $name.$what; done
}

# A daemon that listens over TCP: its capture sees pings, and leaves out requests to the daemon.
own() {
    printf '[[capture]]\nname = "own"\ninterfaces = ["lo"]\ncompression = "none"\n' > /tmp/own.toml
    captured serve --config /tmp/own.toml --socket /tmp/socket --state-dir /tmp/state --data-dir /tmp/data \
        --metrics 127.0.0.1:9100 2> /tmp/own.errors &
    daemon=$!
    until grep -q 'joined the capture' /tmp/own.errors; do kill -0 $daemon || break; sleep 0.1; done
    ping -q -c PINGS -i 0.05 -s 1400 127.0.0.1 > /tmp/own.pings
    for request in 1 2 3 4 5; do wget -q -O - http://127.0.0.1:9100/healthz; done > /tmp/own.answers
    kill -TERM $daemon
    wait $daemon
    echo $? > /tmp/own.status
    cat /tmp/data/own/own-*.pcapng > /tmp/own.file
    for what in errors pings answers status file; do give own.$what; done
}
"#;

fn boot(series: &str) -> Result<Option<Given>> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(None);
    };
    if !gate::in_path("qemu-system-x86_64") {
        gate::cannot_run("no qemu-system-x86_64 (`cargo xtask setup` installs it)")?;
        return Ok(None);
    }
    let Some(kernel) = Kernel::of(series) else {
        gate::cannot_run(&format!(
            "no kernel {series} (`cargo xtask test` fetches it where there is a package)"
        ))?;
        return Ok(None);
    };
    let mut script = SCRIPT.replace("PINGS", &PINGS.to_string());
    for (name, options) in RUNS {
        script += &format!("record {name} {options}\n");
    }
    script += "own\n";
    let given = kernel.run(recorder::program()?, &script)?;
    let release = given.text("release")?;
    ensure!(
        release.starts_with(&format!("{series}.")),
        "booted {release} and not {series}"
    );
    Ok(Some(given))
}

/// Checks that a run has recorded all pings, and each whole unless it was to be truncated.
fn recorded_all(given: &Given, name: &str) -> Result<()> {
    let text = |what: &str| given.text(&format!("{name}.{what}"));
    let errors = text("errors")?;
    ensure!(text("status")? == "0", "it failed: {errors}");
    let pings = text("pings")?;
    ensure!(
        pings.contains(&format!("{PINGS} packets received")),
        "the recorder was in the way: {pings}"
    );
    let summary: Summary = serde_json::from_str(text("json")?)?;
    let ledger = summary.total;
    let short = name == "short";
    ensure!(
        ledger.seen == 2 * PINGS
            && ledger.written == 2 * PINGS
            && ledger.truncated == if short { 2 * PINGS } else { 0 },
        "{ledger:?}"
    );
    let directory = TempDir::new()?;
    let path = directory.path().join("file.pcapng");
    fs::write(&path, given.bytes(&format!("{name}.file"))?)?;
    let packets = capture_file::read(&path)?.packets;
    ensure!(
        packets.len() as u64 == 2 * PINGS,
        "{} packets",
        packets.len()
    );
    for packet in packets {
        ensure!(packet.original_length as usize == LENGTH, "{packet:?}");
        ensure!(
            packet.bytes.len() == if short { 96 } else { LENGTH },
            "{packet:?}"
        );
    }
    Ok(())
}

/// Checks that a daemon has recorded all pings and none of the requests to itself.
fn left_own_traffic_out(given: &Given) -> Result<()> {
    let text = |what: &str| given.text(&format!("own.{what}"));
    let errors = text("errors")?;
    ensure!(text("status")? == "0", "it failed: {errors}");
    ensure!(!text("answers")?.is_empty(), "it did not answer: {errors}");
    let directory = TempDir::new()?;
    let path = directory.path().join("file.pcapng");
    fs::write(&path, given.bytes("own.file")?)?;
    let packets = capture_file::read(&path)?.packets;
    let count = packets.len() as u64;
    ensure!(count == 2 * PINGS, "{count} packets: {errors}");
    for packet in packets {
        ensure!(packet.original_length as usize == LENGTH, "{packet:?}");
    }
    Ok(())
}

#[test]
fn linux_6_1_records_every_packet_by_clsact_and_says_that_it_has_no_tcx() -> Result<()> {
    let Some(given) = boot("6.1")? else {
        return Ok(());
    };
    for (name, _) in RUNS.iter().filter(|(name, _)| *name != "tcx") {
        recorded_all(&given, name).with_context(|| (*name).to_owned())?;
    }
    left_own_traffic_out(&given)?;
    assert_eq!(given.text("tcx.status")?, "1");
    let errors = given.text("tcx.errors")?;
    assert!(errors.contains("has no TCX (Linux 6.6 has)"), "{errors}");
    assert!(errors.contains("--attach clsact"), "{errors}");
    Ok(())
}

#[test]
fn linux_6_12_records_every_packet_either_way() -> Result<()> {
    let Some(given) = boot("6.12")? else {
        return Ok(());
    };
    for (name, _) in RUNS {
        recorded_all(&given, name).with_context(|| name.to_owned())?;
    }
    left_own_traffic_out(&given)
}
