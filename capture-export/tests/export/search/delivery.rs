//! Documents reach the cluster as they are, once.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    cluster::Cluster,
    exporter, prepared,
    proxy::{Fault, Proxy},
    rules,
    traffic::{self, CLIENT, SERVER, Traffic},
};
use crate::support::{Data, Exporter, skipped};

const EVERYTHING: &str = "documents = 'flow,dns,tls,http,finding,packet'";

/// The one document for which this holds.
fn one(documents: &[Value], holds: impl Fn(&Value) -> bool) -> &Value {
    let found: Vec<&Value> = documents.iter().filter(|one| holds(one)).collect();
    match found[..] {
        [one] => one,
        _ => panic!("{} of {documents:#?}", found.len()),
    }
}

#[test]
fn each_kind_of_document_reaches_the_index_with_its_fields() {
    let Some(cluster) = Cluster::start("each_kind_of_document_reaches_the_index_with_its_fields")
    else {
        return;
    };
    let mut data = Data::new();
    let made = traffic::mixed(1);
    let packets = made.frames.len() as u64;
    let path = data.add_with("web", packets, |path, _| made.write(path));
    let proxy = Proxy::start(cluster.url(), Box::new(|_, _| Fault::None));
    let exporter = exporter(data.path(), &proxy.url(), &cluster.index, EVERYTHING);
    exporter.prints(&["search", "setup", "--sink", "search"]);
    let mut running = exporter.run();
    running.until("the file", || exporter.delivered("search") == 1);
    for (kind, count) in [
        ("flow", 3),
        ("dns", 3),
        ("tls", 1),
        ("http", 2),
        ("packet", packets),
    ] {
        assert_eq!(cluster.count(kind), count, "{kind}\n{}", running.log());
    }
    let findings = cluster.documents("finding");
    let failed = one(&findings, |one| one["rule"]["name"] == "tls-failed");
    assert_eq!(failed["event"]["severity"], 3);
    assert_eq!(failed["source"]["ip"], "10.0.0.1");

    let flows = cluster.documents("flow");
    let flow = one(&flows, |flow| flow["destination"]["port"] == 80);
    assert_eq!(flow["network"]["packets"], 9);
    assert_eq!(flow["network"]["protocol"], "http");
    assert_eq!(flow["event"]["outcome"], "success");
    assert_eq!(flow["capture"]["tcp"]["ended"], "closed");
    assert_eq!(flow["capture"]["frame"], json!({"first": 6, "last": 14}));
    assert_eq!(flow["destination"]["domain"], "web-0.shop");
    assert_eq!(
        flow["kubernetes"]["pod"],
        json!({"name": "web-0", "uid": "u-1"})
    );
    assert_eq!(flow["container"]["name"], json!(["app", "proxy"]));
    assert_eq!(flow["orchestrator"]["cluster"]["name"], "c");
    assert_eq!(flow["observer"]["ingress"]["interface"]["name"], "veth7");
    assert_eq!(flow["host"]["name"], "n");
    assert_eq!(flow["log"]["file"]["path"], path.to_str().unwrap());
    let file = &data.entries("web")[0];
    assert_eq!(
        flow["capture"]["file"]["digest"],
        file.digest.as_ref().unwrap().to_string()
    );

    let questions = cluster.documents("dns");
    let question = |name: &str| one(&questions, |dns| dns["dns"]["question"]["name"] == name);
    let missing = question("missing.example");
    assert_eq!(missing["dns"]["response_code"], "NXDOMAIN");
    assert_eq!(missing["event"]["duration"], traffic::STEP);
    assert_eq!(missing["dns"]["type"], "answer");
    let lost = question("lost.example");
    assert_eq!(
        (&lost["dns"]["type"], &lost["event"]["outcome"]),
        (&json!("query"), &json!("failure"))
    );

    let requests = cluster.documents("http");
    let request = one(&requests, |one| one["http"]["request"]["method"] == "GET");
    assert_eq!(
        request["url"],
        json!({"domain": "www.example", "original": "/a?b=c", "path": "/a"})
    );
    assert_eq!(request["http"]["response"]["status_code"], 200);
    assert_eq!(request["flow"]["id"], flow["flow"]["id"]);
    assert_eq!(
        request["network"]["community_id"],
        flow["network"]["community_id"]
    );

    let tls = &cluster.documents("tls")[0];
    assert_eq!(tls["tls"]["client"]["server_name"], "tls.example");
    assert_eq!(tls["tls"]["established"], false);

    let packets = cluster.documents("packet");
    let first = one(&packets, |packet| packet["capture"]["frame"]["first"] == 1);
    assert_eq!(first["timestamp"], first["@timestamp"]);
    assert_eq!(
        (&first["src_ip"], &first["dst_port"]),
        (&json!("10.0.0.1"), &json!(53))
    );
    assert_eq!(
        (&first["l4_protocol"], &first["packet_length"]),
        (&json!("UDP"), &json!(71))
    );
    assert_eq!(first["source"]["mac"], "02-00-00-00-00-02");
    let mut fields = BTreeSet::new();
    for document in [&findings, &flows, &questions, &requests, &packets]
        .into_iter()
        .flatten()
    {
        rules::flat("", document, &mut fields).unwrap();
    }
    // Every field of the mapping but those that this traffic has no reason for.
    assert!(fields.len() > 80, "{fields:?}");
}

