//! The store fails, the exporter dies, the disk is full: every file arrives once, and none with other content.

use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use super::{assert_holds, s3};
use crate::support::{Data, Exporter, skipped, tree};

#[test]
fn a_store_that_answers_503_and_cuts_answers_gets_every_file_when_it_is_back() {
    let mut data = Data::new();
    for _ in 0..3 {
        data.add("web", 3, 100);
    }
    let (root, server, exporter) = s3(&data, "");
    server.faults().refuse_next(u64::MAX, 503);
    let mut running = exporter.run();
    running.until("attempts without success", || {
        let checkpoint = exporter.checkpoint("archive");
        checkpoint.is_some_and(|checkpoint| checkpoint.trouble.is_some())
    });
    let status = exporter.prints(&["status"]);
    assert!(status.contains("nothing is delivered since"), "{status}");
    assert!(status.contains("503"), "{status}");
    assert_eq!(exporter.delivered("archive"), 0);
    server.faults().none();
    server.faults().cut_next(3);
    running.until("all files", || exporter.delivered("archive") == 3);
    assert_holds(&root.path().join("bucket"), &data, "web");
    let log = running.kill();
    assert!(log.lines().count() < 20, "bounded log: {log}");
}

#[test]
fn an_exporter_killed_at_random_moments_loses_no_file_and_overwrites_none() {
    let mut data = Data::new();
    for number in 0..12 {
        data.add("web", 20 + number, 900);
    }
    data.add("web", 200, 60_000);
    let (root, server, exporter) = s3(&data, "");
    // Random moments: after a random number of requests.
    let kills = 12;
    for _ in 0..kills {
        let so_far = server.faults().count();
        let more = u64::from(getrandom::u32().unwrap() % 14);
        let mut running = exporter.run();
        running.until("some requests", || {
            server.faults().count() >= so_far + more || exporter.delivered("archive") == 13
        });
        running.kill();
    }
    let mut running = exporter.run();
    running.until("all files", || exporter.delivered("archive") >= 13);
    running.kill();
    assert_holds(&root.path().join("bucket"), &data, "web");
    // Each object was written at most once per life of the exporter, and never with other content: its claim is
    // checked against the digest above.
    let objects: BTreeSet<_> = tree(&root.path().join("bucket")).into_keys().collect();
    assert_eq!(objects.len(), 3 * 13, "{objects:?}");
}

#[test]
fn an_object_with_other_content_is_never_overwritten() {
    let mut data = Data::new();
    data.add("web", 3, 100);
    data.add("web", 300, 60_000);
    data.add("web", 5, 100);
    let (root, _server, exporter) = s3(&data, "");
    let bucket = root.path().join("bucket/c/n/s/web/2023-11-14");
    fs::create_dir_all(&bucket).unwrap();
    let first = bucket.join(&data.entries("web")[0].file);
    fs::write(&first, "of somebody else").unwrap();
    let second = bucket.join(format!("{}.sha256", data.entries("web")[1].file));
    fs::write(&second, format!("{}  x\n", "0".repeat(64))).unwrap();
    let mut running = exporter.run();
    running.until("the file without a conflict", || {
        exporter.delivered("archive") == 1
    });
    running.until("two files aside", || {
        exporter.checkpoint("archive").unwrap().series["web/web"]
            .aside
            .len()
            == 2
    });
    assert_eq!(fs::read(&first).unwrap(), b"of somebody else");
    assert!(!bucket.join(&data.entries("web")[1].file).exists());
    let status = exporter.prints(&["status"]);
    assert!(status.contains("not overwritten"), "{status}");
    // Somebody makes room, and says so.
    fs::remove_file(&first).unwrap();
    fs::remove_file(&second).unwrap();
    exporter.prints(&["retry", "archive"]);
    running.until("all files", || exporter.delivered("archive") == 3);
    assert_holds(&root.path().join("bucket"), &data, "web");
}

