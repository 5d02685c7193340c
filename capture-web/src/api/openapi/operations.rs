//! Every operation of the API, in the order of the document.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::api::{
    Accepted, Capture, CaptureChange, CaptureEvent, CaptureStart, Captures, Comparison,
    Credentials, ExpressionCheck, ExpressionVerdict, FileListing, Health, NodeAnswers, Nodes,
    Queue, ReportSummary, Reports, Session, Share, Task,
};

/// An operation.
pub struct Operation {
    /// get, post, patch or delete.
    pub method: &'static str,
    /// Its path.
    pub path: &'static str,
    /// The part of the API.
    pub tag: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Query parameters: name, JSON type, meaning.
    pub query: &'static [(&'static str, &'static str, &'static str)],
    /// The request's body.
    pub body: Content,
    /// The status if it worked.
    pub status: u16,
    /// What that status means.
    pub answer: &'static str,
    /// The content of that answer.
    pub content: Content,
}

/// The content of a body.
pub enum Content {
    /// None.
    None,
    /// JSON.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// Server-sent events with data in JSON.
    Events(fn(&mut SchemaGenerator) -> Schema),
    /// Bytes of a media type.
    Bytes(&'static str),
    /// A form with files.
    Files,
}

fn of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Schema {
    schemas.subschema_for::<T>()
}

const fn operation(
    method: &'static str,
    path: &'static str,
    tag: &'static str,
    summary: &'static str,
) -> Operation {
    Operation {
        method,
        path,
        tag,
        summary,
        query: &[],
        body: Content::None,
        status: 200,
        answer: "Done.",
        content: Content::None,
    }
}

impl Operation {
    const fn query(mut self, query: &'static [(&'static str, &'static str, &'static str)]) -> Self {
        self.query = query;
        self
    }

    const fn takes<T: JsonSchema>(mut self) -> Self {
        self.body = Content::Json(of::<T>);
        self
    }

    const fn takes_files(mut self) -> Self {
        self.body = Content::Files;
        self
    }

    const fn returns<T: JsonSchema>(mut self) -> Self {
        self.content = Content::Json(of::<T>);
        self
    }

    const fn streams<T: JsonSchema>(mut self) -> Self {
        self.content = Content::Events(of::<T>);
        self
    }

    const fn sends(mut self, media_type: &'static str) -> Self {
        self.content = Content::Bytes(media_type);
        self
    }

    const fn answers(mut self, status: u16, answer: &'static str) -> Self {
        self.status = status;
        self.answer = answer;
        self
    }
}

const NODE: &[(&str, &str, &str)] = &[("node", "string", "Only on this node [default: all].")];
const PAGES: &[(&str, &str, &str)] = &[
    ("search", "string", "Part of the name, of any case."),
    (
        "limit",
        "integer",
        "Reports per page, 1 to 200 [default: 50].",
    ),
    ("cursor", "string", "`next` of the page before."),
];
const PCAPNG: &str = "application/x-pcapng";
const SESSION: &str = "session";
const UPLOADS: &str = "uploads";
const REPORTS: &str = "reports";
const SHARED: &str = "shared reports";
const CAPTURES: &str = "captures";
const KNOWN: &str = "known paths";

