//! Bounds of analyses and of clients: what passes one is ended with a reason, and nothing else suffers.

use std::{path::Path, time::Duration};

use capture_web::worker::{Bounds, Order, Outcome, Progress, Work, Worker};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
};

use crate::{
    bad::leaves_nothing,
    capture::{flows, long, syns},
    server::{PATIENCE, Server, until},
};

/// A file that is analysed for minutes.
const MINUTES: usize = 3_000;

/// Analyses a file within these bounds, as the server does.
async fn analysed(file: &[u8], time: Duration, bounds: Bounds) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("input");
    std::fs::write(&input, file).unwrap();
    let output = directory.path().join("output");
    std::fs::create_dir(&output).unwrap();
    let worker = Worker {
        program: env!("CARGO_BIN_EXE_capture-web").into(),
        time,
    };
    let order = Order {
        inputs: vec![input],
        names: vec!["file.pcap.gz".to_owned()],
        output,
        work: Work::Analyse {
            redaction_key: None,
        },
        bounds,
    };
    let (progress, _) = watch::channel(Progress::default());
    worker.run(&order, &progress).await.unwrap()
}

const WIDE: Bounds = Bounds {
    memory: 8 << 30,
    cpu_seconds: 600,
    file_bytes: 4 << 30,
    unpacked_bytes: 100 << 30,
    ratio: 100_000,
    packets: 1_000_000_000,
};

fn failure(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed(failure) => {
            assert!(failure.fix.is_some(), "{failure:?}");
            failure.detail
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_worker_that_uses_too_much_of_a_processor_is_ended_by_the_kernel() {
    let bounds = Bounds {
        cpu_seconds: 1,
        ..WIDE
    };
    let detail = failure(analysed(&long(MINUTES), Duration::from_secs(600), bounds).await);
    assert!(detail.contains("1 seconds of processor time"), "{detail}");
}

#[tokio::test]
async fn a_worker_that_takes_too_long_is_ended() {
    let detail = failure(analysed(&long(MINUTES), Duration::from_secs(1), WIDE).await);
    assert_eq!(detail, "it took more than 1 seconds");
}

#[tokio::test]
async fn a_worker_that_writes_too_much_is_ended() {
    let bounds = Bounds {
        file_bytes: 1_000,
        ..WIDE
    };
    let detail = failure(analysed(&syns(500), PATIENCE, bounds).await);
    assert!(detail.contains("larger than 1000 bytes"), "{detail}");
}

#[tokio::test]
async fn a_task_that_needs_too_much_memory_fails_with_the_reason_and_the_server_goes_on() {
    let server = Server::start(&[
        ("CAPTURE_WEB_WORKER_MEMORY", "256MiB"),
        ("CAPTURE_WEB_MAX_UNPACKED_RATIO", "100000"),
    ]);
    let id = server.task("flows.pcap.gz", flows(1_500_000)).await;
    let task = server.ended(&id).await;
    assert_eq!(task["state"], "failed", "{task}");
    let problem = &task["problem"];
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("more than 268435456 bytes of memory"),
        "{problem}"
    );
    assert!(
        problem["fix"].as_str().unwrap().contains("worker_memory"),
        "{problem}"
    );
    leaves_nothing(&server).await;
    let good = server.task("good.pcap", syns(5)).await;
    assert_eq!(server.ended(&good).await["state"], "done");
}

#[tokio::test]
async fn a_task_that_is_deleted_while_it_runs_ends_its_worker_and_leaves_nothing() {
    // Long after the test: it is not by a lapsed claim that the worker ends.
    let server = Server::start(&[
        ("CAPTURE_WEB_LEASE", "1h"),
        ("CAPTURE_WEB_WORKERS", "1"),
        ("CAPTURE_WEB_MAX_UNPACKED_RATIO", "100000"),
    ]);
    let id = server.task("long.pcap.gz", long(MINUTES)).await;
    until("a worker reads it", async || !server.workers().is_empty()).await;
    let worker = server.workers()[0];
    let path = format!("/api/v1/reports/{id}");
    let deleted = server.delete(&path).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    until("its worker has ended", async || {
        !Path::new(&format!("/proc/{worker}")).exists()
    })
    .await;
    let gone = server.get(&format!("/api/v1/tasks/{id}")).send().await;
    assert_eq!(gone.unwrap().status(), 404);
    leaves_nothing(&server).await;
    let scratch = server.data().join("scratch");
    until("its work is removed", async || {
        let servers = std::fs::read_dir(&scratch).unwrap();
        let paths = servers.map(|entry| entry.unwrap().path());
        let mut work = paths.flat_map(|path| std::fs::read_dir(path).unwrap());
        work.all(|entry| entry.unwrap().file_name() == "lock")
    })
    .await;
    let next = server.task("next.pcap", syns(5)).await;
    assert_eq!(server.ended(&next).await["state"], "done");
}

#[tokio::test]
async fn a_client_that_is_never_silent_but_too_slow_is_cut_off_and_told_so() {
    let server = Server::start(&[("CAPTURE_WEB_MIN_UPLOAD_RATE", "16KiB")]);
    let address = server.url.strip_prefix("http://").unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/v1/uploads HTTP/1.1\r\nHost: {address}\r\nContent-Length: 100000000\r\n\
         Content-Type: multipart/form-data; boundary=x\r\n\r\n\
         --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.write_all(&syns(10)).await.unwrap();
    let (mut answer, mut out) = slow.split();
    let mut text = Vec::new();
    let sending = async {
        while out.write_all(&[0; 100]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let answered = async {
        let mut buffer = [0; 4096];
        while !text.ends_with(b"}") {
            let read = answer.read(&mut buffer).await.unwrap();
            assert!(read > 0, "the connection ended without an answer");
            text.extend_from_slice(&buffer[..read]);
        }
    };
    tokio::select! {
        () = sending => {}
        () = answered => {}
        () = tokio::time::sleep(2 * PATIENCE) => panic!("nobody cuts it off"),
    }
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("HTTP/1.1 408"), "{text}");
    assert!(
        text.contains("slower than 16384 bytes per second"),
        "{text}"
    );
    leaves_nothing(&server).await;
}
