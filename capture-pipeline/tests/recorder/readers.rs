//! tcpdump, tshark and capinfos read each file and find in it what was sent.

use capture_types::{Compression, Format};

use super::support::{
    Sent, assert_ledger, capture_files, finish, output_of, packets, send, spec, start,
};

/// One file of each kind, checked with every reader.
fn with_each_kind_of_file(check: impl Fn(&str, &[Sent])) {
    // Wireshark 4.0 cannot read past the first frames of a zstd file, and a frame is 1 MiB.
    let sent = packets(250);
    for format in [Format::Pcapng, Format::Pcap] {
        for compression in [
            Compression::None,
            Compression::Gzip(6),
            Compression::Zstd(3),
        ] {
            let directory = tempfile::tempdir().expect("tempdir");
            let mut spec = spec(directory.path());
            spec.output.format = format;
            spec.output.compression = compression;
            // The third interface has another link type and no packet; tcpdump would reject a
            // pcapng file that describes it.
            let mut recorder = start(&spec);
            send(&mut recorder, &sent);
            assert_ledger(&finish(recorder), &sent);
            let files = capture_files(directory.path());
            assert_eq!(files.len(), 1);
            check(files[0].to_str().expect("UTF-8"), &sent);
        }
    }
}

/// Seconds with nine decimals.
fn seconds(timestamp: u64) -> String {
    format!(
        "{}.{:09}",
        timestamp / 1_000_000_000,
        timestamp % 1_000_000_000
    )
}

#[test]
fn tshark_reads_every_packet_as_it_was_sent() {
    with_each_kind_of_file(|file, sent| {
        let fields = "-e frame.time_epoch -e frame.cap_len -e frame.len".split(' ');
        let arguments: Vec<&str> = ["-n", "-r", file, "-T", "fields"]
            .into_iter()
            .chain(fields)
            .collect();
        let Some(output) = output_of("tshark", &arguments) else {
            return;
        };
        let expected: Vec<String> = sent
            .iter()
            .map(|packet| {
                let time = seconds(packet.timestamp);
                format!("{time}\t{}\t{}", packet.bytes.len(), packet.original_length)
            })
            .collect();
        assert_eq!(output.lines().collect::<Vec<_>>(), expected, "{file}");
    });
}

#[test]
fn capinfos_counts_every_packet() {
    with_each_kind_of_file(|file, sent| {
        let Some(output) = output_of("capinfos", &["-M", "-c", "-d", file]) else {
            return;
        };
        let count = format!("Number of packets:   {}", sent.len());
        assert!(output.contains(&count), "{output}");
    });
}

#[test]
fn tcpdump_reads_every_packet_of_an_uncompressed_file() {
    with_each_kind_of_file(|file, sent| {
        if !file.ends_with("pcap") && !file.ends_with("pcapng") {
            return;
        }
        let Some(count) = output_of("tcpdump", &["--count", "-r", file]) else {
            return;
        };
        assert_eq!(count.trim(), format!("{} packets", sent.len()), "{file}");
        // It prints nothing for a packet without bytes.
        let output = output_of("tcpdump", &["-tt", "--nano", "-e", "-n", "-r", file]);
        let output = output.expect("it was here a moment ago");
        let times: Vec<&str> = output
            .lines()
            .filter(|line| line.starts_with(|first: char| first.is_ascii_digit()))
            .filter_map(|line| line.split(' ').next())
            .collect();
        let expected: Vec<String> = sent
            .iter()
            .filter(|packet| !packet.bytes.is_empty())
            .map(|packet| seconds(packet.timestamp))
            .collect();
        assert_eq!(times, expected, "{file}");
    });
}
