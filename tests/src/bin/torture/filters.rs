//! Expressions that are costly to compile.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1;
use capture_tests::daemon::spec;
use tonic::{Code, Request, Status};

use crate::{
    Attack,
    scene::{ANSWER, MEBIBYTE, STEADY, Scene, memory_within, refusal},
};

pub(crate) const ATTACKS: [Attack; 5] = [
    Attack {
        name: "costly-filters",
        done: "expressions of 370 and 700 hosts in StartCapture, UpdateCapture and StreamPackets at the same time",
        quick: false,
        run: costly_filters,
    },
    Attack {
        name: "negated-hosts",
        done: "an expression that excludes 490 hosts",
        quick: true,
        run: negated_hosts,
    },
    Attack {
        name: "host-names",
        done: "expressions with names of hosts, and a name server that does not answer",
        quick: true,
        run: host_names,
    },
    Attack {
        name: "large-glob",
        done: "ListCaptures with a name_glob of 3 MiB",
        quick: true,
        run: large_glob,
    },
    Attack {
        name: "many-tunnels",
        done: "StartCapture with 100,000 tunnels and with 10,000 interfaces",
        quick: true,
        run: many_tunnels,
    },
];

/// `host 10.0.0.1 or host 10.0.0.2 or ...`.
fn hosts(count: u32) -> String {
    let hosts = (0..count).map(|number| format!("host 10.{}.{}.1", number / 250, number % 250));
    hosts.collect::<Vec<_>>().join(" or ")
}

/// A request with a deadline of half a minute.
fn patient<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(30));
    request
}

/// Starts a capture on the scene's daemon.
fn start(
    scene: &Scene,
    request: v1::StartCaptureRequest,
) -> Result<tonic::Response<v1::StartCaptureResponse>, Status> {
    let mut captures = scene.client.captures.clone();
    scene.client.wait(captures.start_capture(patient(request)))
}

/// Fails only if there was no answer.
fn answered<T>(what: &str, answer: Result<T, Status>) -> Result<()> {
    match answer {
        Err(status) if [Code::DeadlineExceeded, Code::Cancelled].contains(&status.code()) => {
            Err(status).with_context(|| format!("{what} had no answer in 30 s"))
        }
        Err(status) if status.code() == Code::Internal => Err(status).context(what.to_owned()),
        _ => Ok(()),
    }
}

fn costly_filters() -> Result<String> {
    let scene = Scene::new(&[])?;
    let (before, probe) = (scene.daemon.memory()?, scene.probe()?);
    let start = |number: u32| {
        let request = v1::StartCaptureRequest {
            name: format!("costly-{number}"),
            spec: Some(spec("eth0", &hosts(370))),
            ..Default::default()
        };
        let mut captures = scene.client.captures.clone();
        async move { captures.start_capture(patient(request)).await }
    };
    let update = v1::UpdateCaptureRequest {
        name: STEADY.to_owned(),
        spec: Some(spec("eth0", &format!("not ({})", hosts(300)))),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["filter".to_owned(); 6],
        }),
        ..Default::default()
    };
    let stream = v1::StreamPacketsRequest {
        name: STEADY.to_owned(),
        filter: hosts(700),
        ..Default::default()
    };
    let (mut for_update, mut for_stream) =
        (scene.client.captures.clone(), scene.client.captures.clone());
    let (one, two, update, stream) = scene.client.wait(async {
        tokio::join!(
            start(1),
            start(2),
            for_update.update_capture(patient(update)),
            for_stream.stream_packets(patient(stream)),
        )
    });
    answered("StartCapture", one)?;
    answered("StartCapture", two)?;
    answered("UpdateCapture", update)?;
    answered("StreamPackets", stream)?;
    let memory = memory_within(&scene.daemon, before, 256 * MEBIBYTE)?;
    Ok(format!("{}, {memory}, {}", probe.end()?, scene.end()?))
}

fn negated_hosts() -> Result<String> {
    let scene = Scene::new(&[])?;
    let probe = scene.probe()?;
    let request = v1::StartCaptureRequest {
        name: "others".to_owned(),
        spec: Some(spec("eth0", &format!("not ({})", hosts(490)))),
        ..Default::default()
    };
    let asked = Instant::now();
    let answer = start(&scene, request);
    let took = asked.elapsed();
    let said = match answer {
        Ok(_) => "started".to_owned(),
        Err(status) => format!("refused with {:?}", status.code()),
    };
    ensure!(took < 5 * ANSWER, "{said} after {took:?}");
    Ok(format!(
        "{said} after {} ms, {}, {}",
        took.as_millis(),
        probe.end()?,
        scene.end()?
    ))
}

fn host_names() -> Result<String> {
    let scene = Scene::new(&[])?;
    // A name server that receives queries and never answers.
    let silent = scene
        .pair
        .b
        .run(|| std::net::UdpSocket::bind("127.0.0.1:53"));
    let probe = scene.probe()?;
    for number in 0..3 {
        let name = format!("host server-{number}.example.org");
        let request = v1::StartCaptureRequest {
            name: format!("named-{number}"),
            spec: Some(spec("eth0", &name)),
            ..Default::default()
        };
        let answer = start(&scene, request);
        refusal(answer, &[Code::InvalidArgument]).context("StartCapture")?;
        let stream = v1::StreamPacketsRequest {
            name: STEADY.to_owned(),
            filter: name,
            ..Default::default()
        };
        let answer = scene.client.wait(
            scene
                .client
                .captures
                .clone()
                .stream_packets(patient(stream)),
        );
        refusal(answer, &[Code::InvalidArgument]).context("StreamPackets")?;
    }
    drop(silent);
    Ok(format!(
        "InvalidArgument, {}, {}",
        probe.end()?,
        scene.end()?
    ))
}

fn large_glob() -> Result<String> {
    let scene = Scene::new(&[])?;
    let (before, probe) = (scene.daemon.memory()?, scene.probe()?);
    let request = v1::ListCapturesRequest {
        name_glob: "{a,b}*?".repeat(3 << 20 >> 3),
        ..Default::default()
    };
    let answer = scene.client.wait(
        scene
            .client
            .captures
            .clone()
            .list_captures(patient(request)),
    );
    let codes = [Code::InvalidArgument, Code::ResourceExhausted];
    let said = refusal(answer, &codes)?.code();
    let memory = memory_within(&scene.daemon, before, 64 * MEBIBYTE)?;
    Ok(format!(
        "{said:?}, {memory}, {}, {}",
        probe.end()?,
        scene.end()?
    ))
}

fn many_tunnels() -> Result<String> {
    let scene = Scene::new(&[])?;
    let (before, probe) = (scene.daemon.memory()?, scene.probe()?);
    let mut tunnels = spec("eth0", "");
    tunnels.inner_filter = Some(v1::InnerFilter {
        expression: "udp".to_owned(),
        tunnels: (0..100_000)
            .map(|number| format!("vxlan:{}", number % 65_535 + 1))
            .collect(),
    });
    let mut interfaces = spec("eth0", "");
    interfaces.interfaces = (0..10_000).map(|number| format!("*{number}*")).collect();
    for spec in [tunnels, interfaces] {
        let request = v1::StartCaptureRequest {
            name: "many".to_owned(),
            spec: Some(spec),
            ..Default::default()
        };
        let answer = start(&scene, request);
        refusal(answer, &[Code::InvalidArgument])?;
    }
    let memory = memory_within(&scene.daemon, before, 64 * MEBIBYTE)?;
    Ok(format!(
        "InvalidArgument, {memory}, {}, {}",
        probe.end()?,
        scene.end()?
    ))
}
