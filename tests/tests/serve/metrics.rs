//! Metrics and health for Prometheus and liveness probes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::TcpStream,
};

use anyhow::{Context as _, Result, ensure};
use capture_tests::{
    daemon::{Daemon, spec, wrote_all},
    gate,
    netns::{Namespace, Pair},
    scene::{numbered_frames, send_through},
    stopped_thread::StoppedThread,
    wait,
};

const LISTEN: &str = "127.0.0.1:9100";

/// A page: its status and its text.
fn get(namespace: &Namespace, path: &str) -> Result<(u16, String)> {
    namespace.run(|| {
        let mut stream = TcpStream::connect(LISTEN)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {LISTEN}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok((status, body.to_owned()))
    })
}

/// Metrics by name and labels, as on a line.
fn metrics(namespace: &Namespace) -> Result<BTreeMap<String, f64>> {
    let (status, text) = get(namespace, "/metrics")?;
    ensure!(status == 200, "{status}: {text}");
    ensure!(text.ends_with("# EOF\n"), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').context("no value")?;
            Ok((name.to_owned(), value.parse()?))
        })
        .collect()
}

/// Every name of a metric in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let word = |byte: char| !(byte.is_ascii_alphanumeric() || byte == '_');
    let words = text.split(word);
    words.filter(|word| word.starts_with("captured_")).collect()
}

#[test]
fn metrics_say_what_the_ledger_says_and_the_dashboard_asks_for_none_that_is_not_there() -> Result<()>
{
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let daemon = Daemon::start(&pair.b, &["--metrics", LISTEN])?;
    let client = daemon.client()?;
    client.start("web", spec("eth0", ""))?;
    send_through(&pair, &numbered_frames(0..300))?;
    let packets = |outcome: &str| {
        format!(
            "captured_packets_total{{capture=\"web\",interface=\"eth0\",outcome=\"{outcome}\"}}"
        )
    };
    let of = |name: &str| format!("{name}{{capture=\"web\"}}");
    let numbers = wait::until("300 packets to be written", || {
        let numbers = metrics(&pair.b)?;
        Ok((numbers.get(&packets("written")) == Some(&300.0)).then_some(numbers))
    })?;
    for outcome in ["seen", "matched", "submitted"] {
        assert_eq!(numbers[&packets(outcome)], 300.0, "{outcome}");
    }
    for outcome in ["ring_full", "queue_full", "filtered", "duplicate"] {
        assert_eq!(numbers[&packets(outcome)], 0.0, "{outcome}");
    }
    assert_eq!(numbers[&of("captured_ring_size_bytes")], f64::from(1 << 20));
    assert_eq!(
        numbers[&of("captured_ring_used_bytes")],
        0.0,
        "all is taken"
    );
    let writes = numbers[&of("captured_write_seconds_count")];
    assert!(writes >= 1.0);
    let all = "captured_write_seconds_bucket{le=\"+Inf\",capture=\"web\"}";
    assert_eq!(numbers[all], writes);
    assert!(numbers[&of("captured_write_seconds_sum")] > 0.0);
    let dashboard = include_str!("../../../deploy/grafana-dashboard.json");
    let text = get(&pair.b, "/metrics")?.1;
    let (asked, there) = (names(dashboard), names(&text));
    assert!(asked.len() > 10, "{asked:?}");
    let missing: Vec<_> = asked.difference(&there).collect();
    assert!(missing.is_empty(), "{missing:?} of {there:?}");

    wrote_all(&client.stop("web")?, 300)?;
    let numbers = metrics(&pair.b)?;
    assert_eq!(numbers[&packets("written")], 300.0, "counters stay");
    assert_eq!(numbers[&of("captured_files_total")], 1.0);
    assert_eq!(numbers[&of("captured_warnings")], 0.0);
    assert!(!numbers.contains_key(&of("captured_ring_size_bytes")));
    assert_eq!(numbers["captured_captures{state=\"completed\"}"], 1.0);
    Ok(())
}

#[test]
fn a_ring_that_nobody_drains_fills_and_its_stuck_thread_is_not_healthy() -> Result<()> {
    let Some(_permit) = gate::beside_others()? else {
        return Ok(());
    };
    let pair = Pair::new()?;
    let mut daemon = Daemon::start(&pair.b, &["--metrics", LISTEN])?;
    let client = daemon.client()?;
    client.start("web", spec("eth0", ""))?;
    let health = || get(&pair.b, "/healthz");
    assert_eq!(health()?, (200, "ok\n".to_owned()));
    assert_eq!(get(&pair.b, "/readyz")?.0, 200);
    let stopped = StoppedThread::of(daemon.process().id(), "drain")?;
    send_through(&pair, &numbered_frames(0..200))?;
    let used = metrics(&pair.b)?["captured_ring_used_bytes{capture=\"web\"}"];
    assert!(used > 200.0 * 60.0, "{used}");
    let sick = wait::until("the daemon to be sick", || {
        let (status, text) = health()?;
        Ok((status == 503).then_some(text))
    })?;
    assert!(sick.contains("web"), "{sick}");
    drop(stopped);
    wait::until_true("the daemon to be healthy", || Ok(health()?.0 == 200))?;
    wrote_all(&client.stop("web")?, 200)
}