#[test]
fn a_sink_that_is_down_for_ever_stops_no_other_and_keeps_nothing_on_disk() {
    let mut data = Data::new();
    let target = tempfile::tempdir().unwrap();
    let sinks = format!(
        "[sink.down]\ntype = 'store'\nurl = 's3://bucket'\nendpoint = 'http://127.0.0.1:9'\nallow_http = true\n\
         [sink.up]\ntype = 'store'\nurl = 'file://{}'\n",
        target.path().display()
    );
    let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
    let exporter = Exporter::new(data.path(), &sinks).with_environment(keys);
    let mut running = exporter.run();
    for number in 1..=5 {
        data.add("web", 10, 1000);
        running.until("the sink that is up", || exporter.delivered("up") == number);
    }
    running.until("trouble", || {
        exporter
            .checkpoint("down")
            .is_some_and(|checkpoint| checkpoint.trouble.is_some())
    });
    // Retention removes what only one sink has.
    data.remove_oldest("web");
    data.remove_oldest("web");
    data.add("web", 10, 1000);
    running.until("the sink that is up", || exporter.delivered("up") == 6);
    let state: usize = tree(&exporter.state_dir()).values().map(Vec::len).sum();
    assert!(state < 8192, "only checkpoints: {state} bytes");
    let status: serde_json::Value =
        serde_json::from_str(&exporter.prints(&["status", "-o", "json"])).unwrap();
    assert_eq!(status[0]["waiting_files"], 4);
    assert_eq!(status[1]["waiting_files"], 0);
    assert_eq!(exporter.checkpoint("up").unwrap().missed, 0);
}

#[test]
fn a_file_that_vanishes_or_is_damaged_stops_no_other() {
    let mut data = Data::new();
    for _ in 0..4 {
        data.add("web", 3, 100);
    }
    // One is gone although the manifest has it, one has another content than its digest says.
    let path = |number: usize| data.of("web").join(&data.entries("web")[number].file);
    fs::remove_file(path(0)).unwrap();
    let mut content = fs::read(path(1)).unwrap();
    *content.last_mut().unwrap() ^= 1;
    fs::write(path(1), content).unwrap();
    let (_root, _server, exporter) = s3(&data, "");
    let mut running = exporter.run();
    running.until("the other files", || exporter.delivered("archive") == 2);
    running.until("both aside", || {
        exporter.checkpoint("archive").unwrap().series["web/web"]
            .aside
            .len()
            == 2
    });
    let status = exporter.prints(&["status"]);
    assert!(
        status.contains("not on disk") && status.contains("damaged"),
        "{status}"
    );
}

#[test]
fn a_full_disk_under_the_checkpoint_delays_and_loses_nothing() {
    static MOUNTS: AtomicU32 = AtomicU32::new(0);
    if !rustix::process::geteuid().is_root() {
        return skipped(
            "a_full_disk_under_the_checkpoint",
            "it needs root to mount a file system",
        );
    }
    let mut data = Data::new();
    data.add("web", 3, 100);
    let (root, _server, exporter) = s3(&data, "");
    fs::create_dir(exporter.state_dir()).unwrap();
    let mount = Mount::new(
        &exporter.state_dir(),
        MOUNTS.fetch_add(1, Ordering::Relaxed),
    );
    let Some(mount) = mount else {
        return skipped(
            "a_full_disk_under_the_checkpoint",
            "tmpfs cannot be mounted here",
        );
    };
    let filler = exporter.state_dir().join("filler");
    // Everything but the lock's inode is taken.
    let _ = fs::write(&filler, vec![0; 1 << 20]);
    let mut running = exporter.run();
    let log = running.log_handle();
    running.until("the disk is full", || {
        log().contains("checkpoint cannot be written")
    });
    fs::remove_file(&filler).unwrap();
    running.until("the file", || exporter.delivered("archive") == 1);
    data.add("web", 3, 100);
    running.until("the next file", || exporter.delivered("archive") == 2);
    assert_holds(&root.path().join("bucket"), &data, "web");
    running.kill();
    drop(mount);
}

#[test]
fn a_slow_store_gets_every_file() {
    let mut data = Data::new();
    data.add("web", 3, 100);
    let (root, server, exporter) = s3(&data, "");
    server.faults().delay(Duration::from_millis(300));
    let mut running = exporter.run();
    running.until("the file", || exporter.delivered("archive") == 1);
    assert_holds(&root.path().join("bucket"), &data, "web");
}

/// A small file system, unmounted when this is dropped.
struct Mount(std::path::PathBuf);

impl Mount {
    fn new(at: &std::path::Path, number: u32) -> Option<Self> {
        let source = format!("capture-export-{number}");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", &source])
            .arg(at)
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Self(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
    }
}
