//! Files come back from the store as one capture.

use std::fs;

use capture_file::{CaptureReader, Item};

use super::s3;
use crate::support::{Data, Exporter, write_capture};

fn packets(path: &std::path::Path) -> u64 {
    let mut reader = CaptureReader::new(fs::File::open(path).unwrap()).unwrap();
    let (mut packets, mut last) = (0, 0);
    while let Some(item) = reader.next_item().unwrap() {
        if let Item::Packet(packet) = item {
            assert!(packet.timestamp >= last, "merged by time");
            last = packet.timestamp;
            packets += 1;
        }
    }
    packets
}

#[test]
fn a_capture_of_two_nodes_is_merged_from_the_store() {
    let mut data = Data::new();
    for packets in [3, 4, 300] {
        data.add("web", packets, 1000);
    }
    data.add("dns", 9, 100);
    let (root, server, exporter) = s3(&data, "");
    let mut running = exporter.run();
    running.until("all files", || exporter.delivered("archive") == 4);
    running.kill();
    // Another node delivers to the same store.
    let mut other = Data::new();
    other.add("web", 5, 100);
    let sink = "[sink.archive]\ntype = 'store'\nurl = 's3://bucket'\n";
    let second = Exporter::new(other.path(), sink)
        .with_environment(server.environment())
        .with_environment([("NODE_NAME", "n2")]);
    let mut running = second.run();
    running.until("the file", || second.delivered("archive") == 1);
    running.kill();

    let out = exporter.state.path().join("web.pcapng");
    let words = ["pull", "s3://bucket", "web", "-w", out.to_str().unwrap()];
    server.faults().refuse_each(3);
    let printed = exporter.prints(&words);
    server.faults().none();
    assert!(printed.contains("312 packets of 4 files"), "{printed}");
    assert_eq!(packets(&out), 312);
    let left: Vec<_> = fs::read_dir(exporter.state.path())
        .unwrap()
        .flatten()
        .collect();
    assert!(
        left.iter()
            .all(|entry| !entry.file_name().to_string_lossy().ends_with(".pull"))
    );

    let into = exporter.state.path().join("files");
    exporter.prints(&["pull", "s3://bucket/c/n", "--into", into.to_str().unwrap()]);
    assert_eq!(crate::support::tree(&into).len(), 4);

    // A file that is damaged in the store is found, and the output does not get its name.
    let name = &data.entries("web")[0].file;
    let object = root
        .path()
        .join(format!("bucket/c/n/s/web/2023-11-14/{name}"));
    write_capture(&object, 1, 3, 1000);
    let damaged = exporter.state.path().join("damaged.pcapng");
    let output = exporter.output(&[
        "pull",
        "s3://bucket",
        "web",
        "-w",
        damaged.to_str().unwrap(),
    ]);
    assert_eq!(
        output.status.code(),
        Some(6),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!damaged.exists());
    let output = exporter.output(&["pull", "s3://bucket", "nope", "--list"]);
    assert_eq!(output.status.code(), Some(3));
}
