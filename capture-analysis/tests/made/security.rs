//! Security hints: each is reported from its threshold on, and can be disabled.

use capture_analysis::{Hint, Settings, report::Report};

use crate::support::{
    self, ACK, FIN, Frames, PSH, RST, SYN, of_kind, one,
    wire::{Header, ipv4, tcp, udp},
};

const ATTACKER: [u8; 4] = [10, 0, 0, 66];
const VICTIM: [u8; 4] = [10, 0, 0, 2];
const SECOND: u64 = 1_000_000_000;

/// The report with all hints, which must have the finding once; without this hint it must not.
fn hinted(hint: Hint, file: &[u8]) -> Report {
    let mut settings = Settings::default();
    let report = support::analysed_with(&settings, file);
    let kind = format!("security-{}", hint.name());
    let finding = one(&report, &kind);
    assert!(finding.measured.is_some(), "its threshold is said");
    assert!(finding.evidence.count > 0);
    settings.hints.without(hint);
    let without = support::analysed_with(&settings, file);
    assert!(of_kind(&without, &kind).is_empty());
    report
}

fn segment(
    from: [u8; 4],
    to: [u8; 4],
    ports: [u16; 2],
    numbers: [u32; 2],
    flags: u8,
    data: &[u8],
) -> Vec<u8> {
    ipv4(Header::new(from, to), 6, &tcp(ports, numbers, flags, data))
}

/// A connection with a little data that both sides close.
fn visit(frames: Frames, to: [u8; 4], ports: [u16; 2]) -> Frames {
    let back = [ports[1], ports[0]];
    frames.frames([
        segment(ATTACKER, to, ports, [100, 0], SYN, b""),
        segment(to, ATTACKER, back, [500, 101], SYN | ACK, b""),
        segment(ATTACKER, to, ports, [101, 501], ACK, b""),
        segment(ATTACKER, to, ports, [101, 501], PSH | ACK, b"hello"),
        segment(ATTACKER, to, ports, [106, 501], FIN | ACK, b""),
        segment(to, ATTACKER, back, [501, 107], FIN | ACK, b""),
        segment(ATTACKER, to, ports, [107, 502], ACK, b""),
    ])
}

#[test]
fn a_scan_of_ports_or_hosts() {
    let refused = |to, port: u16| {
        [
            segment(ATTACKER, to, [40_000, port], [1, 0], SYN, b""),
            segment(to, ATTACKER, [port, 40_000], [0, 2], RST | ACK, b""),
        ]
    };
    let ports = Frames::new().frames((1..=120).flat_map(|port| refused(VICTIM, port)));
    let report = hinted(Hint::Scan, &ports.pcap());
    assert!(
        one(&report, "security-scan")
            .title
            .contains("120 ports of 10.0.0.2")
    );
    let hosts = Frames::new().frames((1..=120).flat_map(|host| refused([10, 0, 1, host], 445)));
    let report = hinted(Hint::Scan, &hosts.pcap());
    assert!(
        one(&report, "security-scan")
            .title
            .contains("port 445 of 120 hosts")
    );
    let few = Frames::new().frames((1..=90).flat_map(|port| refused(VICTIM, port)));
    assert!(of_kind(&support::analysed(&few.pcap()), "security-scan").is_empty());
}

#[test]
fn trying_passwords() {
    let frames = (0..40).fold(Frames::new(), |frames, number| {
        visit(frames, VICTIM, [40_000 + number, 22])
    });
    let report = hinted(Hint::BruteForce, &frames.pcap());
    assert!(
        one(&report, "security-brute-force")
            .title
            .contains("40 short connections to 10.0.0.2:22")
    );
}

#[test]
fn a_flood_of_syns() {
    let syn = |number: u16| {
        let [high, low] = number.to_be_bytes();
        segment([172, 16, high, low], VICTIM, [1_024, 80], [1, 0], SYN, b"")
    };
    let frames = Frames::new().frames((0..1_200).map(syn));
    let report = hinted(Hint::Flood, &frames.pcap());
    assert!(
        one(&report, "security-flood")
            .title
            .contains("1200 connections")
    );
}

#[test]
fn a_tunnel_in_dns() {
    let frames = (0..300_u16).fold(Frames::new(), |frames, number| {
        let name = format!(
            "{:032x}{number:04x}.t.example.org",
            u128::from(number) * 0x1234_5678_9abc_def1
        );
        frames.question(number, &name)
    });
    let report = hinted(Hint::DnsTunnel, &frames.pcap());
    assert!(
        one(&report, "security-dns-tunnel")
            .title
            .contains("example.org")
    );
}

#[test]
fn a_beacon() {
    let frames = (0..20).fold(Frames::new(), |frames, number| {
        visit(frames, [198, 51, 100, 7], [40_000 + number, 443]).wait(60 * SECOND)
    });
    let report = hinted(Hint::Beaconing, &frames.pcap());
    assert!(
        one(&report, "security-beaconing")
            .title
            .contains("every 60.0 s")
    );
    let uneven = (0..20_u64).fold(Frames::new(), |frames, number| {
        let wait = (number * number * 7 % 50 + 1) * SECOND;
        visit(frames, [198, 51, 100, 7], [40_000 + number as u16, 443]).wait(wait)
    });
    assert!(of_kind(&support::analysed(&uneven.pcap()), "security-beaconing").is_empty());
}

#[test]
fn data_that_leaves() {
    let large = |number: u16| {
        let header = Header {
            id: number,
            ..Header::new(ATTACKER, [198, 51, 100, 7])
        };
        ipv4(header, 17, &udp([5_000, 6_000], &[0; 60_000]))
    };
    let frames = Frames::new().frames((1..=2_000).map(large)).cut_to(54);
    let report = hinted(Hint::Exfiltration, &frames.pcap());
    assert!(
        one(&report, "security-exfiltration")
            .title
            .contains("10.0.0.66 sent")
    );
}

#[test]
fn one_host_that_administers_many() {
    let frames = (0..15).fold(Frames::new(), |frames, host| {
        visit(frames, [10, 0, 2, host], [40_000, 22])
    });
    let report = hinted(Hint::LateralMovement, &frames.pcap());
    assert!(
        one(&report, "security-lateral-movement")
            .title
            .contains("15 private hosts")
    );
}
