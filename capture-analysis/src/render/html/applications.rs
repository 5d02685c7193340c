//! DNS, TLS, HTTP and media streams.

use std::fmt::{self, Write};

use super::{
    super::units::{duration, number},
    heading,
    table::{Cell, table},
};
use crate::report::Report;

pub(super) fn applications(report: &Report, top: usize, out: &mut dyn Write) -> fmt::Result {
    if let Some(dns) = &report.dns {
        let title = format!(
            "DNS: {} questions, {} answers, {} unanswered",
            number(dns.queries),
            number(dns.responses),
            number(dns.unanswered)
        );
        heading(out, &title)?;
        let rows = dns.rows.iter().take(top).map(|row| {
            vec![
                Cell::number(number(row.exchange.frame)),
                Cell::long(&row.name),
                Cell::text(&row.kind),
                Cell::text(&row.exchange.client),
                Cell::text(&row.exchange.server),
                Cell::text(row.code.as_deref().unwrap_or("no answer")),
                Cell::number(row.response_ns.map(duration).unwrap_or_default()),
            ]
        });
        let header = [
            "Frame", "Name", "Type", "Client", "Server", "Answer", "Time",
        ];
        table(out, &header, rows)?;
    }
    if let Some(tls) = &report.tls {
        let title = format!(
            "TLS: {} handshakes, {} answered, {} failed",
            number(tls.handshakes),
            number(tls.answered),
            number(tls.failed)
        );
        heading(out, &title)?;
        let rows = tls.rows.iter().take(top).map(|row| {
            vec![
                Cell::number(number(row.exchange.frame)),
                Cell::long(row.sni.as_deref().unwrap_or_default()),
                Cell::text(&row.exchange.server),
                Cell::text(row.version.as_deref().unwrap_or_default()),
                Cell::text(row.cipher.as_deref().unwrap_or_default()),
                Cell::text(row.alert.as_deref().unwrap_or_default()),
                Cell::number(row.hello_ns.map(duration).unwrap_or_default()),
            ]
        });
        let header = [
            "Frame", "Name", "Server", "Version", "Cipher", "Alert", "Time",
        ];
        table(out, &header, rows)?;
    }
    if let Some(http) = &report.http {
        let title = format!(
            "HTTP: {} requests, {} responses",
            number(http.requests),
            number(http.responses)
        );
        heading(out, &title)?;
        let rows = http.rows.iter().take(top).map(|row| {
            vec![
                Cell::number(number(row.exchange.frame)),
                Cell::text(row.method.as_deref().unwrap_or_default()),
                Cell::text(row.host.as_deref().unwrap_or_default()),
                Cell::long(row.target.as_deref().unwrap_or_default()),
                Cell::number(
                    row.status
                        .map(|status| status.to_string())
                        .unwrap_or_default(),
                ),
                Cell::number(row.response_ns.map(duration).unwrap_or_default()),
            ]
        });
        let header = ["Frame", "Method", "Host", "Target", "Status", "Time"];
        table(out, &header, rows)?;
    }
    if !report.udp.rtp.is_empty() {
        heading(out, &format!("Media streams ({})", report.udp.rtp.len()))?;
        let rows = report.udp.rtp.iter().take(top).map(|stream| {
            vec![
                Cell::text(&stream.name),
                Cell::number(stream.payload_type.to_string()),
                Cell::number(number(stream.packets)),
                Cell::number(number(stream.missing)),
                Cell::number(stream.jitter_ns.map(duration).unwrap_or_default()),
                Cell::number(stream.most_jitter_ns.map(duration).unwrap_or_default()),
            ]
        });
        let header = [
            "Stream",
            "Payload type",
            "Packets",
            "Missing",
            "Jitter",
            "Most jitter",
        ];
        table(out, &header, rows)?;
    }
    Ok(())
}
