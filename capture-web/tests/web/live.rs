//! Live captures, with the real daemon. It is the program in the variable CAPTURED, as in the other tests.

use std::{
    net::UdpSocket,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use capture_tests::gate;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    capture::packets,
    server::{Server, until},
};

/// A running daemon, which ends with its guard.
struct Daemon {
    child: Child,
    directory: TempDir,
}

impl Daemon {
    /// Starts one, if this machine can.
    async fn start() -> Option<Self> {
        let program = std::env::var_os("CAPTURED");
        if program.is_none() {
            gate::cannot_run("CAPTURED does not name the daemon's program").unwrap();
        }
        if !gate::may_load_bpf().unwrap() {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let child = Command::new(program?)
            .arg("serve")
            .env_clear()
            .env("CAPTURED_SOCKET", directory.path().join("socket"))
            .env("CAPTURED_ABSTRACT_SOCKET", "")
            .env("CAPTURED_STATE_DIR", directory.path().join("state"))
            .env("CAPTURED_DATA_DIR", directory.path().join("data"))
            .env("CAPTURED_METRICS_LISTEN", "")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Self { child, directory };
        let socket = daemon.socket();
        until("the daemon listens", async || socket.exists()).await;
        Some(daemon)
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }
}

impl Drop for Daemon {
    /// With the signal that lets it detach its programs.
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

fn server(daemon: &Daemon) -> Server {
    let socket = daemon.socket();
    Server::start(&[
        ("CAPTURE_WEB_LIVE", "true"),
        ("CAPTURE_WEB_SOCKET", socket.to_str().unwrap()),
    ])
}

#[tokio::test]
async fn a_capture_is_started_counted_changed_stopped_downloaded_and_analysed() {
    let Some(daemon) = Daemon::start().await else {
        return;
    };
    let server = server(&daemon);
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = receiver.local_addr().unwrap();
    let expression = format!("udp and port {}", to.port());
    let start = json!({
        "name": "test",
        "recording": { "interfaces": ["lo"], "expression": expression, "compression": "none" },
        "limits": { "seconds": 120 },
    });
    let started = server.post("/api/v1/captures").json(&start).send().await;
    let started = started.unwrap();
    assert_eq!(started.status(), 201, "{}", started.text().await.unwrap());
    let again = server.post("/api/v1/captures").json(&start).send().await;
    assert_eq!(again.unwrap().status(), 409, "the name is taken");

    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..20 {
        sender.send_to(b"hello", to).unwrap();
    }
    // Each packet passes loopback twice, as sent and as received.
    let last = counted(&server, 20).await;
    let ledger = &last["capture"]["ledger"];
    assert_eq!(ledger["lost"], 0, "{ledger}");
    let sum = |parts: &[&str]| {
        parts
            .iter()
            .map(|part| ledger[part].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(sum(&["seen"]), sum(&["filtered", "matched"]), "{ledger}");
    assert_eq!(
        last["capture"]["recording"]["expression"],
        expression.as_str()
    );

    let change = server
        .client
        .patch(format!("{}/api/v1/captures/test", server.url))
        .json(&json!({ "limits": { "seconds": 90 } }));
    let changed: Value = change.send().await.unwrap().json().await.unwrap();
    assert_eq!(changed["nodes"][0]["capture"]["limits"]["seconds"], 90);
    let stopped = server.post("/api/v1/captures/test/stop").send().await;
    let stopped: Value = stopped.unwrap().json().await.unwrap();
    let written = stopped["nodes"][0]["capture"]["ledger"]["written"]
        .as_u64()
        .unwrap();
    assert_eq!(stopped["nodes"][0]["capture"]["state"], "completed");

    let files = server.json("/api/v1/captures/test/files").await;
    let file = &files["nodes"][0]["files"][0];
    let path = format!(
        "/api/v1/captures/test/files/{}",
        file["name"].as_str().unwrap()
    );
    let whole = server
        .get(&path)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!(whole.len() as u64, file["bytes"].as_u64().unwrap());
    let rest = server.get(&path).header("range", "bytes=100-").send().await;
    let rest = rest.unwrap();
    assert_eq!(rest.status(), 206);
    assert_eq!(rest.bytes().await.unwrap(), whole[100..]);
    let merged = server.get("/api/v1/captures/test/merged").send().await;
    let merged = merged.unwrap().bytes().await.unwrap();
    assert_eq!(packets(&merged), written);

    let analysis = server.post("/api/v1/captures/test/analyze").send().await;
    let accepted: Value = analysis.unwrap().json().await.unwrap();
    let task = server.ended(accepted["task_id"].as_str().unwrap()).await;
    assert_eq!(task["packets"], written, "{task}");
    let deleted = server.delete("/api/v1/captures/test").send().await.unwrap();
    assert_eq!(deleted.status(), 200);
    let gone = server.get("/api/v1/captures/test").send().await.unwrap();
    assert_eq!(gone.status(), 404);
}

/// The first event with this many packets written.
async fn counted(server: &Server, least: u64) -> Value {
    let is_it = |event: &Value| event["capture"]["ledger"]["written"].as_u64() >= Some(least);
    server.event("/api/v1/captures/events", is_it).await
}

#[tokio::test]
async fn an_expression_is_checked_by_the_daemon_and_a_wrong_field_is_named() {
    let Some(daemon) = Daemon::start().await else {
        return;
    };
    let server = server(&daemon);
    let check = async |expression: &str| {
        let body = json!({ "expression": expression });
        let checked = server
            .post("/api/v1/expression/check")
            .json(&body)
            .send()
            .await;
        checked.unwrap().json::<Value>().await.unwrap()
    };
    assert_eq!(check("tcp port 80").await["valid"], true);
    let wrong = check("tcp prot 80").await;
    assert_eq!(wrong["valid"], false);
    assert!(
        wrong["problem"].as_str().unwrap().contains("prot"),
        "{wrong}"
    );
    let start = json!({ "name": "x", "recording": { "interfaces": ["lo"], "direction": "up" } });
    let refused = server
        .post("/api/v1/captures")
        .json(&start)
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 400);
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(
        (&problem["field"], &problem["value"]),
        (&"direction".into(), &"up".into())
    );
}

#[tokio::test]
async fn without_a_daemon_the_page_says_what_to_do() {
    let server = Server::start(&[
        ("CAPTURE_WEB_LIVE", "true"),
        ("CAPTURE_WEB_SOCKET", "/nonexistent/socket"),
    ]);
    let captures = server.json("/api/v1/captures").await;
    let fix = captures["problems"]["local"]["fix"].as_str().unwrap();
    assert!(fix.contains("captured"), "{fix}");
    let nodes = server.json("/api/v1/nodes").await;
    assert_eq!(nodes["nodes"][0]["problem"]["status"], 503);
}
