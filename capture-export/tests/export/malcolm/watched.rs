//! A directory that Malcolm watches.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{assert_mixed, mixed};
use crate::support::{Data, Exporter, tree};

#[test]
fn a_watched_directory_never_shows_an_incomplete_file() {
    let mut data = Data::new();
    mixed(&mut data);
    let target = tempfile::tempdir().unwrap();
    let sink = format!(
        "[sink.malcolm]\ntype = 'malcolm'\nurl = 'file://{}'\ntags = ['lab']\n",
        target.path().display()
    );
    let exporter = Exporter::new(data.path(), &sink);
    // Left by an exporter that died.
    fs::create_dir_all(exporter.state_dir().join("sinks/malcolm")).unwrap();
    fs::write(exporter.state_dir().join("sinks/malcolm/converted-x"), "x").unwrap();
    let mut running = exporter.run();
    running.until("three files", || {
        for entry in fs::read_dir(target.path()).unwrap().flatten() {
            if entry.file_type().unwrap().is_file() {
                let mode = entry.metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o640);
                super::pcap(&fs::read(entry.path()).unwrap());
            }
        }
        exporter.delivered("malcolm") == 3
    });
    assert_mixed(&tree(target.path()));
    assert!(tree(&exporter.state_dir().join("sinks/malcolm")).is_empty());
}
