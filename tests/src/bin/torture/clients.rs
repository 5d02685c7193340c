//! Clients that occupy connections, memory and descriptors.

use std::{
    io::Write as _,
    net::TcpStream,
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use axum::body::Bytes;
use capture_proto::v1;
use capture_tests::{
    daemon::{Client, Daemon, spec},
    frame,
    netns::Pair,
    scene::{numbered_frames, send_through},
};
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::task::JoinSet;
use tonic::{
    Code, Status,
    codegen::{Service as _, http, tokio_stream},
};

use crate::{
    Attack,
    scene::{ANSWER, MEBIBYTE, STEADY, Scene, memory_within},
};

pub(crate) const ATTACKS: [Attack; 7] = [
    Attack {
        name: "unfinished-requests",
        done: "600 requests of 2 MiB over 6 connections that never end",
        quick: false,
        run: unfinished_requests,
    },
    Attack {
        name: "unread-streams",
        done: "64 StreamPackets and 256 ReadFile whose answers nobody reads",
        quick: false,
        run: unread_streams,
    },
    Attack {
        name: "garbage-and-half-greetings",
        done: "100 connections with garbage, and 100 with half an HTTP/2 preface",
        quick: true,
        run: garbage_and_half_greetings,
    },
    Attack {
        name: "silent-socket",
        done: "450 silent connections to the unix socket",
        quick: true,
        run: silent_socket,
    },
    Attack {
        name: "clients-at-once",
        done: "200 clients that connect and ask at the same time",
        quick: true,
        run: clients_at_once,
    },
    Attack {
        name: "metrics-connections",
        done: "1,500 idle connections to the port of the metrics, of a daemon with 1,024 descriptors",
        quick: true,
        run: metrics_connections,
    },
    Attack {
        name: "few-descriptors",
        done: "64 captures that rotate, of a daemon with 1,024 descriptors",
        quick: false,
        run: few_descriptors,
    },
];

/// Begins a call whose body never ends. Nobody waits for the answer.
async fn unfinished(mut channel: tonic::transport::Channel) -> Result<()> {
    let mut head = vec![0];
    head.extend((3_u32 << 20).to_be_bytes());
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    let pieces = [Bytes::from(head), piece.clone(), piece].map(Ok::<_, std::io::Error>);
    let endless =
        tokio_stream::StreamExt::chain(tokio_stream::iter(pieces), tokio_stream::pending());
    let body = tonic::body::Body::new(axum::body::Body::from_stream(endless));
    let request = http::Request::post("/capture.v1.CaptureService/GetCapture")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)?;
    std::future::poll_fn(|context| channel.poll_ready(context)).await?;
    channel.call(request).await?;
    Ok(())
}

fn unfinished_requests() -> Result<String> {
    let scene = Scene::new(&[])?;
    let before = scene.daemon.memory()?;
    let clients = (0..6)
        .map(|_| scene.daemon.client())
        .collect::<Result<Vec<_>>>()?;
    let probe = scene.probe()?;
    for client in &clients {
        client.wait(async {
            let mut calls = JoinSet::new();
            for _ in 0..100 {
                calls.spawn(unfinished(client.channel.clone()));
            }
            // Rejected ones end; the others are left alone for a while.
            let _ = tokio::time::timeout(Duration::from_secs(1), async {
                while calls.join_next().await.is_some() {}
            })
            .await;
            calls.detach_all();
        });
    }
    std::thread::sleep(Duration::from_secs(2));
    let memory = memory_within(&scene.daemon, before, 256 * MEBIBYTE)?;
    let said = format!("{memory}, {}", probe.end()?);
    drop(clients);
    Ok(format!("{said}, {}", scene.end()?))
}

