//! Files reach the store as they are.

use super::{assert_holds, s3};
use crate::support::{Data, Exporter, tree};

#[test]
fn each_finished_file_reaches_a_directory_with_its_digest_and_manifest_line() {
    let mut data = Data::new();
    data.add("web", 3, 100);
    data.add("web", 4, 100);
    let target = tempfile::tempdir().unwrap();
    let sink = format!(
        "[sink.archive]\ntype = 'store'\nurl = 'file://{}'\n",
        target.path().display()
    );
    let exporter = Exporter::new(data.path(), &sink);
    let mut running = exporter.run();
    running.until("two files", || exporter.delivered("archive") == 2);
    data.add("dns", 1, 60);
    running.until("a file of another capture", || {
        exporter.delivered("archive") == 3
    });
    assert_holds(target.path(), &data, "web");
    assert_holds(target.path(), &data, "dns");
    assert_eq!(tree(target.path()).len(), 9);
    let (status, log) = running.terminate();
    assert!(status.success(), "{log}");
    let checkpoint = exporter.checkpoint("archive").unwrap();
    assert!(checkpoint.verified);
    assert_eq!(checkpoint.delivered.packets, 8);
}

#[test]
fn each_finished_file_reaches_an_s3_bucket_whatever_its_size() {
    let mut data = Data::new();
    data.add("web", 3, 100);
    // More than two parts of an upload.
    data.add("web", 300, 60_000);
    let (root, server, exporter) = s3(&data, "");
    let mut running = exporter.run();
    running.until("two files", || exporter.delivered("archive") == 2);
    assert_holds(&root.path().join("bucket"), &data, "web");
    let parts = server.faults().requests();
    let parts = parts
        .iter()
        .filter(|request| request.query.contains("partNumber"));
    assert_eq!(parts.count(), 3);
}

#[test]
fn memory_is_bounded_whatever_the_size_of_a_file() {
    let mut data = Data::new();
    // 90 MB.
    data.add("web", 1500, 60_000);
    let (root, _server, exporter) = s3(&data, "");
    let mut running = exporter.run();
    let status = format!("/proc/{}/status", running.id());
    let mut most = 0_u64;
    running.until("the file", || {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let now = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
        most = most.max(now.unwrap_or(0));
        exporter.delivered("archive") == 1
    });
    assert!(most > 0 && most < 64 << 10, "{most} KiB");
    assert_holds(&root.path().join("bucket"), &data, "web");
}

#[test]
fn a_restart_delivers_nothing_twice_and_what_came_meanwhile() {
    let mut data = Data::new();
    data.add("web", 3, 100);
    let (root, server, exporter) = s3(&data, "");
    let mut running = exporter.run();
    running.until("a file", || exporter.delivered("archive") == 1);
    running.kill();
    data.add("web", 3, 100);
    let before = server.faults().requests().len();
    let mut running = exporter.run();
    running.until("the next file", || exporter.delivered("archive") == 2);
    let requests = server.faults().requests().split_off(before);
    let first = &data.entries("web")[0].file;
    assert!(requests.iter().all(|request| !request.path.contains(first)));
    assert_holds(&root.path().join("bucket"), &data, "web");
}
