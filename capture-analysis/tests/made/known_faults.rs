//! Known faults of other analysers, each with an input made here.

use crate::support::{self, ACK, FIN, Frames, PSH, RST, SYN, analysed, analysed_files, flags_of};
use capture_analysis::report::Report;

const MILLISECOND: u64 = 1_000_000;

/// A handshake at the beginning of `frames`.
fn handshake(frames: Frames) -> Frames {
    frames
        .client(SYN, 0, 0, b"")
        .server(SYN | ACK, 0, 1, b"")
        .client(ACK, 1, 1, b"")
}

fn one_connection(report: &Report) -> Option<&capture_analysis::report::TcpFacts> {
    match &report.conversations.tcp[..] {
        [one] => one.tcp.as_ref(),
        _ => None,
    }
}

#[test]
fn a_flow_cut_by_rotation_is_one_flow() {
    let all = handshake(Frames::new())
        .client(PSH | ACK, 1, 1, b"question")
        .server(PSH | ACK, 1, 9, b"answer")
        .client(FIN | ACK, 9, 7, b"")
        .server(FIN | ACK, 7, 10, b"");
    let (first, second) = all.split_at(4);
    let report = analysed_files(&[first.pcap(), second.pcap()]);
    assert_eq!(report.files.len(), 2);
    let tcp = one_connection(&report).expect("one connection");
    assert_eq!(
        (tcp.opened.as_str(), tcp.ended.as_str()),
        ("completed", "closed")
    );
    assert_eq!((tcp.client_data, tcp.server_data), (8, 6));
    assert_eq!(tcp.retransmissions, 0);
}

#[test]
fn a_flow_without_fin_at_the_end_of_the_file_is_open() {
    let report = analysed(&handshake(Frames::new()).pcap());
    assert_eq!(
        one_connection(&report).expect("one connection").ended,
        "open"
    );
    assert_eq!(report.tcp.completed, 1);
}

#[test]
fn a_syn_ack_stored_before_its_syn_does_not_swap_client_and_server() {
    let frames = Frames::new()
        .server(SYN | ACK, 0, 1, b"")
        .client(SYN, 0, 0, b"")
        .client(ACK, 1, 1, b"");
    let report = analysed(&frames.pcap());
    let row = &report.conversations.tcp[0];
    assert_eq!(row.client.port, Some(support::CLIENT_PORT));
    assert_eq!((row.client_packets, row.server_packets), (2, 1));
}

#[test]
fn a_cut_payload_is_no_lost_segment_and_its_length_is_that_of_the_wire() {
    let frames = handshake(Frames::new())
        .client(PSH | ACK, 1, 1, &[7; 1000])
        .client(PSH | ACK, 1001, 1, &[7; 500])
        .server(ACK, 1, 1501, b"");
    let report = analysed(&frames.cut_to(54).pcap());
    let tcp = one_connection(&report).expect("one connection");
    assert_eq!((tcp.client_data, tcp.lost_segments), (1500, 0));
    assert_eq!(report.inventory.cut, 2);
    assert_eq!(tcp.mean_round_trip_ns, Some(support::STEP));
}

#[test]
fn nanoseconds_stay_nanoseconds() {
    let report = analysed(&handshake(Frames::every(5)).pcap());
    assert_eq!(
        one_connection(&report)
            .expect("one connection")
            .handshake_ns,
        Some(10)
    );
}

#[test]
fn the_same_packet_on_several_interfaces_is_no_retransmission() {
    let frames = handshake(Frames::new()).client(PSH | ACK, 1, 1, b"once");
    let report = analysed(&frames.pcapng_on(&["veth0", "br0", "eth0"]));
    assert_eq!(report.inventory.packets, 12);
    assert_eq!(report.inventory.copies, 8);
    let tcp = one_connection(&report).expect("one connection");
    assert_eq!((tcp.retransmissions, tcp.client_data), (0, 4));
    assert_eq!(report.interfaces.len(), 3);
    assert_eq!(report.interfaces[1].name.as_deref(), Some("br0"));
    assert_eq!(report.interfaces[1].packets, 4);
}

