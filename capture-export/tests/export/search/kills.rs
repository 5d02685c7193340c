//! Many documents, faults, and an exporter that is killed: the exact count, no duplicate, nothing lost.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};

use super::{
    cluster::Cluster,
    exporter,
    proxy::{Fault, Proxy},
    traffic,
};
use crate::support::Data;

/// Documents of a request.
const BATCH: u64 = 500;

/// Documents; a million of them takes some minutes: `EXPORT_DOCUMENTS=1000000`.
fn documents() -> u64 {
    let given = std::env::var("EXPORT_DOCUMENTS").ok();
    given.map_or(100_000, |text| text.parse().unwrap())
}

/// One request in twenty fails, in one of these ways.
fn fault(number: u64) -> Fault {
    // A fixed mixture, without a pattern that batches could follow.
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    if !mixed.is_multiple_of(20) {
        return Fault::None;
    }
    match mixed / 20 % 6 {
        0 => Fault::Status(429),
        1 => Fault::Status(503),
        2 => Fault::CutAnswer,
        3 => Fault::NoAnswer,
        4 => Fault::Items {
            every: 7,
            status: 429,
        },
        _ => Fault::Items {
            every: 2,
            status: 503,
        },
    }
}

#[test]
fn faults_and_kills_lose_no_document_and_make_no_duplicate() {
    let Some(cluster) = Cluster::start("faults_and_kills_lose_no_document_and_make_no_duplicate")
    else {
        return;
    };
    let all = documents();
    // A flow and a packet of each.
    let per_file = 10_000;
    let files = all / 2 / per_file;
    let mut data = Data::new();
    for number in 0..files {
        data.add_with("web", per_file, |path, _| {
            traffic::many_flows(number, per_file as u32).write(path);
        });
    }
    let proxy = Proxy::start(cluster.url(), Box::new(|number, _| fault(number)));
    let more = format!("documents = 'flow,packet'\nbatch_documents = {BATCH}\nretries = 20");
    let exporter = exporter(data.path(), &proxy.url(), &cluster.index, &more);
    // Only what is asked for below is indexed, as the server takes a millisecond for all fields of a document.
    let mapping = json!({"mappings": {"dynamic": false, "properties": {
        "@timestamp": {"type": "date_nanos"},
        "event": {"properties": {"dataset": {"type": "keyword"}}},
        "source": {"properties": {"ip": {"type": "ip"}}},
    }}});
    cluster.ask("PUT", &format!("/{}", cluster.index), Some(&mapping));
    // Killed in the middle of a file, each time further on.
    let requests = all / BATCH;
    let limit = Duration::from_secs(60 + all / 500);
    for kill in 1..=3 {
        let mut running = exporter.run();
        running.until_within(limit, "its turn to be killed", || {
            proxy.bulks() > requests * kill / 4
        });
        running.kill();
    }
    let mut running = exporter.run();
    running.until_within(limit, "all files", || exporter.delivered("search") == files);
    running.kill();
    assert_eq!(cluster.count("flow"), files * per_file);
    assert_eq!(cluster.count("packet"), files * per_file);
    assert_eq!(cluster.count(""), files * per_file * 2);
    // Each of a sample is there once, with what it was made of.
    for number in [0, 1, per_file - 1] {
        let [_, a, b, c] = (number as u32).to_be_bytes();
        let found = cluster.search(&json!({"term": {"source.ip": format!("10.{a}.{b}.{c}")}}));
        assert_eq!(found.len() as u64, files * 2);
        let digest = |one: &Value| one["capture"]["file"]["digest"].to_string();
        let digests: HashSet<String> = found.iter().map(digest).collect();
        assert_eq!(digests.len() as u64, files);
    }
}