fn unread_streams() -> Result<String> {
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &["--set", "defaults.compression=none"])?;
    let mut roomy = spec("eth0", "");
    // All packets fit into the ring: 64 readers must not cost a packet, however slow the machine.
    roomy.ring_size = Some(64 << 20);
    let mut scene = Scene::with(pair, daemon, roomy)?;
    let before = scene.daemon.memory()?;
    let lazy = scene.daemon.client()?;
    let (mut streams, mut refused) = (Vec::new(), 0);
    for _ in 0..64 {
        let request = v1::StreamPacketsRequest {
            name: STEADY.to_owned(),
            ..Default::default()
        };
        match lazy.wait(lazy.captures.clone().stream_packets(request)) {
            Ok(stream) => streams.push(stream),
            Err(status) => {
                ensure!(status.code() == Code::ResourceExhausted, "{status}");
                refused += 1;
            }
        }
    }
    scene.send(20_000)?;
    let mut reads = Vec::new();
    for _ in 0..256 {
        let file = scene.client.list_files(STEADY)?.pop().context("no file")?;
        let request = v1::ReadFileRequest {
            capture: STEADY.to_owned(),
            file: file.name,
            ..Default::default()
        };
        match lazy.wait(lazy.files.clone().read_file(request)) {
            Ok(read) => reads.push(read),
            Err(status) => {
                ensure!(status.code() == Code::ResourceExhausted, "{status}");
                refused += 1;
            }
        }
    }
    let memory = memory_within(&scene.daemon, before, 320 * MEBIBYTE)?;
    let probe = scene.probe()?;
    std::thread::sleep(Duration::from_millis(500));
    let said = format!("{refused} refused, {memory}, {}", probe.end()?);
    drop((streams, reads));
    Ok(format!("{said}, {}", scene.end()?))
}

fn garbage_and_half_greetings() -> Result<String> {
    let scene = Scene::new(&[])?;
    let before = scene.daemon.memory()?;
    let probe = scene.probe()?;
    let mut open = Vec::new();
    for number in 0..100_u8 {
        let mut garbage = UnixStream::connect(scene.daemon.socket())?;
        // It may be rejected before all of it is written.
        let _ = garbage.write_all(&[number; 4096]);
        let mut half = UnixStream::connect(scene.daemon.socket())?;
        let _ = half.write_all(b"PRI * HTTP/2.0\r\n\r\nSM");
        open.extend([garbage, half]);
    }
    let memory = memory_within(&scene.daemon, before, 64 * MEBIBYTE)?;
    let said = format!("{memory}, {}", probe.end()?);
    drop(open);
    Ok(format!("{said}, {}", scene.end()?))
}

fn ask(client: &Client) -> Result<Duration, Status> {
    let asked = Instant::now();
    let mut request = tonic::Request::new(v1::GetNodeRequest {});
    request.set_timeout(Duration::from_secs(10));
    client.wait(client.node.clone().get_node(request))?;
    Ok(asked.elapsed())
}

fn silent_socket() -> Result<String> {
    let scene = Scene::new(&[])?;
    let mut silent = Vec::new();
    for _ in 0..450 {
        // The backlog may be full for a moment, which is harmless.
        if let Ok(stream) = UnixStream::connect(scene.daemon.socket()) {
            silent.push(stream);
        }
    }
    let mut longest = Duration::ZERO;
    for _ in 0..10 {
        let client = scene.daemon.client().context("a new client")?;
        longest = longest.max(ask(&client).context("GetNode of a new client")?);
    }
    ensure!(longest < ANSWER, "a new client waited {longest:?}");
    ask(&scene.client).context("GetNode of the client from before")?;
    let said = format!("{} silent, 10 of 10 new clients served", silent.len());
    drop(silent);
    Ok(format!("{said}, {}", scene.end()?))
}

