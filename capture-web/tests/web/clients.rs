//! Many clients, slow clients, and what they may not take from others.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::Value;

use crate::{
    capture::syns,
    server::{PATIENCE, Server, until},
};

#[tokio::test]
async fn of_many_uploads_at_once_each_is_accepted_or_told_when_to_try_again() {
    // Nothing is analysed meanwhile, so that the queue stays full.
    let server = Server::start(&[
        ("CAPTURE_WEB_UPLOADS_PER_MINUTE", "100000"),
        ("MAX_QUEUE_SIZE", "5"),
        ("CAPTURE_WEB_WORKERS", "1"),
    ]);
    let uploads = (0..300).map(async |_| {
        let response = server.upload(&[("a.pcap", syns(20))]).await;
        let status = response.status().as_u16();
        let has_time = response.headers().contains_key("retry-after");
        let body: Value = response.json().await.unwrap();
        (status, has_time, body)
    });
    let mut accepted = Vec::new();
    for (status, has_time, body) in join_all(uploads).await {
        match status {
            202 => accepted.push(body["task_id"].as_str().unwrap().to_owned()),
            503 => assert!(has_time, "{body}"),
            other => panic!("{other} {body}"),
        }
    }
    assert!(accepted.len() >= 5, "{}", accepted.len());
    for id in accepted {
        assert_eq!(server.ended(&id).await["state"], "done");
    }
}

#[tokio::test]
async fn a_client_that_uploads_too_often_is_told_to_wait() {
    let server = Server::start(&[("CAPTURE_WEB_UPLOADS_PER_MINUTE", "2")]);
    for _ in 0..2 {
        let id = server.task("a.pcap", syns(5)).await;
        server.ended(&id).await;
    }
    let refused = server.upload(&[("a.pcap", syns(5))]).await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn a_client_that_falls_silent_is_given_up_and_leaves_its_place() {
    let server = Server::start(&[
        ("CAPTURE_WEB_CLIENT_TIMEOUT", "300ms"),
        ("MAX_QUEUE_SIZE", "1"),
    ]);
    let mut silent = begin(&server);
    let answer = tokio::task::spawn_blocking(move || {
        let mut answer = String::new();
        silent.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let id = server.task("a.pcap", syns(5)).await;
    assert_eq!(server.ended(&id).await["state"], "done");
}

#[tokio::test]
async fn an_upload_that_is_broken_off_leaves_nothing() {
    let server = Server::start(&[("MAX_QUEUE_SIZE", "1")]);
    let broken = begin(&server);
    until("it has begun", async || {
        server.json("/api/v1/queue").await["waiting"] == 1
    })
    .await;
    let refused = server.upload(&[("a.pcap", syns(5))]).await;
    assert_eq!(refused.status(), 503, "the only place is taken");
    drop(broken);
    until("its place is free", async || {
        server.json("/api/v1/queue").await["waiting"] == 0
    })
    .await;
    until("its file is removed", async || server.stored().is_empty()).await;
}

/// Begins an upload and sends nothing more.
fn begin(server: &Server) -> TcpStream {
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST /api/v1/uploads HTTP/1.1\r\nHost: {address}\r\nContent-Length: 100000\r\n\
         Content-Type: multipart/form-data; boundary=x\r\n\r\n\
         --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&syns(10)).unwrap();
    stream
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_takes_no_upload_and_says_so() {
    let server = Server::start(&[("CAPTURE_WEB_MIN_FREE", "1000000GiB")]);
    let refused = server.upload(&[("a.pcap", syns(5))]).await;
    assert_eq!(refused.status(), 503);
    let problem: Value = refused.json().await.unwrap();
    assert!(
        problem["detail"].as_str().unwrap().contains("free"),
        "{problem}"
    );
    let queue = server.json("/api/v1/queue").await;
    assert_eq!(queue["accepting"], false);
    assert!(server.stored().is_empty());
}

#[tokio::test]
async fn clients_that_only_open_connections_keep_nobody_out() {
    let server = Server::start(&[]);
    let address = server.url.strip_prefix("http://").unwrap();
    let idle: Vec<_> = (0..200)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let answered = tokio::time::timeout(Duration::from_secs(20), server.json("/api/v1/queue"));
    assert_eq!(answered.await.unwrap()["waiting"], 0);
    drop(idle);
}
