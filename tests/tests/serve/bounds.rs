//! Limits of requests, and their cost.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use capture_proto::v1;
use capture_tests::{
    daemon::{Client, Daemon, spec, wrote_all},
    gate,
    netns::Pair,
    scene::{numbered_frames, send_through},
    wait,
};
use tonic::{Code, Status, codec::CompressionEncoding};
use tonic_types::StatusExt as _;

fn start(client: &Client, request: v1::StartCaptureRequest) -> Result<v1::Capture, Status> {
    let answer = client.wait(client.captures.clone().start_capture(request))?;
    answer
        .into_inner()
        .capture
        .ok_or_else(|| Status::internal("no capture"))
}

fn list(
    client: &Client,
    request: v1::ListCapturesRequest,
) -> Result<v1::ListCapturesResponse, Status> {
    let answer = client.wait(client.captures.clone().list_captures(request))?;
    Ok(answer.into_inner())
}

fn update(client: &Client, request: v1::UpdateCaptureRequest) -> Result<v1::Capture, Status> {
    let answer = client.wait(client.captures.clone().update_capture(request))?;
    answer
        .into_inner()
        .capture
        .ok_or_else(|| Status::internal("no capture"))
}

fn change(name: &str, paths: &[&str], spec: v1::CaptureSpec) -> v1::UpdateCaptureRequest {
    let paths = paths.iter().map(ToString::to_string).collect();
    v1::UpdateCaptureRequest {
        name: name.to_owned(),
        spec: Some(spec),
        update_mask: Some(prost_types::FieldMask { paths }),
        ..Default::default()
    }
}

fn code<T>(result: Result<T, Status>) -> Code {
    result.err().map_or(Code::Ok, |status| status.code())
}