fn clients_at_once() -> Result<String> {
    let scene = Scene::new(&[])?;
    let uri = format!("unix://{}", scene.daemon.socket().display());
    let served = scene.client.wait(async {
        let mut clients = JoinSet::new();
        for _ in 0..200 {
            let endpoint = tonic::transport::Endpoint::from_shared(uri.clone())?;
            clients.spawn(async move {
                let channel = endpoint.connect().await?;
                let mut node = v1::node_service_client::NodeServiceClient::new(channel.clone());
                node.get_node(v1::GetNodeRequest {}).await?;
                anyhow::Ok(channel)
            });
        }
        let mut served = Vec::new();
        let mut failed = None;
        while let Some(client) = clients.join_next().await {
            match client? {
                Ok(channel) => served.push(channel),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) => Err(error.context(format!("only {} of 200 were served", served.len()))),
            None => Ok(served.len()),
        }
    })?;
    Ok(format!("{served} of 200 served, {}", scene.end()?))
}

/// Limits the descriptors of this process, and so of the daemon that it starts.
fn limit_descriptors(most: u64) -> Result<()> {
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    setrlimit(Resource::Nofile, limit).context("limiting descriptors")
}

const METRICS: &str = "127.0.0.1:9100";

fn metrics_connections() -> Result<String> {
    let pair = Pair::new()?;
    let mut rotating = spec("eth0", "");
    rotating.output = Some(v1::Output {
        kind: Some(v1::output::Kind::Files(v1::FileOutput {
            rotation: Some(v1::Rotation {
                max_packets: Some(100),
                ..Default::default()
            }),
            ..Default::default()
        })),
    });
    // The attacker has more descriptors than the daemon: the limit applies only to the daemon.
    let limited = |most: u64| Rlimit {
        current: Some(most),
        maximum: Some(20_000),
    };
    setrlimit(Resource::Nofile, limited(1024)).context("limiting descriptors")?;
    let daemon = Daemon::start(&pair.b, &["--metrics", METRICS])?;
    setrlimit(Resource::Nofile, limited(4096)).context("raising the limit")?;
    let mut scene = Scene::with(pair, daemon, rotating)?;
    let idle = scene.pair.b.run(|| {
        let connect = |_| {
            TcpStream::connect_timeout(&"127.0.0.1:9100".parse().ok()?, Duration::from_secs(1)).ok()
        };
        (0..1_500).map_while(connect).collect::<Vec<_>>()
    });
    let probe = scene.probe()?;
    for _ in 0..10 {
        scene.send(100)?;
    }
    let said = format!("{} connected, {}", idle.len(), probe.end()?);
    drop(idle);
    Ok(format!("{said}, {}", scene.end()?))
}

fn few_descriptors() -> Result<String> {
    limit_descriptors(1024)?;
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    let mut started = Vec::new();
    for number in 0..64 {
        let mut rotating = spec("eth0", &format!("udp port {}", frame::PORT));
        rotating.output = Some(v1::Output {
            kind: Some(v1::output::Kind::Files(v1::FileOutput {
                rotation: Some(v1::Rotation {
                    max_packets: Some(50),
                    ..Default::default()
                }),
                ..Default::default()
            })),
        });
        let request = v1::StartCaptureRequest {
            name: format!("many-{number}"),
            spec: Some(rotating),
            ..Default::default()
        };
        let name = request.name.clone();
        match client.wait(client.captures.clone().start_capture(request)) {
            Ok(_) => started.push(name),
            Err(status) => {
                ensure!(status.code() == Code::ResourceExhausted, "{name}: {status}");
                ensure!(!status.message().contains("CAP_BPF"), "{name}: {status}");
            }
        }
    }
    send_through(&pair, &numbered_frames(0..200))?;
    for name in &started {
        let capture = client.stop(name)?;
        ensure!(
            capture.state() == v1::CaptureState::Completed,
            "{name} is {:?}: {}",
            capture.state(),
            capture.message
        );
        capture_tests::daemon::wrote_all(&capture, 200).with_context(|| name.clone())?;
    }
    let refused = 64 - started.len();
    ensure!(started.len() >= 8, "only {} started", started.len());
    let (ended, _) = daemon.end()?;
    ensure!(
        ended.status.success(),
        "the daemon ended with {}",
        ended.status
    );
    Ok(format!(
        "{} started, {refused} refused with ResourceExhausted; sent 200, each ledger 200",
        started.len()
    ))
}
