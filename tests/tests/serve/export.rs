//! Captures that name sinks of an exporter.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use capture_proto::v1;
use capture_tests::{
    daemon::{Daemon, spec},
    gate,
    netns::Pair,
    scene::{numbered_frames, send_through},
    wait,
};
use serde_json::json;
use tempfile::TempDir;

/// As an exporter writes it: it has the files of `web` up to this number, and puts one aside.
fn checkpoint(directory: &Path, through: u64, trouble: Option<&str>) -> Result<()> {
    let at = json!({"utc": "1970-01-01T00:00:00Z", "nanoseconds": 1});
    let aside = json!({"file": "web", "by": "sink", "reason": "too large", "at": at});
    let series = json!({
        "through": through, "last": u64::MAX, "aside": {"3": aside}, "delivered": through - 1, "missed": 0,
    });
    let checkpoint = json!({
        "version": 1, "sink": "archive", "updated": at, "verified": true, "missed": 0, "latest": null,
        "delivered": {"files": 0, "packets": 0, "bytes": 0},
        "trouble": trouble.map(|reason| json!({"since": at, "attempts": 1, "reason": reason})),
        "series": {"web/web": series},
    });
    let part = directory.join("archive.checkpoint.json.part");
    fs::write(&part, checkpoint.to_string())?;
    fs::rename(part, directory.join("archive.checkpoint.json"))?;
    Ok(())
}

fn named(sinks: &[&str]) -> Vec<String> {
    sinks.iter().map(ToString::to_string).collect()
}

#[test]
fn a_capture_says_what_the_sinks_that_it_names_have_of_its_files_also_after_its_end() -> Result<()>
{
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (state, pair) = (TempDir::new()?, Pair::new()?);
    let config = state.path().join("captured.toml");
    fs::write(&config, format!("export_state_dir = {:?}\n", state.path()))?;
    let daemon = Daemon::start(&pair.b, &["--config", &config.display().to_string()])?;
    let client = daemon.client()?;
    let files = v1::FileOutput {
        rotation: Some(v1::Rotation {
            max_packets: Some(10),
            ..Default::default()
        }),
        ..Default::default()
    };
    let wanted = v1::CaptureSpec {
        output: Some(v1::Output {
            kind: Some(v1::output::Kind::Files(files)),
        }),
        export: named(&["archive", "archive"]),
        ..spec("eth0", "")
    };
    let started = client.start("web", wanted.clone())?;
    let accepted = started.spec.context("no specification")?.export;
    assert_eq!(accepted, named(&["archive"]), "each once");
    send_through(&pair, &numbered_frames(0..50))?;
    client.stop("web")?;
    let manifest = fs::read_to_string(daemon.files("web").join("web.manifest.jsonl"))?;
    let head = manifest.lines().next().unwrap_or_default();
    assert!(head.contains(r#""export":["archive"]"#), "{head}");

    // Five files that no exporter knows.
    let until = |what: &str, delivered: u64, waiting: u64, aside: u64, message: &str| {
        wait::until_true(what, || {
            let export = client.get("web")?.export;
            Ok(export.iter().any(|state| {
                let counts = (
                    state.delivered_files,
                    state.waiting_files,
                    state.aside_files,
                );
                counts == (delivered, waiting, aside) && state.message.contains(message)
            }))
        })
    };
    until("files that wait", 0, 5, 0, "no checkpoint")?;
    checkpoint(state.path(), 4, Some("connection refused"))?;
    until("three files", 3, 1, 1, "connection refused")?;
    checkpoint(state.path(), 5, None)?;
    until("all files", 4, 0, 1, "")?;

    // What makes no sense is refused, with the field and the value.
    for (sinks, part) in [(&["../x"][..], "../x"), (&["a"; 33][..], "spec.export")] {
        let wrong = v1::CaptureSpec {
            export: named(sinks),
            ..wanted.clone()
        };
        let error = client.start("wrong", wrong).err().context("was taken")?;
        assert!(format!("{error:#}").contains(part), "{error:#}");
    }
    Ok(())
}
