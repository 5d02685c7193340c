//! Any gRPC client works: here Python's grpcio, which learns the API by reflection.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};
use capture_tests::{
    certificates::{Credentials, Time},
    daemon::Daemon,
    gate,
    netns::Pair,
    process::{Ended, Process},
    scene::{numbered_frames, send_through},
};
use serde_json::{Value, json};

use crate::lab::Lab;

/// A Python with grpcio: the one that `cargo xtask setup` created, or the system's.
fn python() -> Result<Option<PathBuf>> {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/python/bin/python");
    for candidate in [own, "python3".into()] {
        let mut command = Command::new(&candidate);
        let has = command
            .args(["-c", "import grpc, grpc_reflection"])
            .output();
        if has.is_ok_and(|output| output.status.success()) {
            return Ok(Some(candidate));
        }
    }
    gate::cannot_run(
        "no Python with grpcio and grpcio-reflection (`cargo xtask setup` makes one)",
    )?;
    Ok(None)
}

#[test]
fn a_client_that_knows_only_reflection_runs_a_capture() -> Result<()> {
    let (Some(_permit), Some(python)) = (gate::beside_others()?, python()?) else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let call = |method: &str, request: Value, more: &[&str]| -> Result<Vec<Value>> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/serve/client.py");
        let output = Command::new(&python)
            .arg(script)
            .arg(format!("unix:{}", daemon.socket().display()))
            .args([method, &request.to_string()])
            .args(more)
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        text.lines()
            .map(|line| serde_json::from_str(line).context(errors.clone()))
            .collect()
    };
    let wrong = call(
        "CaptureService/StartCapture",
        json!({"name": "a b", "spec": {"snaplen": 999_999, "filter": "tcp and and"}}),
        &[],
    )?;
    assert_eq!(wrong[0]["code"], "INVALID_ARGUMENT");
    assert_eq!(
        wrong[0]["violations"],
        json!(["name", "spec.snaplen", "spec.filter"])
    );
    let spec = json!({"interfaces": ["eth0"], "ring_size": 1 << 20});
    let started = call(
        "CaptureService/StartCapture",
        json!({"name": "py", "spec": spec}),
        &[],
    )?;
    assert_eq!(
        started[0]["capture"]["state"], "CAPTURE_STATE_RUNNING",
        "{started:?}"
    );
    send_through(&pair, &numbered_frames(0..120))?;
    let events = call("CaptureService/WatchCaptures", json!({}), &["--count", "2"])?;
    assert_eq!(events[1]["type"], "EVENT_TYPE_SYNCED");
    let stopped = call("CaptureService/StopCapture", json!({"name": "py"}), &[])?;
    assert_eq!(stopped[0]["capture"]["ledger"]["written"], "120");
    let files = call("FileService/ListFiles", json!({"capture": "py"}), &[])?;
    let file = files[0]["files"][0]["name"].as_str().context("no file")?;
    let pieces = call(
        "FileService/ReadFile",
        json!({"capture": "py", "file": file}),
        &[],
    )?;
    assert_eq!(pieces[0]["header"]["packets"], "120");
    assert!(
        pieces.last().is_some_and(|piece| piece["end"].is_object()),
        "{pieces:?}"
    );
    let health = call(
        "grpc.health.v1.Health/Check",
        json!({"service": "capture.v1.CaptureService"}),
        &[],
    )?;
    assert_eq!(health[0]["status"], "SERVING");
    Ok(())
}

#[test]
fn a_client_of_another_make_comes_in_with_its_certificate() -> Result<()> {
    let (Some(_permit), Some(python)) = (gate::beside_others()?, python()?) else {
        return Ok(());
    };
    let (pair, lab) = (Pair::new()?, Lab::new()?);
    let _daemon = lab.daemon(&pair.b, &[])?;
    let call = |name: &str, own: &Credentials, method: &str, request: Value| -> Result<Ended> {
        let own = own.write(lab.directory.path(), name)?;
        let mut command = Command::new(&python);
        command
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/serve/client.py"
            ))
            .args(["localhost:9443", method, &request.to_string(), "--tls"])
            .args([lab.path("ca.pem"), own.certificate, own.key]);
        Process::start(&pair.b, command)?.wait()
    };
    let alice = lab.alice()?;
    let node = call("alice", &alice, "NodeService/GetNode", json!({}))?;
    let node: Value = serde_json::from_str(&node.stdout).context(node.stderr)?;
    assert_eq!(node["node"]["caller"], "cert:URI:spiffe://lab/alice");
    let bob = lab.authority.client("bob", "", Time::Now)?;
    let stop = json!({"name": "x"});
    let refused = call("bob", &bob, "CaptureService/StopCapture", stop)?;
    let refused: Value = serde_json::from_str(&refused.stdout).context(refused.stderr)?;
    assert_eq!(refused["code"], "PERMISSION_DENIED");
    let expired = lab.authority.client("bob", "", Time::Past)?;
    let outside = call("expired", &expired, "NodeService/GetNode", json!({}))?;
    assert!(!outside.status.success(), "{}", outside.stdout);
    Ok(())
}

#[test]
fn a_stock_client_works_at_the_abstract_socket_and_the_log_says_what_it_lacks_at_the_other()
-> Result<()> {
    let (Some(_permit), Some(python)) = (gate::beside_others()?, python()?) else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let mut daemon = Daemon::start(&pair.b, &[])?;
    let call = |target: &str| -> Result<Ended> {
        let mut command = Command::new(&python);
        command
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/serve/client.py"
            ))
            .args([
                target,
                "NodeService/GetNode",
                "{}",
                "--stock",
                "--timeout",
                "10",
            ]);
        Process::start(&pair.b, command)?.wait()
    };
    let node = call("unix-abstract:captured")?;
    let node: Value = serde_json::from_str(&node.stdout).context(node.stderr)?;
    assert_eq!(node["node"]["caller"], "uid:0");
    let refused = call(&format!("unix:{}", daemon.socket().display()))?;
    assert!(!refused.status.success(), "{}", refused.stdout);
    daemon.process().wait_for_stderr("grpc.default_authority")
}
