//! Azure Blob storage, by Azurite, Microsoft's own emulator.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{Data, Exporter, skipped, tree};

/// The account and key that Azurite has unless it is told otherwise; both are public.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A running Azurite, killed when this is dropped.
struct Azurite {
    child: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Azurite {
    fn start() -> Option<Self> {
        let Some(program) = program() else {
            skipped(
                "store::azure",
                "CAPTURE_TEST_AZURITE names no program; `cargo xtask test` installs azurite and sets it",
            );
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let child = Command::new("node")
            .arg(program)
            // It would call its maker otherwise.
            .arg("--disableTelemetry")
            .args([
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                "0",
                "--skipApiVersionCheck",
            ])
            .arg("--location")
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&log).unwrap())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            skipped("store::azure", "node is missing");
            return None;
        };
        let mut azurite = Self {
            child,
            port: 0,
            _directory: directory,
        };
        let end = Instant::now() + Duration::from_secs(60);
        while azurite.port == 0 {
            assert!(Instant::now() < end, "azurite does not listen");
            std::thread::sleep(Duration::from_millis(50));
            let said = std::fs::read_to_string(&log).unwrap();
            let after = said.split_once("successfully listens on http://127.0.0.1:");
            let port = after.and_then(|(_, after)| after.lines().next());
            azurite.port = port.and_then(|port| port.trim().parse().ok()).unwrap_or(0);
        }
        Some(azurite)
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where `cargo xtask test` says that it is.
fn program() -> Option<PathBuf> {
    let program = PathBuf::from(std::env::var_os("CAPTURE_TEST_AZURITE")?);
    program.is_file().then_some(program)
}

#[test]
fn files_reach_azure_blob_storage_and_come_back() {
    let mut data = Data::new();
    data.add("web", 3, 100);
    // More than two parts of an upload.
    data.add("web", 300, 60_000);
    let Some(azurite) = Azurite::start() else {
        return;
    };
    let endpoint = format!("http://127.0.0.1:{}/{ACCOUNT}", azurite.port);
    let sink = format!(
        "[sink.archive]\ntype = 'store'\nurl = 'az://captures/site'\nendpoint = '{endpoint}'\nallow_http = true\n"
    );
    let variables = [
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
        ("AZURE_STORAGE_ACCOUNT_KEY", KEY),
    ];
    let exporter = Exporter::new(data.path(), &sink).with_environment(variables);
    let mut running = exporter.run();
    running.until("the container is missing", || {
        exporter
            .checkpoint("archive")
            .is_some_and(|checkpoint| checkpoint.trouble.is_some())
    });
    make_container(&endpoint);
    running.until("both files", || exporter.delivered("archive") == 2);
    assert!(exporter.checkpoint("archive").unwrap().verified);
    running.kill();
    let into = exporter.state.path().join("files");
    exporter.prints(&[
        "pull",
        "az://captures",
        "--endpoint",
        &endpoint,
        "--allow-http",
        "web",
        "--into",
        into.to_str().unwrap(),
    ]);
    let back = tree(&into);
    for entry in data.entries("web") {
        let content = std::fs::read(data.of("web").join(&entry.file)).unwrap();
        assert!(
            back[&format!("n/{}", entry.file)] == content,
            "{}",
            entry.file
        );
    }
}

/// Makes the container, as an administrator does.
fn make_container(endpoint: &str) {
    let script = "
        const { createHmac } = require('crypto');
        const [endpoint, account, key] = process.argv.slice(1);
        const date = new Date().toUTCString(), version = '2021-08-06';
        const path = new URL(endpoint).pathname + '/captures';
        const text = 'PUT\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\nx-ms-date:' + date + '\\nx-ms-version:' + version
            + '\\n/' + account + path + '\\nrestype:container';
        const sign = createHmac('sha256', Buffer.from(key, 'base64')).update(text, 'utf8').digest('base64');
        fetch(endpoint + '/captures?restype=container', {
            method: 'PUT',
            headers: { 'x-ms-date': date, 'x-ms-version': version, 'Authorization': 'SharedKey ' + account + ':' + sign },
        }).then(async answer => { if (!answer.ok) { console.error(await answer.text()); process.exit(1); } });";
    let output = Command::new("node")
        .args(["-e", script, "--", endpoint, ACCOUNT, KEY])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
