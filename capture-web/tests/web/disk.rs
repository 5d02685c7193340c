//! A disk that really fills: the answer says so, nothing stays half-written, and everything goes on when there is room.

use std::{
    fs::{self, File},
    io::Write as _,
    path::PathBuf,
};

use capture_tests::{gate, mount::Tmpfs};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    bad::leaves_nothing,
    capture::{long, syns},
    server::{Server, until},
};

/// A small disk, which something else can fill.
struct Disk(Tmpfs);

impl Disk {
    /// `None`: this process may not mount one, which has been reported.
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            gate::cannot_run("this test needs root for a small file system").unwrap();
            return None;
        }
        Some(Self(Tmpfs::new("size=16m").unwrap()))
    }

    fn server(&self) -> Server {
        Server::on(&self.0.path().join("data"), &[("CAPTURE_WEB_WORKERS", "1")])
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        let mut ballast = File::options()
            .append(true)
            .create(true)
            .open(self.ballast())
            .unwrap();
        for piece in [1 << 16, 1 << 12, 1] {
            while ballast.write_all(&vec![7; piece]).is_ok() {}
        }
    }

    fn empty(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

#[tokio::test]
async fn an_upload_that_does_not_fit_is_refused_and_leaves_nothing() {
    let Some(disk) = Disk::new() else {
        return;
    };
    let server = disk.server();
    let refused = server.upload(&[("large.pcap", syns(300_000))]).await;
    says_that_the_disk_is_full(refused).await;
    leaves_nothing(&server).await;
    let id = server.task("small.pcap", syns(50)).await;
    assert_eq!(server.ended(&id).await["packets"], 50);
}

async fn says_that_the_disk_is_full(response: reqwest::Response) {
    assert_eq!(response.status(), 507);
    assert!(response.headers().contains_key("retry-after"));
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["detail"], "the disk is full", "{problem}");
    assert!(!problem["fix"].as_str().unwrap().is_empty(), "{problem}");
}

#[tokio::test]
async fn on_a_full_disk_reports_are_read_and_deleted_and_uploads_wait_for_room() {
    let Some(disk) = Disk::new() else {
        return;
    };
    let mut server = disk.server();
    let kept = server.task("kept.pcap", syns(50)).await;
    let deleted = server.task("deleted.pcap", syns(5_000)).await;
    for id in [&kept, &deleted] {
        assert_eq!(server.ended(id).await["state"], "done");
    }
    disk.fill();
    // Until the database has no room in its journal either.
    until("an upload is refused", async || {
        let refused = server.upload(&[("more.pcap", syns(500))]).await;
        says_that_the_disk_is_full(refused).await;
        disk.fill();
        let log = server.log();
        log.contains("no room for the database")
    })
    .await;
    let report = server.json(&format!("/api/v1/reports/{kept}/report")).await;
    assert_eq!(report["inventory"]["packets"], 50);
    let list = server.json("/api/v1/reports").await;
    assert_eq!(list["reports"].as_array().unwrap().len(), 2);

    let path = format!("/api/v1/reports/{deleted}");
    let gone = server.delete(&path).send().await.unwrap();
    assert_eq!(gone.status(), 204, "a report can be deleted to make room");
    until("its files are gone", async || server.stored() == [&*kept]).await;

    disk.empty();
    let id = server.task("more.pcap", syns(500)).await;
    assert_eq!(server.ended(&id).await["packets"], 500);
    assert!(server.end(), "{}", server.log());
    let server = disk.server();
    let list = server.json("/api/v1/reports").await;
    assert_eq!(list["reports"].as_array().unwrap().len(), 2, "{list}");
}

#[tokio::test]
async fn a_report_that_does_not_fit_fails_with_the_reason_and_leaves_nothing() {
    let Some(disk) = Disk::new() else {
        return;
    };
    let server = disk.server();
    let id = server.task("long.pcap.gz", long(3)).await;
    until("a worker reads it", async || !server.workers().is_empty()).await;
    let worker = i32::try_from(server.workers()[0]).unwrap();
    let worker = Pid::from_raw(worker).unwrap();
    kill_process(worker, Signal::STOP).unwrap();
    disk.fill();
    kill_process(worker, Signal::CONT).unwrap();
    until("the worker has ended", async || server.workers().is_empty()).await;
    disk.empty();
    let task = server.ended(&id).await;
    assert_eq!(task["state"], "failed", "{task}");
    let problem = &task["problem"];
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("cannot be written") && detail.contains("No space"),
        "{problem}"
    );
    assert!(
        problem["fix"].as_str().unwrap().contains("room"),
        "{problem}"
    );
    leaves_nothing(&server).await;
    let id = server.task("small.pcap", syns(50)).await;
    assert_eq!(server.ended(&id).await["packets"], 50);
}
