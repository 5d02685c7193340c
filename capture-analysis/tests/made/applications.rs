//! TLS, DNS search lists, and HTTP errors.

use capture_analysis::report::{Report, Severity};

use crate::support::{ACK, Frames, PSH, SYN, analysed, of_kind, one};

fn handshake() -> Frames {
    Frames::new()
        .client(SYN, 0, 0, b"")
        .server(SYN | ACK, 0, 1, b"")
        .client(ACK, 1, 1, b"")
}

fn with_length(bytes: &[u8], width: usize) -> Vec<u8> {
    let length = (bytes.len() as u32).to_be_bytes();
    [&length[4 - width..], bytes].concat()
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &with_length(body, 2)].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &with_length(body, 3)].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &with_length(body, 2)].concat()
}

fn client_hello(name: &str) -> Vec<u8> {
    let host = [&[0][..], &with_length(name.as_bytes(), 2)].concat();
    let protocols = [&b"\x02h2"[..], b"\x08http/1.1"].concat();
    let extensions = [
        extension(0, &with_length(&host, 2)),
        extension(16, &with_length(&protocols, 2)),
    ]
    .concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    body.extend(with_length(&extensions, 2));
    record(22, &message(1, &body))
}

/// The server's hello: the version in its header, and the one in its extension.
fn server_hello(version: [u8; 2], supported: Option<[u8; 2]>) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([9; 32]);
    body.extend([0, 0xc0, 0x2f, 0]);
    let extensions = supported.map_or_else(Vec::new, |version| extension(43, &version));
    body.extend(with_length(&extensions, 2));
    record(22, &message(2, &body))
}

fn certificate(year: i32, month: u8, day: u8) -> Vec<u8> {
    let mut parameters =
        rcgen::CertificateParams::new(vec!["www.example.org".to_owned()]).expect("a name");
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(year, month, day);
    let key = rcgen::KeyPair::generate().expect("a key");
    let made = parameters.self_signed(&key).expect("a certificate");
    let list = with_length(made.der(), 3);
    record(22, &message(11, &with_length(&list, 3)))
}

/// The messages of client and server in turns, in segments of this size.
fn conversation(turns: &[(bool, Vec<u8>)], segment: usize) -> Report {
    let mut frames = handshake();
    let mut sent = [1_u32, 1];
    for (from_client, bytes) in turns {
        for piece in bytes.chunks(segment) {
            let [client, server] = sent;
            frames = if *from_client {
                sent[0] += piece.len() as u32;
                frames.client(PSH | ACK, client, server, piece)
            } else {
                sent[1] += piece.len() as u32;
                frames.server(PSH | ACK, server, client, piece)
            };
        }
    }
    analysed(&frames.pcap())
}

#[test]
fn names_versions_ciphers_and_certificates_are_read_across_segments() {
    for segment in [1_400, 100, 7] {
        let hello = [server_hello([3, 3], None), certificate(2030, 1, 1)].concat();
        let report = conversation(
            &[(true, client_hello("www.example.org")), (false, hello)],
            segment,
        );
        let tls = report.tls.as_ref().expect("TLS");
        assert_eq!((tls.handshakes, tls.answered, tls.failed), (1, 1, 0));
        let row = &tls.rows[0];
        assert_eq!(row.sni.as_deref(), Some("www.example.org"));
        assert_eq!(row.alpn, ["h2", "http/1.1"]);
        assert_eq!(row.version.as_deref(), Some("TLS 1.2"));
        assert_eq!(
            row.cipher.as_deref(),
            Some("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")
        );
        assert_eq!(
            row.expires.as_deref().map(|time| &time[..10]),
            Some("2030-01-01")
        );
        assert!(row.hello_ns.is_some());
        assert!(report.findings.is_empty(), "{:?}", report.findings);
    }
}

#[test]
fn a_certificate_that_expires_soon_or_has_expired_is_told() {
    // The frames are from 2023-11-14.
    let with = |certificate: Vec<u8>| {
        let hello = [server_hello([3, 3], None), certificate].concat();
        conversation(
            &[(true, client_hello("www.example.org")), (false, hello)],
            1_400,
        )
    };
    let report = with(certificate(2023, 11, 20));
    let soon = one(&report, "tls-certificate-expiry");
    assert_eq!(soon.severity, Severity::Warning);
    assert!(
        soon.title.contains("www.example.org expires in 5 days"),
        "{}",
        soon.title
    );
    let report = with(certificate(2023, 11, 1));
    let expired = one(&report, "tls-certificate-expiry");
    assert_eq!(expired.severity, Severity::Critical);
    assert!(
        expired.title.contains("expired 14 days before"),
        "{}",
        expired.title
    );
    assert!(of_kind(&with(certificate(2023, 12, 24)), "tls-certificate-expiry").is_empty());
}

