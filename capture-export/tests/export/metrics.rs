//! Metrics and health over HTTP.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use crate::support::{Data, Exporter};

/// The status and the body of a page.
fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    (status.to_owned(), body.to_owned())
}

#[test]
fn metrics_say_for_each_sink_what_it_has_what_waits_and_whether_it_is_up() {
    let mut data = Data::new();
    data.add("web", 3, 100);
    data.add("web", 4, 100);
    let target = tempfile::tempdir().unwrap();
    let sinks = format!(
        "[sink.up]\ntype = 'store'\nurl = 'file://{}'\n[sink.down]\ntype = 'store'\nurl = 'file://{0}/missing'\n",
        target.path().display()
    );
    let exporter = Exporter::new(data.path(), &sinks)
        .with_environment([("CAPTURE_EXPORT_METRICS", "127.0.0.1:0")]);
    let mut running = exporter.run();
    let log = running.log_handle();
    let mut address = String::new();
    running.until("an address", || {
        let log = log();
        let after = log.split_once("metrics at http://").map(|(_, after)| after);
        let found = after.and_then(|after| after.split_once("/metrics"));
        address = found
            .map(|(address, _)| address.to_owned())
            .unwrap_or_default();
        !address.is_empty()
    });
    running.until("both files", || exporter.delivered("up") == 2);
    running.until("a failure", || {
        exporter
            .checkpoint("down")
            .is_some_and(|checkpoint| checkpoint.trouble.is_some())
    });
    let bytes: u64 = data.entries("web").iter().map(|entry| entry.bytes).sum();
    let expected = [
        "capture_export_files_total{sink=\"up\",result=\"delivered\"} 2".to_owned(),
        format!("capture_export_bytes_total{{sink=\"up\"}} {bytes}"),
        "capture_export_packets_total{sink=\"up\"} 7".to_owned(),
        "capture_export_waiting_files{sink=\"up\"} 0".to_owned(),
        "capture_export_waiting_files{sink=\"down\"} 2".to_owned(),
        "capture_export_sink_up{sink=\"up\"} 1".to_owned(),
        "capture_export_sink_up{sink=\"down\"} 0".to_owned(),
        "capture_export_missed_files{sink=\"down\"} 0".to_owned(),
    ];
    let mut text = String::new();
    running.until("the numbers", || {
        text = get(&address, "/metrics").1;
        expected.iter().all(|line| text.contains(line.as_str()))
    });
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert_eq!(get(&address, "/healthz").0, "200");
    assert_eq!(get(&address, "/readyz").0, "200");
}

#[test]
fn an_address_that_another_program_has_is_named_with_the_way_out() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let (data, target) = (Data::new(), tempfile::tempdir().unwrap());
    let sink = format!(
        "[sink.a]\ntype = 'store'\nurl = 'file://{}'\n",
        target.path().display()
    );
    let exporter = Exporter::new(data.path(), &sink)
        .with_environment([("CAPTURE_EXPORT_METRICS", address.as_str())]);
    let (status, log) = exporter.run().ended();
    assert!(!status.success(), "{log}");
    for part in [&address, "--metrics", "METRICS_PORT", "captured"] {
        assert!(log.contains(part), "{part}: {log}");
    }
}
