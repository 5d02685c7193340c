//! How the server is operated: metrics, health, settings, its end.

use std::process::Command;

use crate::{
    capture::syns,
    server::{Server, until},
};

#[tokio::test]
async fn metrics_count_what_happened_and_readiness_says_what_is_missing() {
    let server = Server::start(&[("CAPTURE_WEB_METRICS", "127.0.0.1:0")]);
    let said = "metrics at ";
    until("the metrics are served", async || {
        server.log().contains(said)
    })
    .await;
    let log = server.log();
    let url = log.split(said).nth(1).unwrap().lines().next().unwrap();
    let get = async |url: &str| {
        let response = server.client.get(url).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    };
    let id = server.task("a.pcap", syns(7)).await;
    server.ended(&id).await;
    server.upload(&[("a.pdf", b"%PDF".to_vec())]).await;
    until("everything is counted", async || {
        let (_, text) = get(url).await;
        [
            "capture_web_uploads_total{result=\"accepted\"} 1\n",
            "capture_web_uploads_total{result=\"refused\"} 1\n",
            "capture_web_analyses_total{result=\"done\"} 1\n",
            "capture_web_analysed_packets_total 7\n",
            "capture_web_queue_waiting 0\n",
        ]
        .iter()
        .all(|line| text.contains(line))
    })
    .await;
    let (status, text) = get(&url.replace("/metrics", "/readyz")).await;
    assert_eq!((status.as_u16(), &*text), (200, "ok\n"));
    std::fs::remove_dir_all(server.data().join("files")).unwrap();
    let (status, text) = get(&url.replace("/metrics", "/readyz")).await;
    assert_eq!(status, 503);
    assert!(text.contains("storage"), "{text}");
}

#[test]
fn settings_in_force_are_printed_with_where_they_came_from() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("web.toml");
    std::fs::write(&file, "max_queue_size = 9\nworkers = 3\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_capture-web"))
        .args(["config", "print", "--lease", "7s", "--config"])
        .arg(&file)
        .env_clear()
        .env("MAX_QUEUE_SIZE", "8")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "max_queue_size = \"8\"  # environment MAX_QUEUE_SIZE".to_owned(),
        format!("workers = \"3\"  # file {}", file.display()),
        "lease = \"7s\"  # flag --lease".to_owned(),
        "listen = \"127.0.0.1:8000\"  # default".to_owned(),
    ] {
        assert!(text.contains(&line), "{line}: {text}");
    }
}

#[test]
fn an_address_for_others_is_refused_without_tls_and_accounts() {
    let output = Command::new(env!("CARGO_BIN_EXE_capture-web"))
        .args(["--listen", "0.0.0.0:0"])
        .env_clear()
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("tls_certificate") && text.contains("accounts"),
        "{text}"
    );
}

#[tokio::test]
async fn a_server_that_is_told_to_end_gives_its_task_back_and_another_does_it() {
    let data = tempfile::tempdir().unwrap();
    let settings = [("CAPTURE_WEB_LEASE", "600s"), ("CAPTURE_WEB_WORKERS", "1")];
    let mut first = Server::on(data.path(), &settings);
    let id = first.task("a.pcap", syns(60_000)).await;
    until("it is claimed", async || {
        let task = first.json(&format!("/api/v1/tasks/{id}")).await;
        task["state"] != "queued"
    })
    .await;
    // A page that is open keeps nobody waiting.
    let events = first.get(&format!("/api/v1/tasks/{id}/events")).send();
    let events = tokio::spawn(events.await.unwrap().text());
    assert!(first.end(), "{}", first.log());
    assert!(!first.log().contains("in the middle"), "{}", first.log());
    assert!(events.await.unwrap().unwrap().contains("event: task"));
    let second = Server::on(data.path(), &settings);
    let task = second.ended(&id).await;
    assert_eq!(task["state"], "done", "{task}");
    assert_eq!(task["packets"], 60_000);
}
