//! HTTP/1: requests and their responses.

mod waiting;

use std::collections::{HashMap, VecDeque};

use ahash::RandomState;

use super::{
    Analyser, Segment,
    collect::{self, Case, Findings, Kind, duration},
    stream::Stream,
};
use crate::{
    engine::Quantiles,
    flow::{Application, Flow, FlowId},
    records::{Origin, Tap},
    report::{Certainty, Evidence, HttpRow, HttpSummary, Report, Severity},
    settings::Settings,
};
use waiting::{Record, Records};

const ERRORS: Kind = Kind {
    name: "http-errors",
    certainty: Certainty::Certain,
    meaning: "The server answered with errors of its own (5xx).",
    next: "Look at the server's log for these requests; 502 to 504 come from a proxy whose backend fails.",
};
const SLOW: Kind = Kind {
    name: "http-slow",
    certainty: Certainty::Certain,
    meaning: "Responses took long to begin: the server, or what it asks, is slow.",
    next: "Look at which targets are slow, and at what the server waits for meanwhile.",
};

/// Connections that are followed at once.
const MOST: usize = 16_384;
/// A header longer than this is none.
const LONGEST_HEADER: usize = 32 << 10;
const MOST_HEADERS: usize = 128;
/// Requests on their way in one connection.
const MOST_WAITING: usize = 256;
/// What comes next in a direction.
enum Next {
    Header,
    Body(u64),
    /// The length of the next chunk stands in the bytes.
    Chunk,
    /// So many bytes of a chunk, and the line behind it.
    InChunk(u64),
    /// Everything up to the end of the connection.
    Rest,
}

struct Half {
    stream: Stream,
    bytes: Vec<u8>,
    next: Next,
}

impl Default for Half {
    fn default() -> Self {
        Self {
            stream: Stream::default(),
            bytes: Vec::new(),
            next: Next::Header,
        }
    }
}

struct Waiting {
    /// Its row, if it is listed.
    row: Option<usize>,
    time: u64,
    head: bool,
    /// The record to hand on with the response.
    record: Option<Box<Record>>,
}

#[derive(Default)]
struct Connection {
    halves: [Half; 2],
    waiting: VecDeque<Waiting>,
    /// Requests, and responses without one, so far.
    exchanges: u64,
    errors: Option<(Evidence, u16)>,
    slow: Option<(Evidence, u64)>,
}

pub(crate) struct Http {
    rows: usize,
    slow: u64,
    connections: HashMap<FlowId, Connection, RandomState>,
    summary: HttpSummary,
    times: Quantiles,
    findings: Findings,
    records: Option<Records>,
}

