//! Invalid files, and unusually large amounts.

use capture_analysis::{Analysis, Settings};

use crate::support::{
    self, ACK, Frames, PSH, SYN, analysed, analysed_files, block, option, section,
    wire::{Header, ipv4, packet, tcp, udp},
};

pub(crate) fn handshake() -> Frames {
    Frames::new()
        .client(SYN, 0, 0, b"")
        .server(SYN | ACK, 0, 1, b"")
        .client(ACK, 1, 1, b"")
}

/// A pcap file, with its numbers in either byte order.
fn pcap(little: bool, magic: u32, link_type: u32, records: &[(u32, u32, u32, &[u8])]) -> Vec<u8> {
    let word = |word: u32| {
        if little {
            word.to_le_bytes()
        } else {
            word.to_be_bytes()
        }
    };
    let half = |half: u16| {
        if little {
            half.to_le_bytes()
        } else {
            half.to_be_bytes()
        }
    };
    let mut file = word(magic).to_vec();
    file.extend([half(2), half(4)].concat());
    file.extend([0, 0, 65_535, link_type].map(word).concat());
    for (seconds, fraction, original, data) in records {
        file.extend(
            [*seconds, *fraction, data.len() as u32, *original]
                .map(word)
                .concat(),
        );
        file.extend(*data);
    }
    file
}

#[test]
fn both_byte_orders_and_both_resolutions_are_the_same_capture() {
    let data = packet(
        Header::new([10, 0, 0, 1], [10, 0, 0, 2]),
        17,
        &udp([1, 2], b"x"),
    );
    let length = data.len() as u32;
    for little in [true, false] {
        for (magic, fraction) in [(0xa1b2_c3d4, 500_000), (0xa1b2_3c4d, 500_000_000)] {
            let records = [(1, 0, length, &data[..]), (1, fraction, length, &data[..])];
            let report = analysed(&pcap(little, magic, 101, &records));
            assert_eq!(report.inventory.packets, 2);
            assert_eq!(report.inventory.duration_ns, Some(500_000_000));
            assert_eq!(report.files[0].format, "pcap");
            assert_eq!(report.conversations.udp.len(), 1);
        }
    }
}

#[test]
fn a_loopback_capture_is_read_in_either_byte_order() {
    for (link_type, family) in [
        (0, 2_u32.to_le_bytes()),
        (0, 2_u32.to_be_bytes()),
        (108, 2_u32.to_be_bytes()),
    ] {
        let header = Header::new([127, 0, 0, 1], [127, 0, 0, 1]);
        let segments = [
            tcp([40_000, 80], [0, 0], SYN, b""),
            tcp([80, 40_000], [0, 1], SYN | ACK, b""),
            tcp([40_000, 80], [1, 1], ACK, b""),
        ];
        let frames = segments.map(|segment| [&family[..], &packet(header, 6, &segment)].concat());
        let records: Vec<_> = (1..)
            .zip(&frames)
            .map(|(second, frame)| (second, 0, frame.len() as u32, &frame[..]))
            .collect();
        let report = analysed(&pcap(true, 0xa1b2_c3d4, link_type, &records));
        assert_eq!(report.tcp.completed, 1, "link type {link_type}");
        assert_eq!(report.inventory.link_types[0].number, link_type as u16);
    }
}

/// An interface with its link type, snap length and resolution.
fn interface(link_type: u16, snaplen: u32, resolution: u8) -> Vec<u8> {
    let mut body = link_type.to_le_bytes().to_vec();
    body.extend([0, 0]);
    body.extend(snaplen.to_le_bytes());
    option(&mut body, 9, &[resolution]);
    let mut file = Vec::new();
    block(&mut file, 1, &body);
    file
}

fn enhanced(interface: u32, time: u64, original: u32, data: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for word in [
        interface,
        (time >> 32) as u32,
        time as u32,
        data.len() as u32,
        original,
    ] {
        body.extend(word.to_le_bytes());
    }
    body.extend(data);
    let mut file = Vec::new();
    block(&mut file, 6, &body);
    file
}

