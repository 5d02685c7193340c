//! TLS handshakes as far as they are in the clear: names, versions, ciphers, certificates, alerts.

use std::collections::HashMap;

use ahash::RandomState;
use tls_parser::{
    TlsCipherSuite, TlsExtension, TlsMessage, TlsMessageHandshake, TlsVersion,
    parse_tls_client_hello_extensions, parse_tls_message_handshake,
    parse_tls_server_hello_extensions,
};

use super::{
    Analyser, Segment,
    collect::{self, Case, Findings, Kind},
    stream::Stream,
};
use crate::{
    flow::{Application, Flow, FlowId},
    records::{Origin, Tap},
    report::{Certainty, Evidence, FlowReference, Report, Severity, TlsRow, TlsSummary},
    settings::Settings,
};

const FAILED: Kind = Kind {
    name: "tls-failed",
    certainty: Certainty::Certain,
    meaning: "A side ended the handshake with an alert: no version or cipher in common, an unknown name, \
              or a certificate that it does not accept.",
    next: "The alert says why: look at the certificate, its names and issuer, and at the versions and \
           ciphers that both allow.",
};
const OLD: Kind = Kind {
    name: "tls-old-version",
    certainty: Certainty::Certain,
    meaning: "TLS 1.1 and older are broken and were given up (RFC 8996).",
    next: "Update the side that offers nothing newer, or its settings.",
};
const EXPIRY: Kind = Kind {
    name: "tls-certificate-expiry",
    certainty: Certainty::Certain,
    meaning: "The server's certificate has expired or soon will; clients then refuse it.",
    next: "Renew it, and see why that did not happen by itself.",
};

/// Handshakes that are followed at once.
const MOST: usize = 16_384;
/// Bytes of a handshake that are read, each way.
const LONGEST: usize = 48 << 10;

/// One direction.
#[derive(Default)]
struct Half {
    stream: Stream,
    records: Vec<u8>,
    messages: Vec<u8>,
    read: usize,
    encrypted: bool,
}

struct Handshake {
    halves: [Half; 2],
    row: TlsRow,
    origin: Origin,
    hello: Option<u64>,
    answered: bool,
    failed: bool,
    evidence: Evidence,
    server: FlowReference,
    expires: Option<i64>,
    filter: String,
}

pub(crate) struct Tls {
    rows: usize,
    warn_before: i64,
    handshakes: HashMap<FlowId, Handshake, RandomState>,
    summary: TlsSummary,
    findings: Findings,
    tap: Option<Tap>,
}

impl Tls {
    pub(crate) fn new(settings: &Settings) -> Self {
        let days = settings.thresholds.certificate_days;
        Self {
            rows: settings.rows,
            warn_before: i64::try_from(days * 86_400).unwrap_or(i64::MAX),
            handshakes: HashMap::default(),
            summary: TlsSummary::default(),
            findings: Findings::default(),
            tap: None,
        }
    }

    fn done(&mut self, handshake: Handshake) {
        let Handshake { row, .. } = &handshake;
        if handshake.hello.is_none() && row.version.is_none() {
            return;
        }
        self.summary.handshakes += 1;
        self.summary.answered += u64::from(handshake.answered);
        self.summary.failed += u64::from(handshake.failed);
        if let Some(version) = &row.version {
            *self.summary.versions.entry(version.clone()).or_default() += 1;
        }
        if let Some(cipher) = &row.cipher {
            *self.summary.ciphers.entry(cipher.clone()).or_default() += 1;
        }
        self.conspicuous(&handshake);
        if let Some(tap) = &self.tap {
            tap.give(|records| records.tls(&handshake.origin, &handshake.row));
        }
        if self.summary.rows.len() < self.rows {
            self.summary.rows.push(handshake.row);
        } else {
            self.summary.not_listed += 1;
        }
    }