#[test]
fn retransmissions_are_flagged_and_found_with_their_frames() {
    let mut frames = handshake(Frames::every(50 * MILLISECOND));
    for number in 0..5 {
        frames = frames
            .client(PSH | ACK, 1 + number * 100, 1, &[1; 100])
            .client(PSH | ACK, 1 + number * 100, 1, &[1; 100]);
    }
    let pcap = frames.pcap();
    let flagged = flags_of(&pcap);
    let frames: Vec<u64> = flagged.iter().map(|(frame, _)| *frame).collect();
    assert_eq!(frames, [5, 7, 9, 11, 13]);
    let report = analysed(&pcap);
    let finding = report
        .findings
        .iter()
        .find(|finding| finding.kind == "tcp-retransmissions")
        .expect("a finding");
    assert_eq!(
        one_connection(&report)
            .expect("one connection")
            .retransmissions,
        5
    );
    let evidence = &finding.evidence;
    assert_eq!(
        (evidence.first.frame, evidence.last.frame, evidence.count),
        (5, 13, 5)
    );
    assert!(
        finding.filter.contains("tcp.analysis.retransmission"),
        "{}",
        finding.filter
    );
    assert!(report.health.score.expect("a score") < 100.0);
    let taken: f64 = report.health.terms.iter().map(|term| term.taken).sum();
    assert!((100.0 - taken - report.health.score.expect("a score")).abs() < 0.01);
}

#[test]
fn sequence_numbers_that_wrap_are_no_loss() {
    let mut frames = Frames::from_sequence(u32::MAX - 150);
    frames = handshake(frames);
    for number in 0..4 {
        frames = frames
            .client(PSH | ACK, 1 + number * 100, 1, &[1; 100])
            .server(ACK, 1, 1 + (number + 1) * 100, b"");
    }
    assert!(flags_of(&frames.pcap()).is_empty());
}

#[test]
fn a_refused_connection_and_an_unanswered_one_are_told_apart() {
    let refused = Frames::new()
        .client(SYN, 0, 0, b"")
        .server(RST | ACK, 0, 1, b"");
    let report = analysed(&refused.pcap());
    assert_eq!(
        (report.tcp.refused, report.tcp.unanswered, report.tcp.reset),
        (1, 0, 0)
    );
    assert_eq!(report.findings[0].kind, "tcp-refused");
    let unanswered = Frames::new().client(SYN, 0, 0, b"").client(SYN, 0, 0, b"");
    let report = analysed(&unanswered.pcap());
    assert_eq!((report.tcp.refused, report.tcp.unanswered), (0, 1));
    assert_eq!(report.findings[0].kind, "tcp-unanswered");
}

#[test]
fn what_the_recorder_lost_is_told_apart_from_loss_in_the_network() {
    let gap = handshake(Frames::new())
        .client(PSH | ACK, 1, 1, &[1; 100])
        .client(PSH | ACK, 501, 1, &[1; 100]);
    let missing = |report: &Report| {
        let finding = report
            .findings
            .iter()
            .find(|finding| finding.kind == "tcp-missing-segments");
        finding.expect("a gap").recorder_loss.clone()
    };
    assert_eq!(missing(&analysed(&gap.pcap())), None, "nobody counted");
    let report = analysed(&gap.pcapng_with_loss(0));
    assert_eq!(
        report.recorder.as_ref().map(|recorder| recorder.lost),
        Some(0)
    );
    assert!(missing(&report).expect("known").starts_with("no:"));
    let report = analysed(&gap.pcapng_with_loss(4));
    assert_eq!(report.interfaces[0].lost_by_recorder, Some(4));
    assert!(missing(&report).expect("known").contains("lost 4 packets"));
}

#[test]
fn files_without_a_packet_and_files_that_are_none_are_told() {
    let report = analysed_files(&[
        Frames::new().pcap(),
        b"no capture at all, only text".to_vec(),
        Vec::new(),
    ]);
    assert_eq!(report.inventory.packets, 0);
    assert_eq!(report.files[0].problem, None);
    let problem = report.files[1].problem.as_deref().expect("a problem");
    assert!(problem.contains("looks like text"), "{problem}");
    assert_eq!(
        (report.files[2].format.as_str(), &report.files[2].problem),
        ("empty", &None)
    );
    assert!(!report.complete);
    assert_eq!(report.health.score, None, "nothing was measured");
    assert_eq!(report.inventory.duration_ns, None);
}

