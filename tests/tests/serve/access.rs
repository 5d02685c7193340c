//! Access over TCP, and what clients may do.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
};

use anyhow::{Context as _, Result, ensure};
use capture_tests::{
    capture_file,
    certificates::{Authority, Time, replace},
    client::Capturectl,
    daemon::{Daemon, spec, wrote_all},
    gate,
    netns::{Namespace, Pair},
    scene::{numbered_frames, send_through},
};
use tonic::Code;

use crate::lab::{ADDRESS, ALICE, Lab, URI, audited, ends_with, wait_for_readers};

#[test]
fn an_operator_does_everything_and_a_viewer_only_looks() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (pair, lab) = (Pair::new()?, Lab::new()?);
    let mut daemon = lab.daemon(&pair.b, &[])?;
    let operator = lab.ctl(&pair.b, "alice", &lab.alice()?)?;
    let bob = lab.authority.client("bob", "", Time::Now)?;
    let viewer = lab.ctl(&pair.b, "bob", &bob)?;

    // The audit log is written at every level.
    operator.output(&["node", "--set-log-level", "error"])?;
    let started = operator.json(&["--reason", "a test", "start", "web", "-i", "eth0"])?;
    assert_eq!(started[0]["state"], "running");
    assert_eq!(started[0]["created_by"], format!("cert:URI:{ALICE}"));
    audited(
        &mut daemon,
        &["URI:spiffe://lab/alice", "StartCapture", "a test"],
    )?;
    send_through(&pair, &numbered_frames(0..100))?;

    assert_eq!(viewer.json(&["list"])?[0]["name"], "web");
    let node = viewer.json(&["node"])?;
    assert_eq!(node[0]["caller"], "cert:CN:bob");
    assert_eq!(node[0]["caller_role"], "viewer");
    for (command, method) in [
        (&["stop", "web"][..], "StopCapture"),
        (&["tail", "web", "--text"], "StreamPackets"),
        (&["rm", "web", "--stop"], "DeleteCapture"),
        (&["start", "more", "-i", "eth0"], "StartCapture"),
    ] {
        let ended = viewer.run(command)?;
        ends_with(&ended, 5, "cert:CN:bob is viewer").with_context(|| format!("{command:?}"))?;
        audited(&mut daemon, &["CN:bob", method, "refused"])?;
    }
    operator.output(&["stop", "web"])?;
    // Names of files are visible to viewers, their contents are not.
    assert_eq!(viewer.json(&["files", "web"])?[0]["packets"], 100);
    let out = lab.path("web.pcapng").display().to_string();
    let ended = viewer.run(&["pull", "web", "-w", &out])?;
    ends_with(&ended, 5, "cert:CN:bob is viewer")?;
    audited(&mut daemon, &["CN:bob", "ReadFile", "refused"])?;
    assert!(!lab.path("web.pcapng").exists());
    operator.output(&["pull", "web", "-w", &out])?;
    assert_eq!(
        capture_file::read(&lab.path("web.pcapng"))?.packets.len(),
        100
    );
    wrote_all(&daemon.client()?.get("web")?, 100)
}