#[test]
fn two_interfaces_with_different_link_type_snap_length_and_resolution_are_one_flow() {
    let (client, server) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let there = |numbers, flags, data: &[u8]| tcp([40_000, 80], numbers, flags, data);
    let back = |numbers, flags, data: &[u8]| tcp([80, 40_000], numbers, flags, data);
    let ethernet = |segment: &[u8]| ipv4(Header::new(client, server), 6, segment);
    let raw = |segment: &[u8]| packet(Header::new(server, client), 6, segment);
    let data = ethernet(&there([1, 1], PSH | ACK, &[7; 500]));
    let mut file = section();
    // Ethernet in nanoseconds cut to 54 bytes; raw IP in microseconds whole.
    file.extend(interface(1, 54, 9));
    file.extend(interface(101, 0, 6));
    let second = 1_700_000_000_u64;
    file.extend(enhanced(
        0,
        second * 1_000_000_000,
        54,
        &ethernet(&there([0, 0], SYN, b"")),
    ));
    file.extend(enhanced(
        1,
        second * 1_000_000 + 10,
        40,
        &raw(&back([0, 1], SYN | ACK, b"")),
    ));
    file.extend(enhanced(
        0,
        second * 1_000_000_000 + 20_000,
        54,
        &ethernet(&there([1, 1], ACK, b"")),
    ));
    file.extend(enhanced(
        0,
        second * 1_000_000_000 + 30_000,
        data.len() as u32,
        &data[..54],
    ));
    file.extend(enhanced(
        1,
        second * 1_000_000 + 40,
        40,
        &raw(&back([1, 501], ACK, b"")),
    ));
    let report = analysed(&file);
    assert_eq!(report.conversations.tcp.len(), 1);
    let facts = report.conversations.tcp[0].tcp.as_ref().expect("TCP");
    assert_eq!(
        (facts.opened.as_str(), facts.handshake_ns),
        ("completed", Some(20_000))
    );
    assert_eq!(
        (
            facts.client_data,
            facts.lost_segments,
            facts.retransmissions
        ),
        (500, 0, 0)
    );
    assert_eq!((report.inventory.cut, report.interfaces.len()), (1, 2));
    assert_eq!(
        (report.interfaces[0].snaplen, report.interfaces[1].snaplen),
        (Some(54), None)
    );
}

#[test]
fn several_sections_one_after_the_other_are_one_capture() {
    let one = handshake().pcapng_on(&["eth0"]);
    let data = Frames::new()
        .client(PSH | ACK, 1, 1, b"more")
        .pcapng_on(&["eth0"]);
    let report = analysed(&[one, data].concat());
    assert_eq!(
        (report.inventory.packets, report.conversations.tcp.len()),
        (4, 1)
    );
    assert!(report.complete);
}

#[test]
fn unknown_blocks_are_stepped_over_and_malformed_options_counted() {
    let mut file = section();
    block(&mut file, 0x0bad_cafe, b"who knows");
    let mut body = vec![1, 0, 0, 0, 0, 0, 0, 0];
    option(&mut body, 2, b"eth0");
    option(&mut body, 0x7777, b"unknown");
    // A length beyond the block.
    body.extend([3, 0, 0xff, 0xff]);
    block(&mut file, 1, &body);
    file.extend(enhanced(0, 1, 60, &[0; 60]));
    let report = analysed(&file);
    assert_eq!((report.inventory.packets, report.files[0].skipped), (1, 1));
    assert_eq!(report.interfaces[0].name.as_deref(), Some("eth0"));
    assert!(report.complete);
}

#[test]
fn names_in_the_file_stand_beside_addresses() {
    let mut file = handshake().pcapng_on(&["eth0"]);
    let mut body = vec![1, 0, 10, 0];
    body.extend([10, 0, 0, 2]);
    body.extend(b"web-0\0\0\0");
    body.extend([0, 0, 0, 0]);
    block(&mut file, 4, &body);
    let report = analysed(&file);
    assert_eq!(report.names["10.0.0.2"], "web-0");
    let summary = capture_analysis::render::terminal(&report, 5);
    assert!(summary.contains("web-0 (10.0.0.2:80)"), "{summary}");
}