#[test]
fn documents_on_stdout_are_those_that_a_cluster_gets() {
    let mut data = Data::new();
    let path = data.add_with("web", 20, |path, _| traffic::mixed(1).write(path));
    let exporter = exporter(data.path(), "http://127.0.0.1:9", "none", "");
    let path = path.to_str().unwrap();
    let text = exporter.prints(&["documents", "--documents", "flow,dns,http,tls,packet", path]);
    assert_eq!(text.lines().count(), 3 + 3 + 2 + 1 + 21);
    text.lines().for_each(|line| rules::document(line).unwrap());
    let lines = exporter.prints(&["documents", "--bulk", "--documents", "flow", path]);
    let action = lines.lines().next().unwrap();
    assert!(action.starts_with("{\"create\":{\"_id\":\""), "{action}");
    let again = exporter.prints(&["documents", "--bulk", "--documents", "flow", path]);
    assert_eq!(lines, again);
}

#[test]
fn a_flow_has_one_id_in_all_files_that_it_goes_through() {
    let Some(cluster) = Cluster::start("a_flow_has_one_id_in_all_files_that_it_goes_through")
    else {
        return;
    };
    let mut data = Data::new();
    let ends = (CLIENT, 40_001, SERVER, 9_999);
    let mut sent = [1, 1];
    for number in 0..3 {
        let mut traffic = Traffic::at(number);
        if number == 0 {
            traffic.connection((CLIENT, 40_002, SERVER, 9_999), &[b"over"]);
        }
        sent = traffic.turns(ends, sent, &[b"question", b"answer"]);
        data.add_with("web", 2, |path, _| traffic.write(path));
    }
    let mut later = Traffic::at(3_600);
    later.turns(ends, sent, &[b"question", b"answer"]);
    data.add_with("web", 2, |path, _| later.write(path));
    let exporter = prepared(data.path(), &cluster, "");
    // A restart between files changes nothing.
    let mut running = exporter.run();
    running.until("a file", || exporter.delivered("search") >= 1);
    running.kill();
    let mut running = exporter.run();
    running.until("all files", || exporter.delivered("search") == 4);
    let segments = cluster.search(&json!({"term": {"source.port": 40_001}}));
    let segments: Vec<&Value> = segments
        .iter()
        .filter(|one| one["event"]["dataset"] == "capture.flow")
        .collect();
    assert_eq!(segments.len(), 4, "{segments:#?}");
    let ids: Vec<&str> = segments
        .iter()
        .map(|one| one["flow"]["id"].as_str().unwrap())
        .collect();
    assert_eq!((ids[0], ids[0]), (ids[1], ids[2]));
    assert_ne!(ids[0], ids[3], "an hour later it is another flow");
    let other = cluster.search(&json!({"term": {"source.port": 40_002}}));
    assert_ne!(other[0]["flow"]["id"], ids[0]);
}

#[test]
fn a_file_that_is_delivered_again_adds_no_document() {
    let Some(cluster) = Cluster::start("a_file_that_is_delivered_again_adds_no_document") else {
        return;
    };
    let mut data = Data::new();
    let path = data.add_with("web", 20, |path, _| traffic::mixed(1).write(path));
    let exporter = prepared(data.path(), &cluster, "");
    let path = path.to_str().unwrap();
    let before = exporter.prints(&["deliver", "sink", "search", path]);
    let count = cluster.count("");
    assert!(
        before.contains(&format!("{count} accepted, 0 duplicate, 0 rejected")),
        "{before}"
    );
    let again = exporter.prints(&["deliver", "sink", "search", path]);
    assert!(
        again.contains(&format!("0 accepted, {count} duplicate, 0 rejected")),
        "{again}"
    );
    assert_eq!(cluster.count(""), count);
}