#[test]
fn what_is_larger_than_its_bound_or_makes_no_sense_is_refused_by_its_name() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    let request = |change: &dyn Fn(&mut v1::StartCaptureRequest)| {
        let mut request = v1::StartCaptureRequest {
            spec: Some(spec("eth0", "")),
            validate_only: true,
            ..Default::default()
        };
        change(&mut request);
        start(&client, request)
    };
    let of_spec = |change: &dyn Fn(&mut v1::CaptureSpec)| {
        request(&|request| change(request.spec.get_or_insert_default()))
    };
    let compression = |compression: v1::Compression| {
        of_spec(&|spec| {
            let files = v1::FileOutput {
                compression: Some(compression),
                ..Default::default()
            };
            let kind = Some(v1::output::Kind::Files(files));
            spec.output = Some(v1::Output { kind });
        })
    };
    let inner = |count| {
        of_spec(&|spec| {
            spec.inner_filter = Some(v1::InnerFilter {
                expression: "udp".to_owned(),
                tunnels: vec!["vxlan:4789".to_owned(); count],
            });
        })
    };
    request(&|_| {})?;
    inner(16)?;
    for (field, refused) in [
        (
            "name",
            request(&|request| request.name = "n".repeat(100_000)),
        ),
        (
            "reason",
            request(&|request| request.reason = "r".repeat(1025)),
        ),
        (
            "labels",
            request(&|request| {
                request.labels = (0..100_000)
                    .map(|at| (at.to_string(), String::new()))
                    .collect();
            }),
        ),
        (
            "spec.interfaces",
            of_spec(&|spec| spec.interfaces = vec!["e".to_owned(); 257]),
        ),
        (
            "spec.interfaces[0]",
            of_spec(&|spec| spec.interfaces = vec!["e".repeat(65)]),
        ),
        ("spec.inner_filter.tunnels", inner(100_000)),
        (
            "spec.targets[0]",
            of_spec(&|spec| spec.targets = vec!["1".repeat(65)]),
        ),
        ("spec.ports", of_spec(&|spec| spec.ports = vec![1; 65_537])),
        (
            "spec.limits.duration",
            of_spec(&|spec| {
                let duration = prost_types::Duration {
                    seconds: 5,
                    nanos: -1,
                };
                spec.limits = Some(v1::Limits {
                    duration: Some(duration),
                    ..Default::default()
                });
            }),
        ),
        (
            "spec.output.files.compression",
            compression(v1::Compression {
                level: Some(3),
                ..Default::default()
            }),
        ),
    ] {
        let refused = refused
            .err()
            .with_context(|| format!("{field} was not refused"))?;
        ensure!(
            refused.code() == Code::InvalidArgument,
            "{field}: {refused}"
        );
        let details = refused.get_details_bad_request().context("no details")?;
        let fields: Vec<_> = details
            .field_violations
            .iter()
            .map(|one| &one.field)
            .collect();
        ensure!(fields == [field], "{field}: {fields:?}");
        ensure!(
            refused.message().len() < 1500,
            "{}",
            refused.message().len()
        );
    }
    let missing = of_spec(&|spec| spec.interfaces = vec!["nowhere".to_owned()]);
    assert_eq!(code(missing), Code::FailedPrecondition);
    for request in [
        v1::ListCapturesRequest {
            name_glob: "{a,b}".repeat(20_000),
            ..Default::default()
        },
        v1::ListCapturesRequest {
            page_token: "not a name".to_owned(),
            ..Default::default()
        },
        v1::ListCapturesRequest {
            states: vec![2; 17],
            ..Default::default()
        },
    ] {
        assert_eq!(code(list(&client, request)), Code::InvalidArgument);
    }
    // Far beyond the limit of such a call.
    let glob = v1::ListCapturesRequest {
        name_glob: "{a,b}".repeat(800_000),
        ..Default::default()
    };
    assert_eq!(code(list(&client, glob)), Code::ResourceExhausted);
    // Many errors result in a status that standard clients accept.
    let many = of_spec(&|spec| spec.targets = vec!["\u{e9}".repeat(30); 5000]);
    let many = many.err().context("not refused")?;
    let details = many.get_details_bad_request().context("no details")?;
    assert_eq!(details.field_violations.len(), 16);
    assert!(many.message().contains("and 4997 more"), "{many}");
    // The log is neither flooded nor changed.
    let level = |level: &str, reason: &str| {
        client.wait(client.node.clone().set_log_level(v1::SetLogLevelRequest {
            log_level: level.to_owned(),
            reason: reason.to_owned(),
        }))
    };
    assert_eq!(code(level("loud", "")), Code::InvalidArgument);
    assert_eq!(
        code(level("info", &"r".repeat(2000))),
        Code::InvalidArgument
    );
    let delete = v1::DeleteCaptureRequest {
        name: "x".to_owned(),
        reason: "r".repeat(2000),
        ..Default::default()
    };
    let deleted = client.wait(client.captures.clone().delete_capture(delete));
    assert_eq!(code(deleted), Code::InvalidArgument);
    Ok(())
}

#[test]
fn the_same_request_id_with_another_request_is_refused() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    let request = |filter: &str| v1::StartCaptureRequest {
        spec: Some(spec("eth0", filter)),
        request_id: "one".to_owned(),
        ..Default::default()
    };
    let first = start(&client, request("udp"))?;
    assert_eq!(start(&client, request("udp"))?.uid, first.uid);
    // Also after the capture has been changed.
    let other = v1::CaptureSpec {
        filter: "tcp".to_owned(),
        ..Default::default()
    };
    update(&client, change(&first.name, &["filter"], other))?;
    assert_eq!(start(&client, request("udp"))?.uid, first.uid);
    assert_eq!(code(start(&client, request("tcp"))), Code::AlreadyExists);
    Ok(())
}