#[test]
fn a_file_cut_anywhere_counts_up_to_there_and_says_so() {
    for file in [handshake().pcap(), handshake().pcapng_on(&["eth0"])] {
        let whole = analysed(&file).inventory.packets;
        for length in 1..file.len() {
            let report = analysed(&file[..length]);
            assert!(report.inventory.packets <= whole);
            assert_eq!(report.files.len(), 1);
        }
        let report = analysed(&file[..file.len() - 3]);
        assert!(!report.complete);
        assert!(report.inventory.packets >= whole - 1);
    }
}

#[test]
fn other_link_types_are_counted_and_named_and_not_decoded() {
    let report = analysed(&pcap(true, 0xa1b2_c3d4, 105, &[(1, 0, 10, &[0; 10])]));
    assert_eq!(
        (report.inventory.packets, report.inventory.undecoded),
        (1, 1)
    );
    let kind = &report.inventory.link_types[0];
    assert_eq!((kind.name.as_str(), kind.decoded), ("IEEE 802.11", false));
    assert!(report.notes.iter().any(|note| note.contains("IEEE 802.11")));
}

#[test]
fn compressed_files_are_read_and_cut_ones_said() {
    use std::io::Write as _;
    let plain = handshake().pcap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&plain).expect("written");
    let gzip = encoder.finish().expect("written");
    let zstd = zstd::encode_all(&plain[..], 1).expect("compressed");
    for (file, name) in [(&gzip, "gzip"), (&zstd, "zstd")] {
        let report = analysed(file);
        assert_eq!((report.inventory.packets, report.complete), (3, true));
        assert_eq!(report.files[0].compression.as_deref(), Some(name));
        let report = analysed(&file[..file.len() - 6]);
        assert!(!report.complete, "{name}");
    }
}

#[test]
fn times_that_go_backwards_or_lie_years_apart_are_taken_as_they_are() {
    let data = packet(
        Header::new([10, 0, 0, 1], [10, 0, 0, 2]),
        17,
        &udp([1, 2], b"x"),
    );
    let length = data.len() as u32;
    let times = [
        (1_700_000_000, 0),
        (1_600_000_000, 0),
        (4_000_000_000, 999_999_999),
        (0, 0),
    ];
    let records: Vec<_> = times
        .iter()
        .map(|(second, rest)| (*second, *rest, length, &data[..]))
        .collect();
    let report = analysed(&pcap(true, 0xa1b2_3c4d, 101, &records));
    assert_eq!(
        (report.inventory.packets, report.inventory.out_of_time),
        (4, 2)
    );
    assert_eq!(
        report.inventory.duration_ns,
        Some(4_000_000_000_999_999_999)
    );
    let rates = report.rates.as_ref().expect("rates");
    assert!(rates.packets.len() <= 512);
    assert_eq!(rates.packets.iter().sum::<u64>(), 4);
    let mut page = String::new();
    capture_analysis::render::html(&report, 10, &mut page).expect("a page");
}

#[test]
fn lengths_that_cannot_be_are_taken_as_they_are() {
    let data = packet(
        Header::new([10, 0, 0, 1], [10, 0, 0, 2]),
        17,
        &udp([1, 2], b"x"),
    );
    // A length of -1 on the wire; one that is shorter than what was captured; a snap length of 65,535 exceeded.
    let long = [&data[..], &[0; 70_000]].concat();
    let records = [
        (1, 0, u32::MAX, &data[..]),
        (2, 0, 10, &data[..]),
        (3, 0, long.len() as u32, &long[..]),
    ];
    let report = analysed(&pcap(true, 0xa1b2_c3d4, 101, &records));
    assert_eq!(
        (
            report.inventory.packets,
            report.inventory.longer_than_snaplen
        ),
        (3, 1)
    );
    assert_eq!(
        report.inventory.bytes,
        u64::from(u32::MAX) + 10 + long.len() as u64
    );
    // An impossible captured length.
    let mut damaged = pcap(true, 0xa1b2_c3d4, 101, &records[..1]);
    damaged.extend([
        0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    ]);
    let report = analysed(&damaged);
    let problem = report.files[0].problem.as_deref().expect("a problem");
    assert!(problem.contains("16 MiB"), "{problem}");
    assert_eq!(report.inventory.packets, 1);
}

