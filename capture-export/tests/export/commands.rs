//! Commands of a person: deliver by hand, skip, retry, status, configuration.

use std::fs;

use crate::support::{Data, Exporter, START, tree, write_capture};

#[test]
fn a_file_is_delivered_by_hand_and_a_second_time_without_harm() {
    let directory = tempfile::tempdir().unwrap();
    let target = tempfile::tempdir().unwrap();
    let file = directory.path().join("trace.pcapng.zst");
    write_capture(&file, START, 7, 100);
    let exporter = Exporter::new(directory.path(), "");
    let url = format!("file://{}", target.path().display());
    for _ in 0..2 {
        let words = ["deliver", "store", &url, file.to_str().unwrap()];
        let printed = exporter.prints(&words);
        assert!(printed.contains("trace.pcapng.zst, verified"), "{printed}");
    }
    let stored = tree(target.path());
    assert_eq!(stored.len(), 3);
    let line = &stored["c/n/s/trace/2023-11-14/trace.pcapng.zst.manifest.json"];
    let line: serde_json::Value = serde_json::from_slice(line).unwrap();
    assert_eq!(line["packets"], 7);
    // Other content under the same name is rejected, with an exit status of its own.
    write_capture(&file, START, 8, 100);
    let output = exporter.output(&["deliver", "store", &url, file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(6));
    assert_eq!(tree(target.path()), stored);
    let output = exporter.output(&["deliver", "store", &url, "/nonexistent.pcap"]);
    assert_eq!(output.status.code(), Some(1));
    let output = exporter.output(&["deliver", "sink", "nope", file.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no sink \"nope\""));
}

#[test]
fn a_file_that_waits_can_be_skipped_with_a_reason() {
    let mut data = Data::new();
    data.add("web", 3, 100);
    data.add("web", 3, 100);
    let target = tempfile::tempdir().unwrap();
    let missing = target.path().join("not-mounted");
    let sink = format!(
        "[sink.archive]\ntype = 'store'\nurl = 'file://{}'\n",
        missing.display()
    );
    let exporter = Exporter::new(data.path(), &sink);
    let mut running = exporter.run();
    running.until("trouble", || {
        exporter
            .checkpoint("archive")
            .is_some_and(|checkpoint| checkpoint.trouble.is_some())
    });
    let first = data.entries("web")[0].file.clone();
    exporter.prints(&["skip", "archive", &first, "--reason", "of a test machine"]);
    running.until("the skip", || {
        let checkpoint = exporter.checkpoint("archive").unwrap();
        checkpoint
            .series
            .get("web/web")
            .is_some_and(|series| !series.aside.is_empty())
    });
    assert!(!missing.exists(), "what is not mounted is not made");
    fs::create_dir(&missing).unwrap();
    running.until("the other file", || exporter.delivered("archive") == 1);
    let status = exporter.prints(&["status"]);
    assert!(status.contains("of a test machine"), "{status}");
    assert!(!tree(&missing).keys().any(|key| key.contains(&first)));
    let output = exporter.output(&["skip", "archive", &first]);
    assert_eq!(output.status.code(), Some(2), "a reason is required");
}

#[test]
fn the_printed_configuration_is_one_that_can_be_read_again() {
    let data = Data::new();
    let sink = "[sink.archive]\ntype = 'store'\nurl = 's3://bucket/x'\ntags = { team = 'net' }\n";
    let exporter = Exporter::new(data.path(), sink);
    let printed = exporter.prints(&["config", "print"]);
    fs::write(&exporter.config, &printed).unwrap();
    assert_eq!(exporter.prints(&["config", "print"]), printed);
    assert!(printed.contains("team"), "{printed}");
}

#[test]
fn two_exporters_do_not_share_a_state_directory() {
    let data = Data::new();
    let exporter = Exporter::new(
        data.path(),
        "[sink.a]\ntype = 'store'\nurl = 'file:///tmp'\n",
    );
    let mut running = exporter.run();
    let log = running.log_handle();
    running.until("it runs", || log().contains("follows"));
    let output = exporter.output(&["run"]);
    let denied = String::from_utf8_lossy(&output.stderr);
    assert!(
        denied.contains("another capture-export uses it"),
        "{denied}"
    );
}