#[test]
fn the_node_answers_while_clients_send_what_takes_long() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    client.start("steady", spec("eth0", ""))?;
    let hosts = |count: u32| {
        let hosts: Vec<_> = (0..count)
            .map(|at| format!("host 10.{}.{}.{}", at >> 8, at & 255, at * 7 % 256))
            .collect();
        hosts.join(" or ")
    };
    thread::scope(|scope| -> Result<()> {
        let mut busy = Vec::new();
        for number in 0..2_u32 {
            let hostile = daemon.client()?;
            let expression = hosts(320 + number * 50);
            busy.push(scope.spawn(move || {
                let stream = v1::StreamPacketsRequest {
                    name: "steady".to_owned(),
                    filter: expression.clone(),
                    ..Default::default()
                };
                // Whether they are rejected does not matter here.
                let _ = hostile.wait(hostile.captures.clone().stream_packets(stream));
                let spec = v1::CaptureSpec {
                    filter: expression,
                    ..Default::default()
                };
                let _ = update(&hostile, change("steady", &["filter"], spec));
            }));
        }
        let mut answers = 0;
        while answers < 20 || busy.iter().any(|one| !one.is_finished()) {
            let mut request = tonic::Request::new(v1::GetNodeRequest {});
            request.set_timeout(Duration::from_secs(2));
            client.wait(client.node.clone().get_node(request))?;
            answers += 1;
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    })?;
    // Whatever filter it has now: the ledger adds up.
    let ended = client.stop("steady")?;
    wrote_all(
        &ended,
        ended.ledger.and_then(|ledger| ledger.matched).unwrap_or(0),
    )
}

#[test]
fn streams_that_nobody_reads_are_refused_before_they_take_the_memory_of_others() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &["--set", "limits.client_memory=128MiB"])?;
    let client = daemon.client()?;
    client.start("steady", spec("eth0", ""))?;
    let stream = || {
        let request = v1::StreamPacketsRequest {
            name: "steady".to_owned(),
            buffer_size: Some(16 << 20),
            ..Default::default()
        };
        client.wait(client.captures.clone().stream_packets(request))
    };
    // Half of 128 MiB is for one client, and a stream needs a little more than its buffer.
    let mut streams = vec![stream()?, stream()?, stream()?];
    assert_eq!(code(stream()), Code::ResourceExhausted);
    let node = client.wait(client.node.clone().get_node(v1::GetNodeRequest {}))?;
    let node = node.into_inner().node.context("no node")?;
    let (limits, usage) = (
        node.limits.context("no limits")?,
        node.usage.context("no usage")?,
    );
    assert_eq!(limits.client_memory_bytes, 128 << 20);
    assert!(usage.client_memory_bytes >= 3 * (16 << 20), "{usage:?}");
    assert!(
        usage.descriptors > 0 && usage.descriptors < limits.max_descriptors,
        "{usage:?}"
    );
    streams.pop();
    wait::until_true("memory to be given back", || Ok(stream().is_ok()))?;
    drop(streams);
    send_through(&pair, &numbered_frames(0..50))?;
    wrote_all(&client.stop("steady")?, 50)
}

#[test]
fn a_client_that_compresses_its_requests_is_understood() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    let mut captures = client
        .captures
        .clone()
        .send_compressed(CompressionEncoding::Gzip);
    let request = |reason: usize| v1::StartCaptureRequest {
        name: "web".to_owned(),
        spec: Some(spec("eth0", "")),
        reason: "r".repeat(reason),
        ..Default::default()
    };
    // Messages that are small when compressed have the same limits.
    let bomb = client.wait(captures.start_capture(request(64 << 20)));
    assert_ne!(code(bomb), Code::Ok);
    client.wait(captures.start_capture(request(1000)))?;
    send_through(&pair, &numbered_frames(0..50))?;
    wrote_all(&client.stop("web")?, 50)
}

#[test]
fn large_captures_are_listed_in_messages_that_stock_clients_accept() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &[])?;
    let client = daemon.client()?;
    let targets: Vec<_> = (0..65_536_u32)
        .map(|at| format!("2001:db8:1111:2222:3333:4444:{:x}:{:x}", at >> 8, at & 255))
        .collect();
    for name in ["a", "b", "c"] {
        let large = v1::CaptureSpec {
            targets: targets.clone(),
            ..spec("eth0", "")
        };
        client.start(name, large)?;
    }
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListCapturesRequest {
            page_token: token,
            ..Default::default()
        };
        // The limit of tonic's client is that of gRPC: 4 MiB.
        let page = list(&client, request)?;
        assert_eq!(page.total_size, 3);
        names.extend(page.captures.into_iter().map(|capture| capture.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["a", "b", "c"]);
    for name in names {
        wrote_all(&client.stop(&name)?, 0)?;
    }
    Ok(())
}