#[test]
fn a_gzip_bomb_is_stopped_and_said() {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder
        .write_all(&handshake(Frames::new()).pcap())
        .expect("written");
    for _ in 0..100 {
        encoder.write_all(&[0; 1 << 20]).expect("written");
    }
    let report = analysed(&encoder.finish().expect("written"));
    let problem = report.files[0].problem.as_deref().expect("a problem");
    assert!(problem.contains("unpacks to more than"), "{problem}");
    assert!(report.inventory.packets >= 3);
    assert_eq!(report.files[0].compression.as_deref(), Some("gzip"));
}

#[test]
fn dns_questions_and_answers_are_paired_and_the_unanswered_named() {
    let frames = Frames::new()
        .question(1, "www.example.org")
        .answer(1, "www.example.org", 0)
        .question(2, "gone.example.org")
        .answer(2, "gone.example.org", 3)
        .question(3, "silent.example.org");
    let report = analysed(&frames.pcap());
    let dns = report.dns.as_ref().expect("DNS");
    assert_eq!((dns.queries, dns.responses, dns.unanswered), (3, 2, 1));
    let row = &dns.rows[0];
    assert_eq!(
        (row.code.as_deref(), row.answer_frame),
        (Some("NOERROR"), Some(2))
    );
    assert_eq!(row.response_ns, Some(support::STEP));
    assert_eq!(dns.rows[2].code, None);
    let finding = report
        .findings
        .iter()
        .find(|finding| finding.kind == "dns-unanswered");
    let finding = finding.expect("a finding");
    assert!(
        finding.title.contains("silent.example.org"),
        "{}",
        finding.title
    );
    assert_eq!(finding.evidence.first.frame, 5);
}

#[test]
fn http_requests_meet_their_responses_across_segments() {
    let request = b"GET /index.html HTTP/1.1\r\nHost: www.example.org\r\n\r\n";
    let response = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbody";
    let (one, two) = request.split_at(20);
    let length = request.len() as u32;
    let frames = handshake(Frames::new())
        .client(PSH | ACK, 1, 1, one)
        .client(PSH | ACK, 21, 1, two)
        .server(PSH | ACK, 1, 1 + length, response);
    let report = analysed(&frames.pcap());
    let http = report.http.as_ref().expect("HTTP");
    let row = &http.rows[0];
    assert_eq!(row.method.as_deref(), Some("GET"));
    assert_eq!(row.host.as_deref(), Some("www.example.org"));
    assert_eq!(row.target.as_deref(), Some("/index.html"));
    assert_eq!(
        (row.status, row.exchange.frame, row.response_frame),
        (Some(503), 5, Some(6))
    );
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.kind == "http-errors")
    );
}

#[test]
fn hostile_names_break_neither_page_nor_table_nor_terminal() {
    let name = "=cmd<script>\x1b[2J\"";
    let report = analysed(&Frames::new().question(1, name).pcap());
    let mut page = String::new();
    capture_analysis::render::html(&report, 10, &mut page).expect("a page");
    assert!(page.contains("&lt;script&gt;"), "the name is there");
    assert!(!page.contains("<script") && !page.contains('\x1b'));
    let terminal = capture_analysis::render::terminal(&report, 10);
    assert!(terminal.contains("cmd") && !terminal.contains('\x1b'));
    for table in capture_analysis::render::tables(&report) {
        let mut csv = Vec::new();
        table.write(&mut csv).expect("a table");
        let csv = String::from_utf8(csv).expect("text");
        assert!(!csv.contains('\x1b') && !csv.contains(",="), "{csv}");
    }
}

#[test]
fn more_flows_than_are_kept_are_closed_early_and_that_is_said() {
    let mut frames = Frames::new();
    for port in 0..5_000 {
        frames = frames.port(1_024 + port).client(SYN, 0, 0, b"");
    }
    let mut settings = capture_analysis::Settings::default();
    settings.flows.live = 1_000;
    settings.conversations = 100;
    let report = support::analysed_with(&settings, &frames.pcap());
    assert_eq!(report.conversations.flows, 5_000);
    assert_eq!(report.conversations.tcp.len(), 100);
    assert_eq!(report.conversations.not_listed, 4_900);
    assert!(report.conversations.closed_early >= 4_000);
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("closed early")),
        "{:?}",
        report.notes
    );
    assert_eq!(report.tcp.unanswered, 5_000);
}
