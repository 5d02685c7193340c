//! Captures that name sinks.

use std::{collections::BTreeSet, path::Path};

use crate::support::{Data, Exporter, tree};

/// An exporter to two directories, of which `lab` gets only what names it.
fn two_sinks(data: &Data, archive: &Path, lab: &Path) -> Exporter {
    let sinks = format!(
        "[sink.archive]\ntype = 'store'\nurl = 'file://{}'\n\
         [sink.lab]\ntype = 'store'\nurl = 'file://{}'\ncaptures = 'named'\n",
        archive.display(),
        lab.display()
    );
    Exporter::new(data.path(), &sinks)
}

/// The captures of which a directory has files.
fn captures(directory: &Path) -> BTreeSet<String> {
    let keys = tree(directory).into_keys();
    keys.filter_map(|key| key.split('/').nth(3).map(str::to_owned))
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn files_go_to_the_sinks_that_their_capture_names_and_to_no_other() {
    let mut data = Data::new();
    data.export("web", &["lab"]);
    data.export("dns", &["archive", "lab"]);
    data.add("web", 3, 100);
    data.add("web", 3, 100);
    data.add("dns", 3, 100);
    data.add("plain", 3, 100);
    let (archive, lab) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let exporter = two_sinks(&data, archive.path(), lab.path());
    let mut running = exporter.run();
    running.until("all files", || {
        exporter.delivered("archive") == 2 && exporter.delivered("lab") == 3
    });
    assert_eq!(captures(archive.path()), set(&["dns", "plain"]));
    assert_eq!(captures(lab.path()), set(&["dns", "web"]));
    let web = &exporter.checkpoint("lab").unwrap().series["web/web"];
    assert_eq!((web.delivered, web.through), (2, 2));

    // What is for another sink neither waits here nor is missed.
    data.remove_oldest("web");
    data.add("web", 3, 100);
    running.until("the third file of web", || exporter.delivered("lab") == 4);
    let status = exporter.prints(&["status", "--output", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    for sink in status.as_array().unwrap() {
        assert_eq!(sink["waiting_files"], 0, "{sink}");
        assert_eq!(sink["missed_files"], 0, "{sink}");
    }
    let archive_has = exporter.checkpoint("archive").unwrap();
    assert!(!archive_has.series.contains_key("web/web"));

    // The names change: what there is of web goes to the archive as well.
    data.export("web", &["archive"]);
    running.until("web in the archive", || exporter.delivered("archive") == 4);
    assert_eq!(exporter.checkpoint("archive").unwrap().missed, 0);
    assert_eq!(captures(archive.path()), set(&["dns", "plain", "web"]));
}

#[test]
fn a_sink_that_is_not_configured_is_warned_about_once_and_stops_nothing() {
    let mut data = Data::new();
    data.export("web", &["nowhere", "archive"]);
    data.add("web", 3, 100);
    let (archive, lab) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let exporter = two_sinks(&data, archive.path(), lab.path());
    let mut running = exporter.run();
    running.until("a file", || exporter.delivered("archive") == 1);
    data.add("web", 3, 100);
    running.until("the next file", || exporter.delivered("archive") == 2);
    let (_, log) = running.terminate();
    let warnings = log.lines().filter(|line| line.contains("nowhere"));
    assert_eq!(warnings.count(), 1, "{log}");
    assert!(log.contains("[sink.nowhere]"), "{log}");
}