impl Http {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            rows: settings.rows,
            slow: settings.thresholds.slow_server,
            connections: HashMap::default(),
            summary: HttpSummary::default(),
            times: Quantiles::default(),
            findings: Findings::default(),
            records: None,
        }
    }

    fn messages(&mut self, segment: &Segment<'_>, connection: &mut Connection) {
        let from_client = segment.way == segment.flow.client;
        loop {
            let half = &mut connection.halves[segment.way.index()];
            match half.next {
                Next::Header => {
                    let Some(header) = header(&mut half.bytes) else {
                        return;
                    };
                    let next = if header.starts_with(b"HTTP/") {
                        self.response(segment, connection, &header)
                    } else if from_client || !connection.waiting.is_empty() || true_request(&header)
                    {
                        self.request(segment, connection, &header)
                    } else {
                        None
                    };
                    let half = &mut connection.halves[segment.way.index()];
                    half.next = next.unwrap_or(Next::Rest);
                }
                Next::Body(left) => match skip(&mut half.bytes, left) {
                    0 => half.next = Next::Header,
                    left => {
                        half.next = Next::Body(left);
                        return;
                    }
                },
                Next::Chunk => match chunk(&mut half.bytes) {
                    Some(0) => half.next = Next::Header,
                    Some(length) => half.next = Next::InChunk(length.saturating_add(2)),
                    None => return,
                },
                Next::InChunk(left) => match skip(&mut half.bytes, left) {
                    0 => half.next = Next::Chunk,
                    left => {
                        half.next = Next::InChunk(left);
                        return;
                    }
                },
                Next::Rest => {
                    half.bytes.clear();
                    return;
                }
            }
        }
    }

    fn row(&self, segment: &Segment<'_>) -> HttpRow {
        HttpRow {
            exchange: collect::exchange(segment),
            ..HttpRow::default()
        }
    }

    fn list(&mut self, row: HttpRow) -> Option<usize> {
        if self.summary.rows.len() >= self.rows {
            self.summary.not_listed += 1;
            return None;
        }
        self.summary.rows.push(row);
        Some(self.summary.rows.len() - 1)
    }

    fn request(
        &mut self,
        segment: &Segment<'_>,
        connection: &mut Connection,
        header: &[u8],
    ) -> Option<Next> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut request = httparse::Request::new(&mut fields);
        request.parse(header).ok()?;
        let method = request.method?.to_owned();
        self.summary.requests += 1;
        // Methods are hostile text too: few are counted separately.
        if self.summary.methods.len() < 32 || self.summary.methods.contains_key(&method) {
            *self.summary.methods.entry(method.clone()).or_default() += 1;
        }
        let host = field(request.headers, "host");
        let row = HttpRow {
            method: Some(method.clone()),
            host,
            target: request.path.map(str::to_owned),
            ..self.row(segment)
        };
        let has_place = connection.waiting.len() < MOST_WAITING;
        let record = self.records.as_mut().and_then(|records| {
            let record = record(segment, connection, &row);
            if has_place {
                return records.hold(record);
            }
            records.give(&record);
            None
        });
        let row = self.list(row);
        if has_place {
            connection.waiting.push_back(Waiting {
                row,
                time: segment.packet.timestamp,
                head: method == "HEAD",
                record,
            });
        }
        if method == "CONNECT" {
            return Some(Next::Rest);
        }
        Some(body(request.headers).unwrap_or(Next::Header))
    }

    fn response(
        &mut self,
        segment: &Segment<'_>,
        connection: &mut Connection,
        header: &[u8],
    ) -> Option<Next> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut response = httparse::Response::new(&mut fields);
        response.parse(header).ok()?;
        let status = response.code?;
        self.summary.responses += 1;
        *self.summary.statuses.entry(status).or_default() += 1;
        let mut asked = if (100..200).contains(&status) && status != 101 {
            return Some(Next::Header);
        } else {
            connection.waiting.pop_front()
        };
        let time = asked
            .as_ref()
            .map(|asked| segment.packet.timestamp.saturating_sub(asked.time));
        if let Some(time) = time {
            self.times.add(time);
            if time >= self.slow {
                let (evidence, most) = connection
                    .slow
                    .get_or_insert((Evidence::from(segment.packet), 0));
                evidence.add(segment.packet);
                *most = (*most).max(time);
            }
        }
        if status >= 500 {
            let (evidence, last) = connection
                .errors
                .get_or_insert((Evidence::from(segment.packet), status));
            evidence.add(segment.packet);
            *last = status;
        }
        if let Some(mut record) = asked.as_mut().and_then(|asked| asked.record.take()) {
            record.row.status = Some(status);
            record.row.response_frame = Some(segment.packet.frame);
            record.row.response_ns = time;
            if let Some(records) = &mut self.records {
                records.give(&record);
            }
        }
        match asked.as_ref().and_then(|asked| asked.row) {
            Some(row) => {
                if let Some(row) = self.summary.rows.get_mut(row) {
                    row.status = Some(status);
                    row.response_frame = Some(segment.packet.frame);
                    row.response_ns = time;
                }
            }
            None if asked.is_none() => {
                let row = HttpRow {
                    status: Some(status),
                    response_frame: Some(segment.packet.frame),
                    ..self.row(segment)
                };
                if let Some(records) = &mut self.records {
                    records.give(&record(segment, connection, &row));
                }
                self.list(row);
            }
            None => {}
        }
        let no_body = asked.is_some_and(|asked| asked.head) || matches!(status, 204 | 304);
        if status == 101 {
            return Some(Next::Rest);
        }
        if no_body {
            return Some(Next::Header);
        }
        Some(body(response.headers).unwrap_or(Next::Rest))
    }
}

impl Analyser for Http {
    fn hand_to(&mut self, tap: &Tap) {
        self.records = Some(Records::to(tap.clone()));
    }

    #[inline]
    fn tcp(&mut self, segment: &Segment<'_>) {
        if segment.flow.application != Application::Http || segment.tcp.payload.is_empty() {
            return;
        }
        let id = segment.flow.id;
        if !self.connections.contains_key(&id) && self.connections.len() >= MOST {
            return;
        }
        let mut connection = self.connections.remove(&id).unwrap_or_default();
        let Half {
            stream,
            bytes,
            next,
        } = &mut connection.halves[segment.way.index()];
        stream.segment(segment.tcp, |new| {
            // What nobody reads is not kept.
            if !matches!(next, Next::Rest) {
                bytes.extend_from_slice(new);
            }
        });
        self.messages(segment, &mut connection);
        self.connections.insert(id, connection);
    }