#[test]
fn packets_of_two_nodes_are_shown_in_the_order_of_time() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    const OTHER: &str = "127.0.0.1:9444";
    let (pair, lab) = (Pair::new()?, Lab::new()?);
    let here = lab.daemon(&pair.b, &[])?;
    let there = lab.daemon(&pair.b, &["--set", &format!("listen={OTHER}")])?;
    let ctl = lab.ctl(&pair.b, "alice", &lab.alice()?)?;
    let both = |arguments: &[&str]| -> Vec<String> {
        let all = ["--node", OTHER]
            .into_iter()
            .chain(arguments.iter().copied());
        all.map(str::to_owned).collect()
    };
    let start = both(&["start", "web", "-i", "eth0", "--direction", "in"]);
    ctl.output(&start.iter().map(String::as_str).collect::<Vec<_>>())?;
    let tail = both(&["tail", "web", "--text", "-c", "400"]);
    let tail = ctl.start(&tail.iter().map(String::as_str).collect::<Vec<_>>())?;
    for daemon in [&here, &there] {
        wait_for_readers(daemon, 1)?;
    }
    for round in 0..20 {
        send_through(&pair, &numbered_frames(round * 10..round * 10 + 10))?;
    }
    let ended = tail.wait()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    // A line begins with its time, in a form that sorts by time.
    let lines = ended.stdout.lines();
    let times: Vec<_> = lines.filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(times.len(), 400);
    assert!(times.is_sorted(), "{}", ended.stdout);
    for node in [ADDRESS, OTHER] {
        assert_eq!(ended.stdout.matches(&format!("{node}:eth0")).count(), 200);
    }
    for daemon in [here, there] {
        wrote_all(&daemon.client()?.stop("web")?, 200)?;
    }
    Ok(())
}

#[test]
fn who_proves_nothing_or_the_wrong_thing_stays_outside_and_is_logged() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (pair, lab) = (Pair::new()?, Lab::new()?);
    let mut daemon = lab.daemon(&pair.b, &[])?;
    let foreign = Authority::new("another authority")?;
    let own = &lab.authority;
    for (name, credentials, told, logged) in [
        (
            "expired",
            own.client("bob", ALICE, Time::Past)?,
            "expired",
            "expired",
        ),
        (
            "early",
            own.client("bob", ALICE, Time::Future)?,
            "not valid yet",
            "not valid yet",
        ),
        (
            "foreign",
            foreign.client("bob", ALICE, Time::Now)?,
            "an authority that the node trusts",
            "not from an authority in tls.client_ca",
        ),
        (
            "stranger",
            own.client("eve", "spiffe://lab/eve", Time::Now)?,
            "no role",
            "no [[client]] matches its certificate",
        ),
        // A certificate for daemons is not valid for clients.
        (
            "node-as-client",
            own.node(Time::Now)?,
            "UnsupportedCertificate",
            "cannot be used",
        ),
    ] {
        let ctl = lab.ctl(&pair.b, name, &credentials)?;
        let ended = ctl.run(&["list"])?;
        ends_with(&ended, 5, told).context(name)?;
        audited(&mut daemon, &["127.0.0.1", "connect", "refused", logged]).context(name)?;
    }
    // The reverse: a client that does not trust the daemon.
    replace(&lab.path("foreign-ca.pem"), foreign.pem())?;
    let alice = lab.alice()?.write(lab.directory.path(), "alice")?;
    let distrustful = Lab::ctl_with(
        &pair.b,
        &lab.path("foreign-ca.pem"),
        &alice.certificate,
        &alice.key,
    )?;
    ends_with(&distrustful.run(&["list"])?, 4, "cacert")?;

    // No certificate, and no TLS at all.
    for greeting in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0; 64],
    ] {
        let mut stream = pair.b.run(|| TcpStream::connect(ADDRESS))?;
        stream.write_all(greeting)?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = Vec::new();
        // A reset is a rejection as well.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.len() < 16, "no more than an alert: {answer:?}");
    }
    audited(&mut daemon, &["127.0.0.1", "does not speak TLS"])?;
    let plain = Capturectl::with(&pair.b, &["--node", ADDRESS, "--insecure"])?;
    ends_with(&plain.run(&["list"])?, 4, "")?;
    nameless(&pair.b, own)?;
    audited(&mut daemon, &["127.0.0.1", "no certificate"])?;

    let log = daemon.process().stderr();
    assert!(!log.contains("PRIVATE"), "{log}");
    let alice = lab.ctl(&pair.b, "alice", &lab.alice()?)?;
    assert_eq!(alice.output(&["list"])?, "no captures\n");
    Ok(())
}

