//! `capturectl analyze --capture`: a capture is fetched and analysed in one command.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use capture_tests::{
    client::Capturectl,
    daemon::Daemon,
    frame, gate,
    generator::{Generator, Load},
    netns::{Namespace, Pair},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::pull::wrote_all;

const PACKETS: u32 = 500;

fn send(namespace: &Namespace) -> Result<u64> {
    let load = Load {
        frame: frame::numbered(0, 200),
        count: PACKETS,
        rate: Some(50_000),
        cpu: None,
    };
    Ok(Generator::load()?.send(namespace, "eth0", &load)?.count)
}

/// The report on the capture `web`, made in this directory.
fn report(
    ctl: &Capturectl<'_>,
    namespace: &Namespace,
    directory: &TempDir,
    more: &[&str],
) -> Result<Value> {
    let arguments = [&["-o", "json", "analyze", "--capture", "web"], more].concat();
    let mut command = ctl.command(&arguments)?;
    command.current_dir(directory.path());
    let output = namespace.run(|| command.output())?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {errors}", output.status);
    let left = fs::read_dir(directory.path())?.count();
    ensure!(left == 0, "{left} entries are left behind");
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn a_capture_is_analysed_while_it_runs_and_after_it_with_what_the_recorder_lost() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let ctl = Capturectl::at(&pair.b, &daemon.socket())?;
    ctl.output(&["start", "web", "-i", "eth0"])?;
    let sent = send(&pair.b)?;
    let directory = TempDir::new()?;
    let running = report(&ctl, &pair.b, &directory, &[])?;
    let so_far = running["inventory"]["packets"]
        .as_u64()
        .context("packets")?;
    ensure!(so_far <= sent, "{so_far} of {sent}");
    let stopped = ctl.json(&["stop", "web"])?;
    wrote_all(&stopped[0], sent)?;
    let whole = report(&ctl, &pair.b, &directory, &[])?;
    ensure!(
        whole["inventory"]["packets"] == sent,
        "{}",
        whole["inventory"]
    );
    ensure!(whole["recorder"]["lost"] == 0, "{}", whole["recorder"]);
    ensure!(
        whole["files"][0]["name"] == "capture web",
        "{}",
        whole["files"]
    );
    ensure!(
        whole["interfaces"][0]["name"] == "eth0",
        "{}",
        whole["interfaces"]
    );
    let none = report(
        &ctl,
        &pair.b,
        &directory,
        &["-f", "tcp port 1 and host 192.0.2.1"],
    )?;
    ensure!(none["inventory"]["packets"] == 0, "{}", none["inventory"]);
    let unknown = ctl.run(&["analyze", "--capture", "nothing"])?;
    let (status, stderr) = (unknown.status, unknown.stderr);
    ensure!(status.code() == Some(3), "{status}: {stderr}");
    Ok(())
}

#[test]
fn two_nodes_are_one_report_and_their_interfaces_are_told_apart() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let (a, b) = ("127.0.0.1:9443", "127.0.0.1:9444");
    let _one = Daemon::start(&pair.b, &["--insecure-listen", a])?;
    let _other = Daemon::start(&pair.b, &["--insecure-listen", b])?;
    let ctl = Capturectl::with(&pair.b, &["--insecure", "--node", a, "--node", b])?;
    ctl.output(&["start", "web", "-i", "eth0"])?;
    let sent = send(&pair.b)?;
    let stopped = ctl.json(&["stop", "web"])?;
    for capture in stopped.as_array().context("no list")? {
        wrote_all(capture, sent)?;
    }
    let report = report(&ctl, &pair.b, &TempDir::new()?, &[])?;
    let inventory = &report["inventory"];
    ensure!(inventory["packets"] == 2 * sent, "{inventory}");
    let interfaces = report["interfaces"].as_array().context("interfaces")?;
    let mut names: Vec<_> = interfaces
        .iter()
        .filter_map(|interface| interface["name"].as_str())
        .collect();
    names.sort_unstable();
    ensure!(
        names == [format!("{a}:eth0"), format!("{b}:eth0")],
        "{names:?}"
    );
    Ok(())
}
