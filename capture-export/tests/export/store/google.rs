//! Google Cloud Storage, by a server of its XML API: no emulator that can be installed has conditions and uploads in parts
//! of that API.

use std::{path::Path, process::Command};

use object_server::{Account, ObjectServer};
use serde_json::json;

use super::assert_holds;
use crate::support::{Data, Exporter, skipped, tree};

const EMAIL: &str = "exporter@project.iam.gserviceaccount.com";

/// A server with the bucket `bucket`, and the file of a service account.
struct Google {
    root: tempfile::TempDir,
    server: ObjectServer,
}

impl Google {
    fn start(test: &str) -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        let keys = root.path().join("keys");
        std::fs::create_dir(&keys).unwrap();
        let Some(public_key) = make_key(&keys, "account") else {
            skipped(test, "openssl is missing, which makes RSA keys");
            return None;
        };
        let account = Account {
            email: EMAIL.to_owned(),
            public_key,
        };
        let server = ObjectServer::start_google(root.path(), &["bucket"], account).unwrap();
        Some(Self { root, server })
    }

    fn exporter(&self, data: &Data) -> Exporter {
        let sink = format!(
            "[sink.archive]\ntype = 'store'\nurl = 'gs://bucket'\nendpoint = '{}'\nallow_http = true\n",
            self.server.url()
        );
        let file = self.root.path().join("keys/account.json");
        Exporter::new(data.path(), &sink)
            .with_environment([("GOOGLE_SERVICE_ACCOUNT", file.to_str().unwrap())])
    }

    fn bucket(&self) -> std::path::PathBuf {
        self.root.path().join("bucket")
    }
}

/// Makes a key and `NAME.json` with it, as Google hands it out; returns the public part.
fn make_key(directory: &Path, name: &str) -> Option<Vec<u8>> {
    let openssl = |words: &[&str]| {
        let output = Command::new("openssl").args(words).output().ok()?;
        assert!(output.status.success(), "{output:?}");
        Some(output.stdout)
    };
    let pem = openssl(&[
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
    ])?;
    let file = directory.join(format!("{name}.pem"));
    std::fs::write(&file, &pem).unwrap();
    let account = json!({
        "type": "service_account",
        "client_email": EMAIL,
        "private_key_id": "1",
        "private_key": String::from_utf8(pem).unwrap(),
    });
    std::fs::write(directory.join(format!("{name}.json")), account.to_string()).unwrap();
    let file = file.to_str().unwrap();
    openssl(&["rsa", "-in", file, "-RSAPublicKey_out", "-outform", "DER"])
}

#[test]
fn files_reach_google_cloud_storage_and_come_back() {
    let mut data = Data::new();
    data.add("web", 3, 100);
    // More than two parts of an upload.
    data.add("web", 300, 60_000);
    let Some(google) = Google::start("files_reach_google_cloud_storage_and_come_back") else {
        return;
    };
    let exporter = google.exporter(&data);
    let mut running = exporter.run();
    running.until("both files", || exporter.delivered("archive") == 2);
    assert!(exporter.checkpoint("archive").unwrap().verified);
    running.kill();
    assert_holds(&google.bucket(), &data, "web");

    // The name is claimed first, with a condition, and the line of the manifest comes last.
    let requests = google.server.faults().requests();
    let written: Vec<_> = requests
        .iter()
        .filter(|request| request.method != "GET" && request.method != "HEAD")
        .map(|request| (request.path.as_str(), request.query.as_str()))
        .collect();
    let last = |(path, _): &&(&str, &str)| path.ends_with("manifest%2Ejson");
    assert!(written[0].0.ends_with("sha256"), "{written:?}");
    assert!(last(&written.last().unwrap()), "{written:?}");
    let parts = written
        .iter()
        .filter(|(_, query)| query.contains("partNumber="));
    assert_eq!(parts.count(), 3, "{written:?}");

    let into = exporter.state.path().join("files");
    let endpoint = google.server.url();
    exporter.prints(&[
        "pull",
        "gs://bucket",
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
        let name = format!("n/{}", entry.file);
        assert!(back[&name] == content, "{}", entry.file);
    }
}

#[test]
fn an_exporter_to_google_that_is_killed_loses_no_file_and_overwrites_none() {
    let test = "an_exporter_to_google_that_is_killed_loses_no_file_and_overwrites_none";
    let Some(google) = Google::start(test) else {
        return;
    };
    let mut data = Data::new();
    for number in 0..6 {
        data.add("web", 20 + number, 900);
    }
    data.add("web", 300, 60_000);
    // Somebody else has the name of the second file.
    let directory = google.bucket().join("c/n/s/web/2023-11-14");
    std::fs::create_dir_all(&directory).unwrap();
    let taken = directory.join(format!("{}.sha256", data.entries("web")[1].file));
    std::fs::write(&taken, "of somebody else").unwrap();
    let exporter = google.exporter(&data);
    for _ in 0..8 {
        let so_far = google.server.faults().count();
        let more = u64::from(getrandom::u32().unwrap() % 12);
        let mut running = exporter.run();
        running.until("some requests", || {
            google.server.faults().count() >= so_far + more || exporter.delivered("archive") == 6
        });
        running.kill();
    }
    let mut running = exporter.run();
    running.until("all other files", || exporter.delivered("archive") >= 6);
    let aside = exporter.checkpoint("archive").unwrap().series["web/web"]
        .aside
        .clone();
    assert_eq!(aside.keys().copied().collect::<Vec<_>>(), [2]);
    assert_eq!(std::fs::read(&taken).unwrap(), b"of somebody else");
    std::fs::remove_file(&taken).unwrap();
    exporter.prints(&["retry", "archive"]);
    running.until("all files", || exporter.delivered("archive") >= 7);
    running.kill();
    assert_holds(&google.bucket(), &data, "web");
    let objects = tree(&google.bucket());
    assert_eq!(objects.len(), 3 * 7, "{:?}", objects.keys());
}

#[test]
fn a_key_that_google_does_not_know_waits_until_it_is_replaced() {
    let Some(google) = Google::start("a_key_that_google_does_not_know_waits_until_it_is_replaced")
    else {
        return;
    };
    let mut data = Data::new();
    data.add("web", 3, 100);
    let keys = google.root.path().join("keys");
    let good = std::fs::read(keys.join("account.json")).unwrap();
    make_key(&keys, "account").unwrap();
    let file = google.root.path().join("credentials");
    let name = |account: &str| {
        let path = keys.join(account);
        std::fs::write(
            &file,
            format!("GOOGLE_SERVICE_ACCOUNT={}\n", path.display()),
        )
        .unwrap();
    };
    name("account.json");
    let sink = format!(
        "[sink.archive]\ntype = 'store'\nurl = 'gs://bucket'\nendpoint = '{}'\nallow_http = true\n\
         credentials = '{}'\n",
        google.server.url(),
        file.display()
    );
    let exporter = Exporter::new(data.path(), &sink);
    let mut running = exporter.run();
    running.until("the reason", || {
        exporter.prints(&["status"]).contains("401")
    });
    assert_eq!(exporter.delivered("archive"), 0);
    std::fs::write(keys.join("renewed.json"), good).unwrap();
    name("renewed.json");
    running.until("the file", || exporter.delivered("archive") == 1);
    let log = running.kill();
    assert!(!log.contains("PRIVATE KEY"), "{log}");
    assert_holds(&google.bucket(), &data, "web");
}