/// Every operation.
#[rustfmt::skip]
pub const OPERATIONS: &[Operation] = &[
    operation("get", "/api/v1/session", SESSION, "Who the caller is, and what is switched on.").returns::<Session>(),
    operation("post", "/api/v1/login", SESSION, "Log in: sets the session's cookie.").takes::<Credentials>().returns::<Session>(),
    operation("post", "/api/v1/logout", SESSION, "Log out: ends the session.").answers(204, "The session has ended."),

    operation("post", "/api/v1/uploads", UPLOADS, "Upload a capture to analyse it.").takes_files().answers(202, "The upload is complete, and waits for its analysis.").returns::<Accepted>(),
    operation("get", "/api/v1/tasks/{id}", UPLOADS, "An analysis.").returns::<Task>(),
    operation("get", "/api/v1/tasks/{id}/events", UPLOADS, "The progress of an analysis: events of type `task`, until it has ended.").streams::<Task>(),
    operation("get", "/api/v1/queue", UPLOADS, "The queue of analyses.").returns::<Queue>(),

    operation("get", "/api/v1/reports", REPORTS, "Reports, the newest first.").query(PAGES).returns::<Reports>(),
    operation("get", "/api/v1/reports/compare", REPORTS, "Compare two reports.").query(&[("a", "string", "The id of the first one."), ("b", "string", "The id of the second one.")]).returns::<Comparison>(),
    operation("get", "/api/v1/reports/{id}", REPORTS, "A report's summary.").returns::<ReportSummary>(),
    operation("delete", "/api/v1/reports/{id}", REPORTS, "Delete a report and its files.").answers(204, "It is deleted."),
    operation("get", "/api/v1/reports/{id}/report", REPORTS, "A report in `capture.report/v1`, which docs/capture.report.v1.schema.json describes.").sends("application/json"),
    operation("get", "/api/v1/reports/{id}/html", REPORTS, "A report as one page that needs no network.").sends("text/html"),
    operation("get", "/api/v1/reports/{id}/packets", REPORTS, "The frames that prove a finding.").query(&[("finding", "string", "The finding's id.")]).sends(PCAPNG),
    operation("post", "/api/v1/reports/{id}/share", REPORTS, "A link for people without an account, which ends when the report does.").answers(201, "The link.").returns::<Share>(),

    operation("get", "/api/v1/shared/{token}", SHARED, "A shared report's summary.").returns::<ReportSummary>(),
    operation("get", "/api/v1/shared/{token}/report", SHARED, "A shared report in `capture.report/v1`.").sends("application/json"),
    operation("get", "/api/v1/shared/{token}/html", SHARED, "A shared report as one page.").sends("text/html"),

    operation("get", "/api/v1/nodes", CAPTURES, "The nodes and their interfaces.").returns::<Nodes>(),
    operation("get", "/api/v1/captures", CAPTURES, "The captures of all nodes.").returns::<Captures>(),
    operation("post", "/api/v1/captures", CAPTURES, "Start a capture.").takes::<CaptureStart>().answers(201, "At least one node has started it.").returns::<NodeAnswers>(),
    operation("get", "/api/v1/captures/events", CAPTURES, "Changes and ledgers of all captures, each second: events of the types of `kind`.").streams::<CaptureEvent>(),
    operation("get", "/api/v1/captures/{name}", CAPTURES, "A capture on its nodes.").query(NODE).returns::<Vec<Capture>>(),
    operation("patch", "/api/v1/captures/{name}", CAPTURES, "Change a running capture.").query(NODE).takes::<CaptureChange>().returns::<NodeAnswers>(),
    operation("delete", "/api/v1/captures/{name}", CAPTURES, "Delete an ended capture and its files.").query(NODE).returns::<NodeAnswers>(),
    operation("post", "/api/v1/captures/{name}/stop", CAPTURES, "Stop a capture, and wait until everything is on disk.").query(NODE).returns::<NodeAnswers>(),
    operation("get", "/api/v1/captures/{name}/files", CAPTURES, "The files of a capture.").query(NODE).returns::<FileListing>(),
    operation("get", "/api/v1/captures/{name}/files/{file}", CAPTURES, "Download a file; the header `Range: bytes=N-` resumes.").query(&[("node", "string", "The node [default: the only one].")]).sends("application/octet-stream"),
    operation("get", "/api/v1/captures/{name}/merged", CAPTURES, "The packets of all finished files of all nodes, by time.").query(NODE).sends(PCAPNG),
    operation("post", "/api/v1/captures/{name}/analyze", CAPTURES, "Analyse the finished files of a capture.").query(NODE).answers(202, "It waits for its analysis.").returns::<Accepted>(),
    operation("post", "/api/v1/expression/check", CAPTURES, "Check an expression: the node compiles it.").takes::<ExpressionCheck>().returns::<ExpressionVerdict>(),

    operation("post", "/api/upload", KNOWN, "As POST /api/v1/uploads.").takes_files().answers(202, "As there.").returns::<Accepted>(),
    operation("get", "/api/progress/{id}", KNOWN, "As GET /api/v1/tasks/{id}/events.").streams::<Task>(),
    operation("get", "/api/status/{id}", KNOWN, "As GET /api/v1/tasks/{id}.").returns::<Task>(),
    operation("get", "/api/history", KNOWN, "As GET /api/v1/reports.").query(PAGES).returns::<Reports>(),
    operation("get", "/api/queue/status", KNOWN, "As GET /api/v1/queue.").returns::<Queue>(),
    operation("get", "/api/health", KNOWN, "Whether the server works.").returns::<Health>(),
    operation("get", "/api/reports/{id}/html", KNOWN, "As GET /api/v1/reports/{id}/html.").sends("text/html"),
    operation("get", "/api/reports/{id}/json", KNOWN, "As GET /api/v1/reports/{id}/report.").sends("application/json"),
    operation("delete", "/api/reports/{id}", KNOWN, "As DELETE /api/v1/reports/{id}.").answers(204, "It is deleted."),
];
