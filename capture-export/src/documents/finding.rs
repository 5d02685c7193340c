//! The document of a finding.

use std::{collections::HashMap, net::IpAddr};

use capture_analysis::report::{Certainty, End, Finding, Severity};

use super::{FileContext, Kind, flow, json::Object};

pub(super) fn write(
    object: &mut Object<'_>,
    finding: &Finding,
    file: &FileContext,
    hosts: &HashMap<IpAddr, String>,
) {
    let evidence = &finding.evidence;
    let (severity, number) = match finding.severity {
        Severity::Notice => ("notice", 1),
        Severity::Warning => ("warning", 2),
        Severity::Critical => ("critical", 3),
    };
    object.time("@timestamp", evidence.first_ns);
    object.text("message", &finding.title);
    object.object("event", |event| {
        event.word("kind", "alert");
        event.words("category", &["network"]);
        event.words("type", &["info"]);
        event.word("module", "capture");
        event.word("dataset", Kind::Finding.dataset());
        event.time("start", evidence.first_ns);
        event.time("end", evidence.last_ns);
        event.number("severity", number);
    });
    object.object("rule", |rule| {
        rule.text("name", &finding.kind);
        rule.text("description", &finding.meaning);
    });
    if let Some(reference) = &finding.flow {
        side(object, "source", reference.client.as_ref(), hosts);
        side(object, "destination", reference.server.as_ref(), hosts);
    }
    object.object("capture", |capture| {
        file.capture(capture);
        capture.object("frame", |frame| {
            frame.number("first", evidence.first.frame);
            frame.number("last", evidence.last.frame);
        });
        capture.object("finding", |inner| {
            inner.word("severity", severity);
            inner.word(
                "certainty",
                match finding.certainty {
                    Certainty::Possible => "possible",
                    Certainty::Likely => "likely",
                    Certainty::Certain => "certain",
                },
            );
            inner.text("next", &finding.next);
            inner.text("filter", &finding.filter);
            inner.some_text("measured", finding.measured.as_deref());
            inner.number("frames", evidence.count);
        });
    });
}

/// A side, if it has an IP address: findings about Ethernet have others.
fn side(
    object: &mut Object<'_>,
    key: &'static str,
    end: Option<&End>,
    hosts: &HashMap<IpAddr, String>,
) {
    let Some(end) = end else {
        return;
    };
    let Ok(address) = end.address.parse::<IpAddr>() else {
        return;
    };
    object.object(key, |side| {
        side.address("ip", address);
        side.some_number("port", end.port.map(u64::from));
        flow::name(side, address, hosts);
    });
}
