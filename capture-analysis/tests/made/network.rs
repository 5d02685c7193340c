//! IP, ICMP, ARP, DHCP, media streams, and the paths of packets.

use capture_analysis::report::{Report, Severity};

use crate::support::{
    ACK, Frames, PSH, STEP, SYN, analysed, of_kind, one,
    wire::{self, Header, arp, dhcp, icmp, ipv4, udp},
};

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [10, 0, 0, 2];
const ROUTER: [u8; 4] = [10, 0, 0, 254];

fn of(frames: impl IntoIterator<Item = Vec<u8>>) -> Report {
    analysed(&Frames::new().frames(frames).pcap())
}

fn datagram(id: u16, ttl: u8) -> Vec<u8> {
    let header = Header {
        id,
        ttl,
        ..Header::new(CLIENT, SERVER)
    };
    ipv4(header, 17, &udp([5_000, 9], b"payload"))
}

fn handshake() -> Frames {
    Frames::new()
        .client(SYN, 0, 0, b"")
        .server(SYN | ACK, 0, 1, b"")
        .client(ACK, 1, 1, b"")
}

#[test]
fn an_icmp_error_names_the_flow_that_it_speaks_of() {
    let asked = datagram(1, 64);
    let unreachable = icmp(3, 3, [0; 4], &asked[14..]);
    let report = of([asked, ipv4(Header::new(SERVER, CLIENT), 1, &unreachable)]);
    let finding = one(&report, "icmp-errors");
    let flow = finding.flow.as_ref().expect("a flow");
    assert_eq!(flow.client.as_ref().expect("a client").port, Some(5_000));
    assert_eq!(flow.server.as_ref().expect("a server").address, "10.0.0.2");
    assert!(
        finding.title.contains("port unreachable"),
        "{}",
        finding.title
    );
    assert_eq!(report.icmp[0].name, "port unreachable");
}

#[test]
fn a_router_that_wants_smaller_packets_says_how_small() {
    let large = ipv4(
        Header::new(CLIENT, SERVER),
        6,
        &wire::tcp([40_000, 80], [1, 1], ACK, &[0; 1_460]),
    );
    let too_big = icmp(3, 4, [0, 0, 0x05, 0x78], &large[14..42]);
    let report = of([large, ipv4(Header::new(ROUTER, CLIENT), 1, &too_big)]);
    let finding = one(&report, "icmp-too-big");
    assert!(
        finding.title.contains("takes 1400 bytes"),
        "{}",
        finding.title
    );
}

#[test]
fn full_segments_that_never_arrive_are_an_mtu_black_hole_and_plain_loss_is_none() {
    let mut stuck = handshake().client(PSH | ACK, 1, 1, &[1; 1_400]);
    for _ in 0..4 {
        stuck = stuck.wait(300 * STEP).client(PSH | ACK, 1, 1, &[1; 1_400]);
    }
    let report = analysed(&stuck.pcap());
    let finding = one(&report, "mtu-black-hole");
    assert_eq!(
        (finding.evidence.first.frame, finding.evidence.count),
        (5, 4)
    );
    let mut lossy = handshake();
    for number in 0..5 {
        let start = 1 + number * 1_400;
        for _ in 0..2 {
            lossy = lossy
                .wait(300 * STEP)
                .client(PSH | ACK, start, 1, &[1; 1_400]);
        }
        lossy = lossy.server(ACK, 1, start + 1_400, b"");
    }
    assert!(of_kind(&analysed(&lossy.pcap()), "mtu-black-hole").is_empty());
}

fn fragments(id: u16) -> [Vec<u8>; 2] {
    let whole = udp([5_000, 9], &[7; 1_992]);
    let header = |fragment| Header {
        id,
        fragment,
        ..Header::new(CLIENT, SERVER)
    };
    [
        ipv4(header(0x2000), 17, &whole[..1_000]),
        ipv4(header(125), 17, &whole[1_000..]),
    ]
}

#[test]
fn fragments_find_together_in_any_order_and_those_that_miss_others_are_told() {
    let [first, last] = fragments(1);
    let report = of([last, first]);
    assert_eq!((report.ip.fragments, report.ip.reassembled), (2, 1));
    assert_eq!(report.udp.datagrams, 1);
    assert!(of_kind(&report, "ip-incomplete-fragments").is_empty());
    let report = of([fragments(1)[0].clone(), fragments(2)[1].clone()]);
    assert_eq!((report.ip.incomplete, report.ip.reassembled), (2, 0));
    assert_eq!(one(&report, "ip-incomplete-fragments").evidence.count, 2);
}

#[test]
fn a_host_whose_hop_count_changes_again_and_again_is_told() {
    let changing = (0..30).map(|number| datagram(number, if number % 2 == 0 { 64 } else { 57 }));
    let report = of(changing);
    let finding = one(&report, "ip-ttl-changes");
    assert!(
        finding.title.contains("changed 29 times"),
        "{}",
        finding.title
    );
    let steady = (0..30).map(|number| datagram(number, 64));
    assert!(of_kind(&of(steady), "ip-ttl-changes").is_empty());
}

