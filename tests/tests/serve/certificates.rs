//! The daemon's certificates: checked at startup, reloaded while it runs.

use anyhow::{Result, ensure};
use capture_tests::{
    certificates::{Authority, Time, replace},
    daemon::{spec, wrote_all},
    gate,
    netns::Pair,
    scene::{numbered_frames, send_through},
    wait,
};

use crate::lab::{ALICE, Lab, ends_with, wait_for_readers};

#[test]
fn certificates_are_exchanged_while_a_stream_runs_and_broken_ones_are_not_taken() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (pair, lab) = (Pair::new()?, Lab::new()?);
    let mut daemon = lab.daemon(&pair.b, &[])?;
    let alice = lab.ctl(&pair.b, "alice", &lab.alice()?)?;
    alice.output(&["start", "web", "-i", "eth0", "--direction", "in"])?;
    let mut stream = alice.start(&["tail", "web"])?;
    wait_for_readers(&daemon, 1)?;
    send_through(&pair, &numbered_frames(0..50))?;

    // Broken: the old ones stay in force, and the error is logged.
    let node = lab.directory.path();
    replace(
        &lab.path("node.pem"),
        "-----BEGIN CERTIFICATE-----\nrubbish\n",
    )?;
    daemon.process().wait_for_stderr("stay in use")?;
    assert_eq!(alice.json(&["list"])?[0]["name"], "web");
    // Expired: clients would reject it, so the accepted one stays.
    lab.authority.node(Time::Past)?.write(node, "node")?;
    daemon
        .process()
        .wait_for_stderr("it has expired on 2001-01-02")?;
    assert_eq!(alice.json(&["list"])?[0]["name"], "web");
    let said = daemon.process().stderr().matches("stay in use").count();
    assert!(
        said <= 4,
        "once for each change: {}",
        daemon.process().stderr()
    );

    // Another authority, with new certificates for all.
    let next = Authority::new("the next authority")?;
    replace(&lab.path("ca.pem"), next.pem())?;
    next.node(Time::Now)?.write(node, "node")?;
    daemon
        .process()
        .wait_for_stderr("the certificates have changed")?;
    let renewed = lab.ctl(&pair.b, "renewed", &next.client("x", ALICE, Time::Now)?)?;
    wait::until_true("the new certificate to be in force", || {
        Ok(renewed.run(&["list"])?.status.success())
    })?;
    let old = lab.ctl(&pair.b, "alice", &lab.alice()?)?;
    ends_with(&old.run(&["list"])?, 5, "an authority that the node trusts")?;

    // The stream continues undisturbed.
    assert!(stream.is_running()?);
    send_through(&pair, &numbered_frames(50..100))?;
    renewed.output(&["stop", "web"])?;
    let ended = stream.wait()?;
    assert!(ended.status.success(), "{}", ended.stderr);
    let shown = ended.stderr.contains("too slow");
    assert!(!shown, "{}", ended.stderr);
    wrote_all(&daemon.client()?.get("web")?, 100)
}

#[test]
fn a_daemon_whose_certificate_has_expired_says_so_and_serves_its_socket() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (pair, lab) = (Pair::new()?, Lab::new()?);
    lab.authority
        .node(Time::Past)?
        .write(lab.directory.path(), "node")?;
    let mut daemon = lab.daemon(&pair.b, &[])?;
    daemon
        .process()
        .wait_for_stderr("it has expired on 2001-01-02")?;
    let alice = lab.ctl(&pair.b, "alice", &lab.alice()?)?;
    ends_with(&alice.run(&["list"])?, 4, "it has expired")?;
    daemon.client()?.start("web", spec("eth0", ""))?;
    // A valid one is used at once.
    lab.authority
        .node(Time::Now)?
        .write(lab.directory.path(), "node")?;
    daemon
        .process()
        .wait_for_stderr("the certificates have changed")?;
    wait::until_true("the new certificate to be in force", || {
        Ok(alice.run(&["list"])?.status.success())
    })?;
    wrote_all(&daemon.client()?.stop("web")?, 0)
}

#[test]
fn what_cannot_be_served_is_refused_at_the_start_with_the_way_out() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (pair, lab) = (Pair::new()?, Lab::new()?);
    let refused = |part: &str| -> Result<()> {
        let Err(error) = lab.daemon(&pair.b, &[]) else {
            anyhow::bail!("it serves, without {part:?}");
        };
        ensure!(
            format!("{error:#}").contains(part),
            "no {part:?}: {error:#}"
        );
        Ok(())
    };
    let key = std::fs::read_to_string(lab.path("node.key"))?;
    let widen = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(lab.path("node.key"), widen)?;
    refused("chmod 600")?;
    replace(&lab.path("node.key"), &lab.alice()?.key)?;
    refused("does not belong to the certificate")?;
    std::fs::remove_file(lab.path("node.key"))?;
    refused("no such file")?;
    replace(&lab.path("node.key"), &key)?;
    replace(&lab.path("ca.pem"), &key)?;
    refused("tls.client_ca")?;
    replace(&lab.path("ca.pem"), lab.authority.pem())?;
    for (text, part) in [
        ("", "every client would be refused"),
        (
            "[[client]]\ncn = \"a\"\nsan = \"DNS:a\"\nrole = \"viewer\"",
            "client 1",
        ),
        (
            "[[client]]\nname = \"a\"\nrole = \"viewer\"",
            "unknown field",
        ),
        ("[[client]]\ncn = \"a\"\nrole = \"admin\"", "operator"),
        (
            "[[client]]\nsan = \"alice\"\nrole = \"viewer\"",
            "begin with DNS:, URI: or email:",
        ),
        ("[tls]\ncert = \"/x\"", "tls.cert"),
    ] {
        replace(&lab.path("captured.toml"), text)?;
        refused(part)?;
    }
    Ok(())
}