#[test]
fn known_variables_of_the_environment_alone_make_a_sink() {
    let Some(cluster) = Cluster::start("known_variables_of_the_environment_alone_make_a_sink")
    else {
        return;
    };
    let mut data = Data::new();
    data.add_with("web", 20, |path, _| traffic::mixed(1).write(path));
    let exporter = Exporter::new(data.path(), "").with_environment([
        ("ELASTIC_URL", cluster.url()),
        ("ELASTIC_INDEX", &cluster.index),
        ("ELASTIC_RETRIES", "3"),
        ("ELASTIC_RETRY_SLEEP", "1"),
    ]);
    exporter.prints(&["search", "setup"]);
    let mut running = exporter.run();
    running.until("the file", || exporter.delivered("elastic") == 1);
    assert_eq!(cluster.count("flow"), 3);
}

#[test]
fn without_its_index_the_cluster_gets_no_document_and_the_way_out_is_named() {
    let Some(cluster) =
        Cluster::start("without_its_index_the_cluster_gets_no_document_and_the_way_out_is_named")
    else {
        return;
    };
    let mut data = Data::new();
    data.add_with("web", 20, |path, _| traffic::mixed(1).write(path));
    let exporter = exporter(data.path(), cluster.url(), &cluster.index, "");
    let mut running = exporter.run();
    running.until("the reason", || {
        exporter.prints(&["status"]).contains("search setup")
    });
    let (status, _) = cluster.ask("GET", &format!("/{}", cluster.index), None);
    assert_eq!(
        status, 404,
        "it was created with a mapping that the cluster guessed"
    );
    exporter.prints(&["search", "setup", "--sink", "search"]);
    running.until("the file", || exporter.delivered("search") == 1);
    assert_eq!(cluster.count("flow"), 3);
}

#[test]
fn hostile_texts_in_packets_are_only_texts_in_documents() {
    let Some(cluster) = Cluster::start("hostile_texts_in_packets_are_only_texts_in_documents")
    else {
        return;
    };
    let mut data = Data::new();
    let mut traffic = Traffic::at(1);
    let label: &[u8] = b"\"},{\"create\":{}}\n\0\x1b[31m\xff\xfe{{7*7}}<script>";
    traffic.dns(1, &[label, b"\xc3\x28\r\n"], Some(3));
    let name = "x\"\n\u{202e}".repeat(2_000);
    traffic.connection(
        (CLIENT, 40_002, SERVER, 443),
        &[&traffic::client_hello(name.as_bytes())],
    );
    let target = format!("/{}\"\\u0000%00", "ü".repeat(7_000));
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\"b\\\u{1}\r\n\r\n");
    traffic.connection(
        (CLIENT, 40_003, SERVER, 80),
        &[request.as_bytes(), b"HTTP/1.1 200 OK\r\n\r\n"],
    );
    data.add_with("web", 20, |path, _| traffic.write(path));
    let proxy = Proxy::start(cluster.url(), Box::new(|_, _| Fault::None));
    let exporter = exporter(data.path(), &proxy.url(), &cluster.index, EVERYTHING);
    exporter.prints(&["search", "setup", "--sink", "search"]);
    let mut running = exporter.run();
    running.until("the file", || exporter.delivered("search") == 1);
    let log = running.kill();
    assert!(log.contains("rejected=0"), "{log}");
    let tls = &cluster.documents("tls")[0]["tls"]["client"]["server_name"];
    let tls = tls.as_str().unwrap();
    assert!(
        name.starts_with(tls) && tls.len() > 8_000,
        "cut, and otherwise as sent"
    );
    let dns = &cluster.documents("dns")[0]["dns"]["question"]["name"];
    assert!(dns.as_str().unwrap().contains("{{7*7}}<script>"), "{dns}");
    assert_eq!(cluster.count("packet"), traffic.frames.len() as u64);
}

#[test]
fn the_client_that_users_have_finds_and_adds_up_what_was_sent() {
    let test = "the_client_that_users_have_finds_and_adds_up_what_was_sent";
    let Some(cluster) = Cluster::start(test) else {
        return;
    };
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let python = format!("{root}../target/python/bin/python");
    if !std::path::Path::new(&python).exists() {
        return skipped(
            test,
            "there is no Python with opensearch-py; `cargo xtask setup` makes one",
        );
    }
    let mut data = Data::new();
    let traffic = traffic::mixed(1);
    data.add_with("web", 20, |path, _| traffic.write(path));
    let exporter = prepared(data.path(), &cluster, "");
    let mut running = exporter.run();
    running.until("the file", || exporter.delivered("search") == 1);
    let output = std::process::Command::new(python)
        .arg(format!("{root}tests/export/search/read_back.py"))
        .args([cluster.url(), &cluster.index])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let bytes: usize = traffic.frames.iter().map(Vec::len).sum();
    assert_eq!(found["servers"]["10.0.0.2"], json!(bytes as f64));
    assert_eq!(found["over_time"], 3);
    assert_eq!(found["count"], cluster.count(""));
    assert!(found["in_network"].as_u64().unwrap() >= 9);
}
