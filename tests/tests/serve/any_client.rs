//! Any gRPC client works: here Python's grpcio, which learns the API by reflection.

use std::{env, io::Write as _, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};
use capture_tests::{
    daemon::Daemon,
    gate,
    netns::Pair,
    scene::{numbered_frames, send_through},
};
use serde_json::{Value, json};

/// A Python that has grpcio: the one that `cargo xtask setup` made, or the system's.
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
    let ci = env::var("CI").is_ok_and(|value| value == "true");
    assert!(
        !ci,
        "cannot run in CI: no Python with grpcio and grpcio-reflection"
    );
    writeln!(
        std::io::stderr(),
        "SKIPPED, NOT TESTED: no Python with grpcio-reflection"
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