    fn conspicuous(&mut self, handshake: &Handshake) {
        let row = &handshake.row;
        let name = row.sni.as_deref().unwrap_or(&row.exchange.server);
        let mut add = |kind, severity, title, measured| {
            self.findings.add(
                kind,
                Case {
                    severity,
                    title,
                    flow: Some(handshake.server.clone()),
                    evidence: handshake.evidence.clone(),
                    filter: format!("{} && tls", handshake.filter),
                    measured,
                    weight: 1,
                },
            );
        };
        if handshake.failed {
            let alert = row.alert.as_deref().unwrap_or("an alert");
            let title = format!("the handshake with {name} failed: {alert}");
            add(&FAILED, Severity::Critical, title, None);
        }
        let old = matches!(
            row.version.as_deref(),
            Some("SSL 3.0" | "TLS 1.0" | "TLS 1.1")
        );
        if let (true, Some(version)) = (old, &row.version) {
            let title = format!("{name} agreed to {version}");
            add(&OLD, Severity::Warning, title, None);
        }
        if let Some(expires) = handshake.expires {
            let now = (handshake.evidence.last_ns / 1_000_000_000).cast_signed();
            let left = expires - now;
            if left < self.warn_before {
                let days = left.div_euclid(86_400);
                let (severity, title) = if left < 0 {
                    let title = format!(
                        "the certificate of {name} had expired {} days before",
                        -days
                    );
                    (Severity::Critical, title)
                } else {
                    let title = format!("the certificate of {name} expires in {days} days");
                    (Severity::Warning, title)
                };
                let measured = format!(
                    "{days} days; reported from {} on",
                    self.warn_before / 86_400
                );
                add(&EXPIRY, severity, title, Some(measured));
            }
        }
    }
}

impl Analyser for Tls {
    fn hand_to(&mut self, tap: &Tap) {
        self.tap = Some(tap.clone());
    }

    #[inline]
    fn tcp(&mut self, segment: &Segment<'_>) {
        let flow = segment.flow;
        if flow.application != Application::Tls || segment.tcp.payload.is_empty() {
            return;
        }
        // What follows so many bytes is no handshake.
        let sent = flow.tcp.as_ref().map_or(0, |connection| {
            connection.halves[segment.way.index()].data_bytes
        });
        if sent > LONGEST as u64 {
            return;
        }
        if !self.handshakes.contains_key(&flow.id) {
            if self.handshakes.len() >= MOST {
                self.summary.not_listed += 1;
                return;
            }
            self.handshakes.insert(flow.id, begin(segment));
        }
        if let Some(handshake) = self.handshakes.get_mut(&flow.id) {
            handshake.segment(segment);
        }
    }

    fn closed(&mut self, flow: &Flow) {
        if flow.application == Application::Tls
            && let Some(handshake) = self.handshakes.remove(&flow.id)
        {
            self.done(handshake);
        }
    }

    fn finish(&mut self, report: &mut Report) {
        self.findings.finish(report);
        if self.summary.handshakes + self.summary.not_listed > 0 {
            let quic = report.tls.take().map_or(0, |tls| tls.quic);
            self.summary
                .rows
                .sort_by_key(|row| (row.exchange.file, row.exchange.frame));
            report.tls = Some(TlsSummary {
                quic,
                ..std::mem::take(&mut self.summary)
            });
        }
    }
}

fn begin(segment: &Segment<'_>) -> Handshake {
    let flow = segment.flow;
    Handshake {
        halves: [Half::default(), Half::default()],
        row: TlsRow {
            exchange: collect::exchange(segment),
            ..TlsRow::default()
        },
        origin: Origin::new(
            segment.packet,
            flow,
            collect::client(flow),
            collect::server(flow),
        ),
        hello: None,
        answered: false,
        failed: false,
        evidence: Evidence::of(segment.packet),
        server: collect::reference(flow),
        expires: None,
        filter: collect::flow_filter(flow),
    }
}

impl Handshake {
    fn segment(&mut self, segment: &Segment<'_>) {
        let half = &mut self.halves[segment.way.index()];
        if half.encrypted || half.read > LONGEST {
            return;
        }
        let (records, read) = (&mut half.records, &mut half.read);
        half.stream.segment(segment.tcp, |bytes| {
            *read += bytes.len();
            records.extend_from_slice(bytes);
        });
        self.evidence.add(segment.packet);
        while let Some((kind, body)) = record(&mut self.halves[segment.way.index()].records) {
            match kind {
                22 => {
                    self.halves[segment.way.index()].messages.extend(body);
                    self.messages(segment);
                }
                21 => self.alert(segment, &body),
                _ => {
                    // What was read of it is not needed any more.
                    self.halves[segment.way.index()] = Half {
                        encrypted: true,
                        ..Half::default()
                    };
                    break;
                }
            }
        }
    }

    fn alert(&mut self, segment: &Segment<'_>, body: &[u8]) {
        let [level, description] = body else {
            return;
        };
        // close_notify ends every connection.
        if *description == 0 || self.row.alert.is_some() {
            return;
        }
        let who = if segment.way == segment.flow.client {
            "client"
        } else {
            "server"
        };
        self.row.alert = Some(format!(
            "{} ({description}) from the {who}",
            alert_name(*description)
        ));
        self.failed |= *level == 2;
    }