#[test]
fn strangers_say_what_they_look_like() {
    for (bytes, looks_like) in [
        (&b"\x7fELF\x02\x01\x01\0"[..], "program"),
        (b"PK\x03\x04 and so on", "ZIP"),
        (b"{\"key\": [1, 2, 3]}", "JSON"),
        (b"hello, this is text\n", "text"),
    ] {
        let report = analysed(bytes);
        let problem = report.files[0].problem.as_deref().expect("a problem");
        assert!(problem.contains("not a capture file"), "{problem}");
        assert!(
            problem.to_lowercase().contains(&looks_like.to_lowercase()),
            "{problem}"
        );
    }
}

#[test]
fn ten_times_as_many_flows_as_are_kept_are_all_counted_within_the_bound() {
    let mut settings = Settings::default();
    settings.flows.live = 10_000;
    settings.conversations = 500;
    let mut analysis = Analysis::new(&settings);
    for number in 0..100_000_u32 {
        let [_, a, b, c] = number.to_be_bytes();
        let data = packet(
            Header::new([10, a, b, c], [192, 168, 0, 1]),
            6,
            &tcp([40_000, 80], [1, 0], SYN, b""),
        );
        analysis.packet(&capture_analysis::Packet {
            timestamp: u64::from(number) * 1_000,
            interface: 0,
            link_type: 101,
            original_length: 40,
            data: &data,
            file: 0,
            frame: u64::from(number) + 1,
        });
    }
    let report = analysis.finish(capture_analysis::Sources::default());
    assert_eq!(
        (report.conversations.flows, report.tcp.unanswered),
        (100_000, 100_000)
    );
    assert_eq!(report.conversations.tcp.len(), 500);
    assert_eq!(report.conversations.not_listed, 99_500);
    assert!(report.conversations.closed_early >= 90_000);
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("closed early"))
    );
}

#[test]
fn segmentation_offload_and_tags_are_what_they_are() {
    let mut frames = handshake();
    // Offload passes on segments of up to 64 KiB.
    for number in 0..3_u32 {
        frames = frames
            .client(PSH | ACK, 1 + number * 60_000, 1, &[1; 60_000])
            .server(ACK, 1, 1 + (number + 1) * 60_000, b"");
    }
    let report = analysed(&frames.pcap());
    let facts = report.conversations.tcp[0].tcp.as_ref().expect("TCP");
    assert_eq!(
        (
            facts.client_data,
            facts.retransmissions,
            facts.lost_segments
        ),
        (180_000, 0, 0)
    );
    // The same connection with a tag, and with two.
    let tagged = |tags: &[u8]| {
        let inner = ipv4(
            Header::new([10, 0, 0, 1], [10, 0, 0, 2]),
            6,
            &tcp([40_000, 80], [1, 1], ACK, b"x"),
        );
        [&inner[..12], tags, &inner[12..]].concat()
    };
    let report = analysed(
        &Frames::new()
            .frames([
                tagged(&[0x81, 0, 0, 5]),
                tagged(&[0x88, 0xa8, 0, 6, 0x81, 0, 0, 5]),
            ])
            .pcap(),
    );
    assert_eq!(report.conversations.tcp.len(), 1);
    assert_eq!(report.conversations.tcp[0].client_packets, 2);
}

#[test]
fn several_files_that_are_damaged_hide_none_that_is_whole() {
    let report = analysed_files(&[b"garbage".to_vec(), handshake().pcap(), vec![0; 100]]);
    assert_eq!(report.inventory.packets, 3);
    let problems: Vec<bool> = report
        .files
        .iter()
        .map(|file| file.problem.is_some())
        .collect();
    assert_eq!(problems, [true, false, true]);
    assert_eq!(support::flags_of(&handshake().pcap()), []);
}
