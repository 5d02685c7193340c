//! Bad input and bad clients: a clear answer, bounded cost, nothing left behind.

use std::io::Write as _;

use serde_json::Value;

use crate::{
    capture::syns,
    server::{Server, until},
};

/// A refused upload has left no file and no place in the queue.
pub(crate) async fn leaves_nothing(server: &Server) {
    until("no file stays", async || server.stored().is_empty()).await;
    until("no place stays taken", async || {
        server.json("/api/v1/queue").await["waiting"] == 0
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_none_is_refused_with_the_way_out() {
    let server = Server::start(&[]);
    for content in [b"%PDF-1.7 and so on".to_vec(), Vec::new(), vec![0xa1]] {
        let response = server.upload(&[("a.pcap", content)]).await;
        assert_eq!(response.status(), 400);
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["field"], "file", "{problem}");
        assert_eq!(problem["value"], "a.pcap", "{problem}");
        assert!(
            problem["fix"].as_str().unwrap().contains("pcapng"),
            "{problem}"
        );
    }
    // Compressed, it is only noticed by the worker.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(b"%PDF-1.7 and so on").unwrap();
    let id = server.task("a.pcap.gz", packed.finish().unwrap()).await;
    let task = server.ended(&id).await;
    assert_eq!(task["state"], "failed");
    let detail = task["problem"]["detail"].as_str().unwrap();
    assert!(detail.contains("not a capture file"), "{detail}");
    until("no file stays", async || server.stored().is_empty()).await;
}

#[tokio::test]
async fn a_gzip_bomb_is_stopped_and_harms_nobody() {
    let server = Server::start(&[("CAPTURE_WEB_WORKER_MEMORY", "1GiB")]);
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&syns(1)).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..300 {
        bomb.write_all(&zeros).unwrap();
    }
    let id = server.task("bomb.gz", bomb.finish().unwrap()).await;
    let task = server.ended(&id).await;
    let said = match &task["report"] {
        Value::String(report) => {
            let report = server
                .json(&format!("/api/v1/reports/{report}/report"))
                .await;
            assert_eq!(report["complete"], false);
            report["files"][0]["problem"].to_string()
        }
        _ => task["problem"]["detail"].to_string(),
    };
    assert!(!said.is_empty() && said != "null", "{task}");
    let good = server.task("good.pcap", syns(5)).await;
    assert_eq!(server.ended(&good).await["state"], "done");
}

#[tokio::test]
async fn an_upload_that_is_too_large_is_refused_and_leaves_nothing() {
    let server = Server::start(&[("MAX_UPLOAD_SIZE_MB", "1")]);
    let response = server.upload(&[("a.pcap", syns(20_000))]).await;
    assert_eq!(response.status(), 413);
    let problem: Value = response.json().await.unwrap();
    assert!(
        problem["detail"].to_string().contains("1000000"),
        "{problem}"
    );
    // Of unknown length: it is noticed while it arrives.
    let parts = (0..200).map(|_| Ok::<_, std::io::Error>(vec![0; 100_000]));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(
        std::iter::once(Ok(
            b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n\xa1\xb2\xc3\xd4"
                .to_vec(),
        ))
        .chain(parts),
    ));
    let response = server
        .post("/api/v1/uploads")
        .header("content-type", "multipart/form-data; boundary=x")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 413);
    leaves_nothing(&server).await;
}

#[tokio::test]
async fn a_form_that_is_cut_or_has_no_file_or_an_endless_head_is_refused() {
    let server = Server::start(&[]);
    let head = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n";
    let endless = format!("{head}X: {}", "a".repeat(3 << 20));
    let bodies = [
        format!("{head}\r\n\u{a}\r\r\n"),
        "--x--\r\n".to_owned(),
        endless,
        "--x\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nvalue\r\n--x--\r\n"
            .to_owned(),
    ];
    for body in bodies {
        let start: String = body.chars().take(80).collect();
        let response = server
            .post("/api/v1/uploads")
            .header("content-type", "multipart/form-data; boundary=x")
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 400, "{start}");
    }
    let plain = server
        .post("/api/v1/uploads")
        .body("a")
        .send()
        .await
        .unwrap();
    assert_eq!(plain.status(), 400);
    leaves_nothing(&server).await;
}

#[tokio::test]
async fn names_are_shown_as_they_are_and_do_nothing() {
    let server = Server::start(&[("CAPTURE_WEB_UPLOADS_PER_MINUTE", "1000")]);
    for name in [
        "<script>alert(1)</script>.pcap",
        "../../../../etc/passwd",
        "/absolute/../windows",
        "\u{1f40b}\u{202e}.pcap",
        "%00%2e%2e%2f",
        "a'b;--",
    ] {
        let id = server.task(name, syns(3)).await;
        let task = server.ended(&id).await;
        assert_eq!(task["name"], name);
        assert_eq!(task["state"], "done", "{task}");
        let page = server
            .get(&format!("/api/v1/reports/{id}/html"))
            .send()
            .await;
        let page = page.unwrap();
        let policy = page.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("sandbox") && !policy.contains("script-src"));
        assert!(!page.text().await.unwrap().contains("<script"));
        let found = server
            .get("/api/v1/reports")
            .query(&[("search", name)])
            .send()
            .await
            .unwrap();
        let found: Value = found.json().await.unwrap();
        assert_eq!(found["reports"][0]["id"], id.as_str());
    }
    let mut outside = std::fs::read_dir(server.data().join("files")).unwrap();
    assert!(outside.all(|entry| entry.unwrap().file_name().len() == 32));
}