/// A TLS client without a certificate.
fn nameless(namespace: &Namespace, authority: &Authority) -> Result<()> {
    use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority.pem()));
    let endpoint = Endpoint::from_static(URI).tls_config(tls)?;
    namespace.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            // In TLS 1.3 the rejection may show only at the first request.
            let Ok(channel) = endpoint.connect().await else {
                return Ok(());
            };
            let mut node = capture_proto::v1::node_service_client::NodeServiceClient::new(channel);
            let answer = node.get_node(capture_proto::v1::GetNodeRequest {}).await;
            ensure!(answer.is_err(), "a client without a certificate got in");
            Ok(())
        })
    })
}

#[test]
fn a_client_that_stalls_holds_nobody_up() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (pair, lab) = (Pair::new()?, Lab::new()?);
    let mut daemon = lab.daemon(&pair.b, &["--set", "limits.handshakes=8"])?;
    let alice = lab.client(&pair.b, &lab.alice()?)?;
    alice.start("steady", spec("eth0", ""))?;
    let before = daemon.memory()?;
    let mut stalled = Vec::new();
    for number in 0..400_u32 {
        let mut stream = pair.b.run(|| TcpStream::connect(ADDRESS))?;
        match number % 3 {
            // Nothing, half a TLS greeting, and garbage.
            0 => {}
            1 => stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1])?,
            _ => {
                let _ = stream.write_all(&[number as u8; 2048]);
            }
        }
        stalled.push(stream);
    }
    // New clients are still admitted, while those are connected.
    for _ in 0..5 {
        let another = lab.client(&pair.b, &lab.alice()?)?;
        assert_eq!(another.get("steady")?.name, "steady");
    }
    send_through(&pair, &numbered_frames(0..100))?;
    audited(&mut daemon, &["refused", "limits.handshakes"])?;
    audited(
        &mut daemon,
        &["refused", "more requests or connections were refused"],
    )?;
    for number in 0..1000_u32 {
        let mut stream = pair.b.run(|| TcpStream::connect(ADDRESS))?;
        // It may be closed already.
        let _ = stream.write_all(&number.to_be_bytes().repeat(500));
    }
    let (after, resources) = (daemon.memory()?, daemon.resources()?);
    assert!(after < before + (16 << 20), "{before} became {after}");
    assert!(resources.descriptors < 200, "{resources:?}");
    let lines = daemon
        .process()
        .stderr()
        .matches("outcome=\"refused\"")
        .count();
    assert!(lines < 100, "{lines} lines of 1400 refusals");
    wrote_all(&alice.stop("steady")?, 100)
}

#[test]
fn a_client_is_told_by_its_first_call_that_its_role_does_not_allow_it() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let (pair, lab) = (Pair::new()?, Lab::new()?);
    replace(
        &lab.path("captured.toml"),
        "[tls]\ndefault_role = \"viewer\"\n",
    )?;
    let _daemon = lab.daemon(&pair.b, &[])?;
    let anyone = lab.authority.client("anyone", "", Time::Now)?;
    let client = lab.client(&pair.b, &anyone)?;
    let request = capture_proto::v1::StartCaptureRequest::default();
    let refused = client.wait(client.captures.clone().start_capture(request));
    let refused = refused.expect_err("a viewer started a capture");
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("cert:CN:anyone"), "{refused}");
    Ok(())
}

#[test]
fn who_says_nothing_takes_no_place_where_anyone_may_come() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let arguments = [
        "--insecure-listen",
        ADDRESS,
        "--set",
        "limits.connections=4",
    ];
    let mut daemon = Daemon::start(&pair.b, &arguments)?;
    assert!(daemon.process().stderr().contains("INSECURE"));
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(pair.b.run(|| TcpStream::connect(ADDRESS))?);
    }
    let anyone = Capturectl::with(&pair.b, &["--node", ADDRESS, "--insecure"])?;
    for _ in 0..8 {
        let node = anyone.json(&["node"])?;
        assert_eq!(node[0]["caller"], "insecure:127.0.0.1");
    }
    Ok(())
}