    fn messages(&mut self, segment: &Segment<'_>) {
        let messages = std::mem::take(&mut self.halves[segment.way.index()].messages);
        let mut rest = &messages[..];
        while let [_, high, middle, low, ..] = rest {
            let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
            let Some(message) = rest.get(..4 + length) else {
                break;
            };
            rest = &rest[4 + length..];
            match parse_tls_message_handshake(message) {
                Ok((_, TlsMessage::Handshake(message))) => self.message(segment, &message),
                // Finished is encrypted from TLS 1.0 on, and looks like no message.
                _ => {
                    self.halves[segment.way.index()].encrypted = true;
                    return;
                }
            }
        }
        self.halves[segment.way.index()].messages = rest.to_vec();
    }

    fn message(&mut self, segment: &Segment<'_>, message: &TlsMessageHandshake<'_>) {
        match message {
            TlsMessageHandshake::ClientHello(hello) => {
                self.row.exchange.file = segment.packet.file;
                self.row.exchange.frame = segment.packet.frame;
                self.hello = Some(segment.packet.timestamp);
                let extensions = hello.ext.unwrap_or_default();
                let (_, extensions) =
                    parse_tls_client_hello_extensions(extensions).unwrap_or_default();
                for extension in extensions {
                    match extension {
                        TlsExtension::SNI(names) => {
                            let name = names.first().map(|(_, name)| name);
                            self.row.sni =
                                name.map(|name| String::from_utf8_lossy(name).into_owned());
                        }
                        TlsExtension::ALPN(names) => {
                            let names = names.iter().map(|name| String::from_utf8_lossy(name));
                            self.row.alpn = names.map(std::borrow::Cow::into_owned).collect();
                        }
                        _ => {}
                    }
                }
            }
            TlsMessageHandshake::ServerHello(hello) => {
                self.answered = true;
                let hello_time = self.hello;
                self.row.hello_ns =
                    hello_time.map(|time| segment.packet.timestamp.saturating_sub(time));
                let mut version = hello.version;
                let extensions = hello.ext.unwrap_or_default();
                let (_, extensions) =
                    parse_tls_server_hello_extensions(extensions).unwrap_or_default();
                for extension in extensions {
                    if let TlsExtension::SupportedVersions(versions) = extension
                        && let Some(agreed) = versions.first()
                    {
                        version = *agreed;
                    }
                }
                self.row.version = Some(version_name(version));
                let cipher = TlsCipherSuite::from_id(hello.cipher.0);
                self.row.cipher = Some(cipher.map_or_else(
                    || format!("0x{:04x}", hello.cipher.0),
                    |cipher| cipher.name.to_owned(),
                ));
            }
            TlsMessageHandshake::Certificate(certificates)
                if segment.way != segment.flow.client =>
            {
                let first = certificates.cert_chain.first();
                let parsed = first.map(|first| x509_parser::parse_x509_certificate(first.data));
                if let Some(Ok((_, certificate))) = parsed {
                    let expires = certificate.validity().not_after.timestamp();
                    self.row.certificate = Some(certificate.subject().to_string());
                    self.expires = Some(expires);
                    let time = u64::try_from(expires)
                        .unwrap_or(0)
                        .saturating_mul(1_000_000_000);
                    self.row.expires = Some(capture_types::time::rfc3339(time));
                }
            }
            _ => {}
        }
    }
}

/// Takes a whole record from the front: its type and body.
fn record(bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let header = bytes.first_chunk::<5>()?;
    let (kind, major) = (header[0], header[1]);
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    if major != 3 || !(20..=24).contains(&kind) {
        bytes.clear();
        return None;
    }
    if kind == 23 {
        return Some((kind, Vec::new()));
    }
    let body = bytes.get(5..5 + length)?.to_vec();
    bytes.drain(..5 + length);
    Some((kind, body))
}

fn version_name(version: TlsVersion) -> String {
    match version.0 {
        0x0300 => "SSL 3.0".to_owned(),
        0x0301 => "TLS 1.0".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        0x0303 => "TLS 1.2".to_owned(),
        0x0304 => "TLS 1.3".to_owned(),
        other => format!("0x{other:04x}"),
    }
}

/// RFC 8446, 6; those that are met.
const fn alert_name(description: u8) -> &'static str {
    match description {
        10 => "unexpected_message",
        20 => "bad_record_mac",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        109 => "missing_extension",
        112 => "unrecognized_name",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => "alert",
    }
}
