//! A sink is down while many files are finished: the recorder and the exporter stay within their bounds, every file is
//! delivered or counted as missed, and what can be delivered is, when the sink is back.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1;
use capture_tests::{
    capture_file,
    daemon::{Client, Daemon, spec, wrote_all},
    gate,
    netns::Pair,
    process::Process,
    program,
    scene::{numbered_frames, send_through},
    wait,
};
use serde_json::Value;
use tempfile::TempDir;

/// Packets of a file.
const EACH: u64 = 10;
/// Files that the capture may keep.
const KEPT: u64 = 20;
/// Files that are finished while both sinks are down.
const DURING: u64 = 60;

/// The exporter's state, whatever the number of files.
const LARGEST_STATE: u64 = 32 << 10;

struct Scene {
    pair: Pair,
    daemon: Daemon,
    client: Client,
    exporter: Process,
    state: TempDir,
    archive: TempDir,
    sent: u64,
}

/// A recorder that keeps 20 files and prefers those that `archive` has, and an exporter to `archive`, a directory that
/// is not mounted yet, and `lab`, where nobody listens.
fn start() -> Result<Scene> {
    let (pair, state, archive) = (Pair::new()?, TempDir::new()?, TempDir::new()?);
    let config = state.path().join("captured.toml");
    fs::write(
        &config,
        format!(
            "export_state_dir = {:?}\nretain_until_exported = \"archive\"\n",
            state.path()
        ),
    )?;
    let daemon = Daemon::start(&pair.b, &["--config", &config.display().to_string()])?;
    let client = daemon.client()?;
    let files = v1::FileOutput {
        rotation: Some(v1::Rotation {
            max_packets: Some(EACH),
            ..Default::default()
        }),
        retention: Some(v1::Retention {
            max_files: Some(u32::try_from(KEPT)?),
            ..Default::default()
        }),
        ..Default::default()
    };
    let wanted = v1::CaptureSpec {
        output: Some(v1::Output {
            kind: Some(v1::output::Kind::Files(files)),
        }),
        export: ["archive", "lab"].map(str::to_owned).to_vec(),
        ..spec("eth0", "")
    };
    client.start("web", wanted)?;
    let data = daemon.files("web");
    let data = data.parent().context("no data directory")?;
    let config = state.path().join("capture-export.toml");
    fs::write(
        &config,
        format!(
            "data_dir = {data:?}\nstate_dir = {:?}\ncluster = 'c'\nnode = 'n'\ninterval = '100ms'\n\
             longest_wait = '500ms'\nmetrics = ''\n\
             [sink.archive]\ntype = 'store'\nurl = 'file://{}/mounted'\n\
             [sink.lab]\ntype = 'store'\nurl = 's3://bucket'\nendpoint = 'http://127.0.0.1:9'\nallow_http = true\n",
            state.path(),
            archive.path().display()
        ),
    )?;
    let mut command = Command::new(program::find("capture-export", "capture-export")?);
    command
        .arg("run")
        .arg("--config")
        .arg(&config)
        .envs([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")]);
    let exporter = Process::start(&pair.b, command)?;
    Ok(Scene {
        pair,
        daemon,
        client,
        exporter,
        state,
        archive,
        sent: 0,
    })
}

impl Scene {
    /// Sends the packets of so many files, and waits until these are finished.
    fn finish(&mut self, files: u64) -> Result<()> {
        let from = self.sent;
        self.sent += files * EACH;
        send_through(&self.pair, &numbered_frames(from..self.sent))?;
        wait::until_true("the files to be finished", || {
            // The last one ends with the packet after it.
            Ok(self.client.get("web")?.files_finished + 1 >= self.sent / EACH)
        })
    }

    fn on_disk(&self) -> Result<u64> {
        Ok(self.client.list_files("web")?.len() as u64)
    }

    /// What a sink has: delivered, waiting, missed, put aside.
    fn export(&self, sink: &str) -> Result<v1::ExportState> {
        let states = self.client.get("web")?.export;
        let found = states.into_iter().find(|state| state.sink == sink);
        found.with_context(|| format!("nothing is known of {sink}"))
    }

    fn checkpoint(&self, sink: &str) -> Result<Value> {
        let path = self.state.path().join(format!("{sink}.checkpoint.json"));
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }

    fn state_is_small(&self) -> Result<()> {
        let bytes: u64 = content(self.state.path())?
            .values()
            .map(|file| file.len() as u64)
            .sum();
        ensure!(bytes < LARGEST_STATE, "{bytes} bytes of state");
        Ok(())
    }
}

/// Files below a directory by name, whatever the directory.
fn content(directory: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let (mut found, mut directories) = (BTreeMap::new(), vec![directory.to_owned()]);
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.file_name().context("no name")?.to_string_lossy();
                found.insert(name.into_owned(), fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

#[test]
fn an_outage_of_sinks_fills_no_disk_and_every_file_is_delivered_or_counted() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let mut scene = start()?;
    for _ in 0..6 {
        scene.finish(DURING / 6)?;
        // One file is being written.
        let files = scene.on_disk()?;
        ensure!(files <= KEPT + 1, "{files} files");
    }
    for sink in ["archive", "lab"] {
        wait::until_true("the sink to be in trouble", || {
            let state = scene.export(sink)?;
            Ok(state.delivered_files == 0 && !state.message.is_empty())
        })?;
    }
    let capture = scene.client.get("web")?;
    ensure!(
        capture.warnings.iter().any(|text| text.contains("archive")),
        "{:?}",
        capture.warnings
    );
    scene.state_is_small()?;

    // The directory is mounted: what still exists is delivered, and the rest is counted.
    fs::create_dir(scene.archive.path().join("mounted"))?;
    let until_settled = |scene: &Scene| {
        wait::until_true("every file to be delivered or counted", || {
            let state = scene.export("archive")?;
            let finished = scene.client.get("web")?.files_finished;
            Ok(state.waiting_files == 0 && state.delivered_files + state.missed_files == finished)
        })
    };
    until_settled(&scene).with_context(|| scene.exporter.stderr())?;
    let during = scene.export("archive")?;
    let lost = scene.sent / EACH - KEPT - 1;
    ensure!(
        during.missed_files.abs_diff(lost) <= 1 && during.aside_files == 0,
        "{during:?}"
    );

    // From now on nothing is missed, although one sink is still down: what the other has is removed first.
    for _ in 0..6 {
        scene.finish(KEPT / 2)?;
        until_settled(&scene).with_context(|| scene.exporter.stderr())?;
    }
    let ended = scene.client.stop("web")?;
    wrote_all(&ended, scene.sent)?;
    until_settled(&scene).with_context(|| scene.exporter.stderr())?;
    let after = scene.export("archive")?;
    ensure!(
        after.missed_files == during.missed_files,
        "{during:?}, then {after:?}"
    );
    ensure!(scene.on_disk()? <= KEPT, "retention has its limit");
    scene.state_is_small()?;
    let lab = scene.export("lab")?;
    ensure!(
        lab.delivered_files == 0 && lab.waiting_files == scene.on_disk()? && lab.missed_files > 0,
        "{lab:?}"
    );
    ensure!(
        scene.checkpoint("lab")?["trouble"].is_object(),
        "{}",
        scene.checkpoint("lab")?
    );

    // Each delivered file has the packets of a file, and is what the recorder wrote.
    let objects = content(&scene.archive.path().join("mounted"))?;
    let directory = scene.daemon.files("web");
    let (mut files, mut packets) = (0, 0);
    for (name, bytes) in objects.iter().filter(|(name, _)| is_capture(name)) {
        ensure!(
            objects.contains_key(&format!("{name}.manifest.json")),
            "{name}"
        );
        files += 1;
        if let Ok(own) = fs::read(directory.join(name)) {
            ensure!(own == *bytes, "{name} has other content");
        }
        let copy = scene.archive.path().join(name);
        fs::write(&copy, bytes)?;
        packets += capture_file::read(&copy)?.packets.len() as u64;
    }
    ensure!(files == after.delivered_files, "{files} files, {after:?}");
    ensure!(
        packets + after.missed_files * EACH == scene.sent,
        "{packets} packets delivered, {after:?}, {} sent",
        scene.sent
    );
    Ok(())
}

fn is_capture(name: &str) -> bool {
    !name.ends_with(".sha256") && !name.ends_with(".manifest.json")
}
