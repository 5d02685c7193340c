//! The store as a sink: a directory, a real S3 server, Azurite, a server of Google's XML API.

mod azure;
mod delivery;
mod faults;
mod google;
mod hostile;
mod pull;

use std::path::Path;

use object_server::ObjectServer;

use crate::support::{Data, Exporter};

/// The objects that each file of the data must have become below a directory: data, claim and manifest line.
fn assert_holds(root: &Path, data: &Data, capture: &str) {
    for entry in data.entries(capture) {
        let key = format!("c/n/s/{capture}/2023-11-14/{}", entry.file);
        let object = std::fs::read(root.join(&key)).unwrap();
        let file = std::fs::read(data.of(capture).join(&entry.file)).unwrap();
        assert!(object == file, "{key} has other content");
        let claim = std::fs::read_to_string(root.join(format!("{key}.sha256"))).unwrap();
        assert_eq!(
            claim,
            format!(
                "{}  {}\n",
                entry.digest.as_ref().unwrap().hexadecimal(),
                entry.file
            )
        );
        let line = std::fs::read(root.join(format!("{key}.manifest.json"))).unwrap();
        let line: capture_export::store::ObjectLine = serde_json::from_slice(&line).unwrap();
        assert_eq!((line.key.as_str(), &line.entry), (key.as_str(), entry));
    }
}

/// A server with a bucket, and an exporter to it.
fn s3(data: &Data, more: &str) -> (tempfile::TempDir, ObjectServer, Exporter) {
    let root = tempfile::tempdir().unwrap();
    let server = ObjectServer::start(root.path(), &["bucket"]).unwrap();
    let sink = format!("[sink.archive]\ntype = 'store'\nurl = 's3://bucket'\n{more}");
    let exporter = Exporter::new(data.path(), &sink).with_environment(server.environment());
    (root, server, exporter)
}