    fn closed(&mut self, flow: &Flow) {
        if flow.application != Application::Http {
            return;
        }
        let Some(mut connection) = self.connections.remove(&flow.id) else {
            return;
        };
        if let Some(records) = &mut self.records {
            for record in connection.waiting.drain(..).filter_map(|one| one.record) {
                records.give(&record);
            }
        }
        let server = collect::end(collect::server(flow));
        let mut add = |kind, (evidence, title, filter, measured): (Evidence, String, &str, _)| {
            let weight = evidence.count;
            self.findings.add(
                kind,
                Case {
                    severity: Severity::Warning,
                    title,
                    flow: Some(collect::reference(flow)),
                    evidence,
                    filter: format!("{} && {filter}", collect::flow_filter(flow)),
                    measured,
                    weight,
                },
            );
        };
        if let Some((evidence, status)) = connection.errors {
            let title = format!(
                "{server} answered with {} errors, the last {status}",
                evidence.count
            );
            add(
                &ERRORS,
                (evidence, title, "http.response.code >= 500", None),
            );
        }
        if let Some((evidence, most)) = connection.slow {
            let title = format!("{server} took up to {} to respond", duration(most));
            let measured = format!(
                "{}; reported from {} on",
                duration(most),
                duration(self.slow)
            );
            add(&SLOW, (evidence, title, "http.time > 1", Some(measured)));
        }
    }

    fn finish(&mut self, report: &mut Report) {
        self.findings.finish(report);
        if self.summary.requests + self.summary.responses > 0 {
            self.summary.response_ns = self.times.median_and_95th();
            report.http = Some(std::mem::take(&mut self.summary));
        }
    }
}

/// The next record of a connection.
fn record(segment: &Segment<'_>, connection: &mut Connection, row: &HttpRow) -> Record {
    let flow = segment.flow;
    let (client, server) = (collect::client(flow), collect::server(flow));
    let number = connection.exchanges;
    connection.exchanges += 1;
    let origin = Origin::new(segment.packet, flow, client, server);
    Record::new(origin, number, row.clone())
}

fn true_request(header: &[u8]) -> bool {
    Application::of(header) == Application::Http
}

/// Takes a whole header from the front. One that grows too long is given up.
fn header(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    // Empty lines before a request are allowed (RFC 9112, 2.2).
    let empty = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    bytes.drain(..empty);
    let end = bytes
        .windows(2)
        .enumerate()
        .find_map(|(at, pair)| match (pair, bytes.get(at + 2)) {
            (b"\n\n", _) => Some(at + 2),
            (b"\n\r", Some(b'\n')) => Some(at + 3),
            _ => None,
        });
    match end {
        Some(end) => Some(bytes.drain(..end).collect()),
        None => {
            if bytes.len() > LONGEST_HEADER {
                bytes.clear();
            }
            None
        }
    }
}

/// Skips up to so many bytes; how many are left to skip.
fn skip(bytes: &mut Vec<u8>, left: u64) -> u64 {
    let there = (bytes.len() as u64).min(left);
    bytes.drain(..there as usize);
    left - there
}

/// The length of a chunk; the trailer behind the last is taken for the next message's empty lines.
fn chunk(bytes: &mut Vec<u8>) -> Option<u64> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line: Vec<u8> = bytes.drain(..=end).collect();
    let digits = line
        .split(|byte| matches!(byte, b';' | b'\r' | b'\n' | b' '))
        .next()?;
    let digits = std::str::from_utf8(digits).ok()?;
    Some(u64::from_str_radix(digits, 16).unwrap_or(0))
}

fn field(fields: &[httparse::Header<'_>], name: &str) -> Option<String> {
    let field = fields
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case(name))?;
    Some(String::from_utf8_lossy(field.value).into_owned())
}

fn body(fields: &[httparse::Header<'_>]) -> Option<Next> {
    if field(fields, "transfer-encoding")
        .is_some_and(|value| value.to_lowercase().contains("chunked"))
    {
        return Some(Next::Chunk);
    }
    let length = field(fields, "content-length")?.trim().parse().ok()?;
    Some(Next::Body(length))
}