#[test]
fn packets_that_come_twice_are_duplicates_and_those_with_falling_hop_counts_a_loop() {
    let twice = (1..=20).flat_map(|number| [datagram(number, 64), datagram(number, 64)]);
    let report = of(twice);
    assert_eq!(report.ip.duplicates, 20);
    let finding = one(&report, "ip-duplicates");
    assert_eq!(
        (finding.evidence.first.frame, finding.evidence.count),
        (2, 20)
    );
    let circling = (0..5).map(|round| datagram(1, 64 - 2 * round));
    let report = of(circling);
    let finding = one(&report, "ip-routing-loop");
    assert_eq!(
        (report.ip.looping, finding.severity),
        (4, Severity::Critical)
    );
    assert!(
        finding.title.contains("10.0.0.1 to 10.0.0.2"),
        "{}",
        finding.title
    );
    let report = of((1..=20).map(|number| datagram(number, 64)));
    assert_eq!((report.ip.duplicates, report.ip.looping), (0, 0));
}

#[test]
fn two_devices_with_one_address_are_a_conflict_and_many_questions_a_storm() {
    let (one_device, other) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 9]);
    let report = of([
        arp(false, one_device, CLIENT, SERVER),
        arp(false, other, CLIENT, SERVER),
        arp(false, one_device, CLIENT, SERVER),
    ]);
    let finding = one(&report, "arp-conflict");
    assert_eq!(
        (finding.evidence.count, finding.severity),
        (2, Severity::Critical)
    );
    assert!(
        finding.title.contains("02:00:00:00:00:09"),
        "{}",
        finding.title
    );
    let summary = report.arp.as_ref().expect("ARP");
    assert_eq!((summary.replies, summary.conflicts.len()), (3, 1));
    let asking = (0..150_u8).map(|number| arp(true, one_device, CLIENT, [10, 0, 1, number]));
    assert!(of_kind(&of(asking.clone()), "arp-conflict").is_empty());
    let report = of(asking);
    let finding = one(&report, "arp-storm");
    assert!(
        finding.title.contains("150 ARP requests"),
        "{}",
        finding.title
    );
    assert!(
        of_kind(
            &of((0..50).map(|number| arp(true, other, CLIENT, [10, 0, 1, number]))),
            "arp-storm"
        )
        .is_empty()
    );
}

#[test]
fn dhcp_without_an_answer_with_a_refusal_and_from_two_servers() {
    let (lucky, unlucky) = ([2, 0, 0, 0, 0, 5], [2, 0, 0, 0, 0, 6]);
    let exchange = |server| {
        [
            dhcp(1, lucky, None),
            dhcp(2, lucky, Some(server)),
            dhcp(3, lucky, None),
            dhcp(5, lucky, Some(server)),
        ]
    };
    let report = of(exchange(ROUTER));
    let summary = report.dhcp.as_ref().expect("DHCP");
    assert_eq!(summary.messages["DISCOVER"], 1);
    assert_eq!((summary.servers.len(), summary.unanswered), (1, 0));
    assert!(
        report
            .findings
            .iter()
            .all(|finding| !finding.kind.starts_with("dhcp"))
    );
    let mut frames = exchange(ROUTER).to_vec();
    frames.extend([
        dhcp(1, unlucky, None),
        dhcp(1, unlucky, None),
        dhcp(1, unlucky, None),
    ]);
    frames.extend([
        dhcp(2, lucky, Some(SERVER)),
        dhcp(3, lucky, None),
        dhcp(6, lucky, Some(SERVER)),
    ]);
    let report = of(frames);
    let finding = one(&report, "dhcp-unanswered");
    assert!(
        finding
            .title
            .contains("02:00:00:00:00:06 asked for an address 3 times"),
        "{}",
        finding.title
    );
    assert_eq!(one(&report, "dhcp-refused").evidence.count, 1);
    assert!(
        one(&report, "dhcp-several-servers")
            .title
            .contains("10.0.0.2, 10.0.0.254")
    );
}

/// A packet of a stream with 160 samples of 8 kHz each, so 20 ms.
fn media(number: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(number.to_be_bytes());
    packet.extend((u32::from(number) * 160).to_be_bytes());
    packet.extend([1, 2, 3, 4]);
    packet.extend([0x55; 160]);
    ipv4(
        Header::new(CLIENT, SERVER),
        17,
        &udp([20_000, 30_000], &packet),
    )
}