#[test]
fn an_alert_ends_a_handshake_and_says_why() {
    let alert = record(21, &[2, 40]);
    let report = conversation(
        &[(true, client_hello("old.example.org")), (false, alert)],
        1_400,
    );
    let tls = report.tls.as_ref().expect("TLS");
    assert_eq!((tls.handshakes, tls.answered, tls.failed), (1, 0, 1));
    let finding = one(&report, "tls-failed");
    assert!(
        finding.title.contains("old.example.org failed"),
        "{}",
        finding.title
    );
    assert!(
        finding.title.contains("handshake_failure"),
        "{}",
        finding.title
    );
    assert!(
        tls.rows[0]
            .alert
            .as_deref()
            .expect("an alert")
            .contains("handshake_failure")
    );
}

#[test]
fn old_versions_are_told_and_tls_1_3_is_read_from_its_extension() {
    let old = [
        (true, client_hello("a.example.org")),
        (false, server_hello([3, 1], None)),
    ];
    let finding_title = &one(&conversation(&old, 1_400), "tls-old-version")
        .title
        .clone();
    assert!(finding_title.contains("TLS 1.0"), "{finding_title}");
    let new = [
        (true, client_hello("a.example.org")),
        (false, server_hello([3, 3], Some([3, 4]))),
    ];
    let report = conversation(&new, 1_400);
    assert_eq!(report.tls.as_ref().expect("TLS").versions["TLS 1.3"], 1);
    assert!(of_kind(&report, "tls-old-version").is_empty());
}

#[test]
fn a_search_list_that_costs_questions_is_told_with_an_example() {
    let mut frames = Frames::new();
    let mut id = 0;
    for _ in 0..4 {
        for name in [
            "api.example.org.shop.svc.cluster.local",
            "api.example.org.svc.cluster.local",
            "api.example.org.cluster.local",
        ] {
            id += 1;
            frames = frames.question(id, name).answer(id, name, 3);
        }
        id += 1;
        frames = frames
            .question(id, "api.example.org")
            .answer(id, "api.example.org", 0);
    }
    let report = analysed(&frames.pcap());
    let finding = one(&report, "dns-search-storm");
    assert_eq!(finding.evidence.count, 12);
    assert!(
        finding.title.contains("api.example.org"),
        "{}",
        finding.title
    );
    let dns = report.dns.as_ref().expect("DNS");
    assert_eq!((dns.codes["NXDOMAIN"], dns.codes["NOERROR"]), (12, 4));
}

#[test]
fn a_question_asked_again_a_cut_answer_a_failure_and_a_slow_one() {
    let frames = Frames::new()
        .question(1, "slow.example.org")
        .wait(800_000_000)
        .question(1, "slow.example.org")
        .wait(700_000_000)
        .answer(1, "slow.example.org", 0)
        .question(2, "large.example.org")
        .answer(2, "large.example.org", 0x0200)
        .question(3, "broken.example.org")
        .answer(3, "broken.example.org", 2);
    let report = analysed(&frames.pcap());
    let dns = report.dns.as_ref().expect("DNS");
    assert_eq!(
        (dns.retried, dns.truncated, dns.codes["SERVFAIL"]),
        (1, 1, 1)
    );
    assert_eq!(one(&report, "dns-truncated").evidence.count, 1);
    assert_eq!(one(&report, "dns-servfail").evidence.count, 1);
    assert!(
        one(&report, "dns-slow")
            .measured
            .as_deref()
            .expect("measured")
            .contains("500")
    );
}

#[test]
fn a_response_without_its_request_and_one_that_is_slow() {
    let request = b"POST /pay HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\n{}".to_vec();
    let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
    let frames = handshake()
        .client(PSH | ACK, 1, 1, &request)
        .wait(2_000_000_000)
        .server(PSH | ACK, 1, 1 + request.len() as u32, &ok);
    let report = analysed(&frames.pcap());
    let http = report.http.as_ref().expect("HTTP");
    assert_eq!(
        (http.requests, http.responses, http.methods["POST"]),
        (1, 1, 1)
    );
    assert!(http.rows[0].response_ns.expect("a time") > 2_000_000_000);
    assert!(one(&report, "http-slow").title.contains("10.0.0.2:80"));
    assert_eq!(one(&report, "tcp-slow-server").evidence.count, 1);
    let alone = conversation(&[(false, ok)], 1_400);
    let http = alone.http.as_ref().expect("HTTP");
    assert_eq!(
        (
            http.requests,
            http.responses,
            http.rows[0].method.as_deref()
        ),
        (0, 1, None)
    );
}
