//! Documents of DNS questions, TLS handshakes and HTTP requests.

use std::{collections::HashMap, net::IpAddr};

use capture_analysis::{
    Origin,
    report::{DnsRow, HttpRow, TlsRow},
};

use super::{FileContext, Kind, flow, identity::FlowNames, json::Object};

type Hosts = HashMap<IpAddr, String>;

/// How an exchange ended.
struct Ending {
    /// From question to answer, nanoseconds.
    duration: Option<u64>,
    /// Whether it succeeded; `None` if that is not known.
    success: Option<bool>,
    /// The frames of the question, and of the answer.
    frames: (u64, Option<u64>),
}

/// What messages of every kind have.
fn begin(
    object: &mut Object<'_>,
    kind: Kind,
    origin: &Origin,
    result: &Ending,
    (names, hosts): (&FlowNames, &Hosts),
) {
    object.time("@timestamp", origin.time);
    object.object("event", |event| {
        event.word("kind", "event");
        event.words("category", &["network"]);
        event.words("type", &["protocol"]);
        event.word("module", "capture");
        event.word("dataset", kind.dataset());
        event.time("start", origin.time);
        event.some_number("duration", result.duration);
        if let Some(success) = result.success {
            event.word("outcome", if success { "success" } else { "failure" });
        }
    });
    object.object("flow", |inner| inner.text("id", &names.id));
    object.object("network", |network| {
        flow::ends(network, origin.transport, origin.client.address, names);
        network.word("protocol", kind.name());
    });
    object.object("source", |side| flow::end(side, origin.client, None, hosts));
    object.object("destination", |side| {
        flow::end(side, origin.server, None, hosts);
    });
}

fn frames(capture: &mut Object<'_>, file: &FileContext, result: &Ending) {
    file.capture(capture);
    capture.object("frame", |frame| {
        frame.number("first", result.frames.0);
        frame.some_number("last", result.frames.1);
    });
}

pub(super) fn dns(
    object: &mut Object<'_>,
    origin: &Origin,
    row: &DnsRow,
    names: &FlowNames,
    file: &FileContext,
    hosts: &Hosts,
) {
    let code = row.code.as_deref();
    let result = Ending {
        duration: row.response_ns,
        success: Some(matches!(code, Some("NOERROR" | "NXDOMAIN"))),
        frames: (row.exchange.frame, row.answer_frame),
    };
    begin(object, Kind::Dns, origin, &result, (names, hosts));
    object.object("dns", |dns| {
        dns.number_as_text("id", row.id.into());
        dns.word("type", if code.is_some() { "answer" } else { "query" });
        dns.object("question", |question| {
            question.some_text("name", Some(&row.name));
            question.some_text("type", Some(&row.kind));
        });
        dns.some_text("response_code", code);
    });
    object.object("capture", |capture| frames(capture, file, &result));
}

pub(super) fn tls(
    object: &mut Object<'_>,
    origin: &Origin,
    row: &TlsRow,
    names: &FlowNames,
    file: &FileContext,
    hosts: &Hosts,
) {
    let established = row.version.is_some() && row.alert.is_none();
    let result = Ending {
        duration: row.hello_ns,
        success: Some(established),
        frames: (row.exchange.frame, None),
    };
    begin(object, Kind::Tls, origin, &result, (names, hosts));
    object.object("tls", |tls| {
        if let Some(version) = &row.version {
            match version.split_once(' ') {
                Some(("SSL", number)) => {
                    tls.word("version_protocol", "ssl");
                    tls.text("version", number);
                }
                Some((_, number)) => {
                    tls.word("version_protocol", "tls");
                    tls.text("version", number);
                }
                None => tls.text("version", version),
            }
        }
        tls.some_text("cipher", row.cipher.as_deref());
        tls.flag("established", established);
        if let Some(name) = &row.sni {
            tls.object("client", |client| client.text("server_name", name));
        }
        if row.certificate.is_some() || row.expires.is_some() {
            tls.object("server", |server| {
                server.some_text("subject", row.certificate.as_deref());
                server.some_text("not_after", row.expires.as_deref());
            });
        }
    });
    object.object("capture", |capture| {
        frames(capture, file, &result);
        if !row.alpn.is_empty() || row.alert.is_some() {
            capture.object("tls", |tls| {
                if !row.alpn.is_empty() {
                    tls.list("alpn", row.alpn.iter().take(MOST_ALPN).map(String::as_str));
                }
                tls.some_text("alert", row.alert.as_deref());
            });
        }
    });
}

/// Protocols that a client offers; more are not listed.
const MOST_ALPN: usize = 32;

pub(super) fn http(
    object: &mut Object<'_>,
    origin: &Origin,
    row: &HttpRow,
    names: &FlowNames,
    file: &FileContext,
    hosts: &Hosts,
) {
    let result = Ending {
        duration: row.response_ns,
        success: row.status.map(|status| status < 400),
        frames: (row.exchange.frame, row.response_frame),
    };
    begin(object, Kind::Http, origin, &result, (names, hosts));
    object.object("http", |http| {
        if let Some(method) = &row.method {
            http.object("request", |request| request.text("method", method));
        }
        if let Some(status) = row.status {
            http.object("response", |response| {
                response.number("status_code", status.into());
            });
        }
    });
    if row.host.is_some() || row.target.is_some() {
        object.object("url", |url| {
            url.some_text("domain", row.host.as_deref().map(domain));
            if let Some(target) = &row.target {
                url.text("original", target);
                let path = target.split(['?', '#']).next();
                url.some_text("path", path.filter(|path| path.starts_with('/')));
            }
        });
    }
    object.object("capture", |capture| frames(capture, file, &result));
}

/// A Host header without its port.
fn domain(host: &str) -> &str {
    if let Some((address, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    host.split(':').next().unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::domain;

    #[test]
    fn a_host_is_known_without_its_port() {
        for (host, name) in [
            ("example.org", "example.org"),
            ("example.org:8080", "example.org"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("[broken", "[broken"),
            ("", ""),
        ] {
            assert_eq!(domain(host), name);
        }
    }
}