#[test]
fn a_media_stream_tells_what_is_missing_and_its_jitter() {
    const SPACING: u64 = 20 * STEP;
    let even = Frames::every(SPACING).frames((0..100).map(media));
    let report = analysed(&even.pcap());
    let stream = &report.udp.rtp[0];
    assert_eq!(
        (stream.packets, stream.missing, stream.jitter_ns),
        (100, 0, Some(0))
    );
    assert_eq!(stream.ssrc, 0x0102_0304);
    assert!(
        report
            .findings
            .iter()
            .all(|finding| !finding.kind.starts_with("rtp"))
    );
    let lossy =
        Frames::every(SPACING).frames((0..100).filter(|number| number % 10 != 5).map(media));
    let report = analysed(&lossy.pcap());
    assert_eq!(report.udp.rtp[0].missing, 10);
    assert_eq!(one(&report, "rtp-loss").evidence.count, 10);
    // Every tenth comes half a second late, and so do the next ones.
    let mut uneven = Frames::every(SPACING);
    for number in 0..100 {
        if number % 10 == 5 {
            uneven = uneven.wait(500 * STEP);
        }
        uneven = uneven.frame(media(number));
    }
    let report = analysed(&uneven.pcap());
    assert!(report.udp.rtp[0].most_jitter_ns.expect("a jitter") > 30 * STEP);
    assert_eq!(one(&report, "rtp-jitter").evidence.count, 10);
}

#[test]
fn a_connection_seen_in_one_direction_only_is_told() {
    let mut frames = Frames::new();
    for number in 0..20 {
        frames = frames.client(PSH | ACK, 1 + number * 100, 1 + number * 50, &[1; 100]);
    }
    let report = analysed(&frames.pcap());
    let finding = one(&report, "tcp-one-way");
    assert_eq!(
        finding
            .flow
            .as_ref()
            .and_then(|flow| flow.server.as_ref())
            .and_then(|server| server.port),
        Some(80)
    );
    let both = (0..20).fold(handshake(), |frames, number| {
        frames
            .client(PSH | ACK, 1 + number * 100, 1, &[1; 100])
            .server(ACK, 1, 101 + number * 100, b"")
    });
    assert!(of_kind(&analysed(&both.pcap()), "tcp-one-way").is_empty());
}

#[test]
fn a_flow_that_comes_back_by_another_interface_is_an_asymmetric_path() {
    let mut frames = handshake();
    for number in 0..10 {
        frames = frames
            .client(PSH | ACK, 1 + number * 100, 1, &[1; 100])
            .server(ACK, 1, 101 + number * 100, b"");
    }
    let there = |frame: &[u8]| u32::from(frame[29] == 2);
    let report = analysed(&frames.pcapng_split(&["eth0", "eth1"], there));
    let finding = one(&report, "ip-asymmetric-path");
    assert!(
        finding.title.contains("go by eth0 and come back by eth1"),
        "{}",
        finding.title
    );
    let report = analysed(&frames.pcapng_on(&["eth0", "eth1"]));
    assert!(
        of_kind(&report, "ip-asymmetric-path").is_empty(),
        "a bridge shows both ways on both"
    );
}

#[test]
fn throughput_of_a_large_flow_adds_up_to_its_bytes_and_small_ones_have_none() {
    let mut frames = handshake();
    for number in 0..500 {
        frames = frames
            .client(PSH | ACK, 1 + number * 1_000, 1, &[1; 1_000])
            .server(ACK, 1, 1_001 + number * 1_000, b"");
    }
    let report = analysed(&frames.pcap());
    let row = &report.conversations.tcp[0];
    let rates = row.throughput.as_ref().expect("a throughput");
    assert_eq!(rates.client_bytes.iter().sum::<u64>(), row.client_bytes);
    assert_eq!(rates.server_bytes.iter().sum::<u64>(), row.server_bytes);
    assert!((32..=64).contains(&rates.client_bytes.len()));
    assert!(rates.bucket_ns * rates.client_bytes.len() as u64 >= row.duration_ns);
    assert_eq!(
        analysed(&handshake().pcap()).conversations.tcp[0].throughput,
        None
    );
}

#[test]
fn who_waited_for_whom_is_told_apart() {
    // A round trip of 2 ms; the server takes 100 ms, the client 400 ms.
    let frames = handshake()
        .client(PSH | ACK, 1, 1, b"question")
        .wait(100 * STEP)
        .server(PSH | ACK, 1, 9, b"answer")
        .wait(400 * STEP)
        .client(PSH | ACK, 9, 7, b"question");
    let report = analysed(&frames.pcap());
    let tcp = report.conversations.tcp[0].tcp.as_ref().expect("TCP");
    assert_eq!(tcp.waited_for_server_ns, Some(99 * STEP));
    assert_eq!(tcp.waited_for_network_ns, Some(2 * STEP));
    assert_eq!(tcp.waited_for_client_ns, Some(401 * STEP));
    assert_eq!(tcp.longest_idle_ns, Some(401 * STEP));
}
