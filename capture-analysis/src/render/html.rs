//! One self-contained page: no script, no request to anybody.

use std::fmt::{self, Display, Write};

use super::{
    escape::Escaped,
    plot::{Line, plot},
    units::{bit_rate, bytes, duration, number, rate},
};
use crate::report::{Conversation, End, Finding, FrameReference, ProtocolNode, Report};

const STYLE: &str = include_str!("report.css");

/// Writes the page, with the first `top` rows of each table.
///
/// # Errors
/// The output takes no more.
pub fn html(report: &Report, top: usize, out: &mut dyn Write) -> fmt::Result {
    let title = match &report.files[..] {
        [one] => one.name.clone(),
        several => format!("{} files", several.len()),
    };
    write!(
        out,
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>Capture report: {0}</title><style>{STYLE}</style></head><body>\
         <h1>Capture report: {0}</h1>",
        Escaped(&title)
    )?;
    facts(report, out)?;
    findings(report, out)?;
    health(report, out)?;
    plots(report, out)?;
    conversations(report, top, out)?;
    applications(report, top, out)?;
    heading(out, "Protocols")?;
    tree(&report.protocols, out)?;
    files(report, out)?;
    write!(
        out,
        "<p class=\"dim\">{} &middot; {}</p></body></html>",
        Escaped(&report.generator),
        Escaped(&report.schema)
    )
}

fn heading(out: &mut dyn Write, title: &str) -> fmt::Result {
    write!(out, "<h2>{}</h2>", Escaped(title))
}

fn facts(report: &Report, out: &mut dyn Write) -> fmt::Result {
    let inventory = &report.inventory;
    let mut facts = vec![
        ("Packets", number(inventory.packets)),
        ("Bytes on the wire", bytes(inventory.bytes)),
        ("Flows", number(report.conversations.flows)),
    ];
    if let Some(time) = inventory.duration_ns {
        facts.push(("Duration", duration(time)));
        if time > 0 {
            let bits = inventory.bytes as f64 * 8.0 / (time as f64 / 1e9);
            facts.push(("Mean rate", bit_rate(bits)));
        }
    }
    if let Some(first) = &inventory.first {
        facts.push(("First packet", first.clone()));
    }
    if inventory.cut > 0 {
        facts.push(("Cut by the snap length", number(inventory.cut)));
    }
    if let Some(recorder) = &report.recorder {
        facts.push(("Lost by the recorder", number(recorder.lost)));
    }
    if let Some(score) = report.health.score {
        facts.push(("Health", format!("{score:.0} of 100")));
    }
    out.write_str("<dl class=\"facts\">")?;
    for (name, value) in facts {
        write!(
            out,
            "<div><dt>{}</dt><dd>{}</dd></div>",
            Escaped(name),
            Escaped(&value)
        )?;
    }
    out.write_str("</dl>")
}

fn findings(report: &Report, out: &mut dyn Write) -> fmt::Result {
    heading(out, "Findings")?;
    if report.findings.is_empty() {
        out.write_str("<p>Nothing conspicuous.</p>")?;
    }
    for one in &report.findings {
        finding(report, one, out)?;
    }
    Ok(())
}

fn finding(report: &Report, finding: &Finding, out: &mut dyn Write) -> fmt::Result {
    let severity = format!("{:?}", finding.severity).to_lowercase();
    write!(
        out,
        "<section class=\"finding {severity}\" id=\"{}\"><h3><span class=\"badge\">{severity}</span>{}</h3><dl>",
        Escaped(&finding.id),
        Escaped(&finding.title)
    )?;
    let mut entry = |name: &str, text: &str| -> fmt::Result {
        write!(out, "<dt>{name}</dt><dd>{}</dd>", Escaped(text))
    };
    if let Some(flow) = &finding.flow {
        entry("Flow", &flow.name)?;
    }
    entry("Meaning", &finding.meaning)?;
    if let Some(measured) = &finding.measured {
        entry("Measured", measured)?;
    }
    entry(
        "Certainty",
        &format!("{:?}", finding.certainty).to_lowercase(),
    )?;
    if let Some(loss) = &finding.recorder_loss {
        entry("Recorder's own loss", loss)?;
    }
    let evidence = &finding.evidence;
    let place = |at: FrameReference| match &report.files[..] {
        [_] => number(at.frame),
        files => {
            let name = files.get(at.file as usize).map_or("?", |file| &file.name);
            format!("{} of {name}", number(at.frame))
        }
    };
    let frames = if evidence.count == 1 {
        place(evidence.first)
    } else {
        format!(
            "{} between {} and {}",
            number(evidence.count),
            place(evidence.first),
            place(evidence.last)
        )
    };
    entry("Frames", &frames)?;
    entry("Next", &finding.next)?;
    write!(
        out,
        "<dt>Display filter</dt><dd><code>{}</code></dd></dl></section>",
        Escaped(&finding.filter)
    )
}

fn health(report: &Report, out: &mut dyn Write) -> fmt::Result {
    let Some(score) = report.health.score else {
        return Ok(());
    };
    heading(out, &format!("Health: {score:.0} of 100"))?;
    let rows = report.health.terms.iter().map(|term| {
        vec![
            Cell::text(&term.name),
            Cell::number(format!("{:.2} {}", term.measured, term.unit)),
            Cell::number(number(term.of)),
            Cell::number(format!("{} {}", term.good, term.unit)),
            Cell::number(format!("{} {}", term.bad, term.unit)),
            Cell::number(format!("{:.0}", term.weight)),
            Cell::number(format!("{:.1}", term.taken)),
        ]
    });
    let header = [
        "Term",
        "Measured",
        "Of",
        "Good up to",
        "Bad from",
        "Weight",
        "Took off",
    ];
    table(out, &header, rows)
}

fn plots(report: &Report, out: &mut dyn Write) -> fmt::Result {
    let Some(rates) = &report.rates else {
        return Ok(());
    };
    heading(out, "Over time")?;
    let losses = report
        .recorder
        .as_ref()
        .map_or(&[][..], |recorder| &recorder.spans);
    let seconds = rates.bucket_ns as f64 / 1e9;
    let per_second = |values: &[u64], factor: f64| -> Vec<f64> {
        values
            .iter()
            .map(|value| *value as f64 * factor / seconds)
            .collect()
    };
    let line = |name, class, values| Line {
        name,
        class,
        values,
    };
    let plain = |values: &[u64]| values.iter().map(|value| *value as f64).collect();
    for svg in [
        plot(
            "Throughput",
            rates,
            &[line("bits on the wire", "a", per_second(&rates.bytes, 8.0))],
            losses,
            bit_rate,
        ),
        plot(
            "Packets",
            rates,
            &[line("packets", "a", per_second(&rates.packets, 1.0))],
            losses,
            |value| rate(value, "/s"),
        ),
        plot(
            &format!("TCP trouble per {}", duration(rates.bucket_ns)),
            rates,
            &[
                line("sent again", "b", plain(&rates.retransmissions)),
                line("gaps", "c", plain(&rates.missing_segments)),
            ],
            losses,
            |value| rate(value, "segments"),
        ),
    ] {
        write!(out, "<div class=\"scroll\">{svg}</div>")?;
    }
    if losses.iter().any(|loss| loss.lost > 0) {
        out.write_str(
            "<p class=\"dim\">Red bands: the recorder itself lost packets in this time. They are \
             missing in the file and were not lost in the network.</p>",
        )?;
    }
    Ok(())
}

fn conversations(report: &Report, top: usize, out: &mut dyn Write) -> fmt::Result {
    let all = &report.conversations;
    if !all.talkers.is_empty() {
        heading(out, "Top talkers")?;
        let rows = all.talkers.iter().take(top).map(|talker| {
            vec![
                Cell::text(&talker.address),
                Cell::number(number(talker.sent_packets)),
                Cell::number(bytes(talker.sent_bytes)),
                Cell::number(number(talker.received_packets)),
                Cell::number(bytes(talker.received_bytes)),
            ]
        });
        let header = [
            "Address",
            "Packets sent",
            "Sent",
            "Packets received",
            "Received",
        ];
        table(out, &header, rows)?;
    }
    for (name, list) in [
        ("TCP", &all.tcp),
        ("UDP", &all.udp),
        ("IPv4", &all.ipv4),
        ("IPv6", &all.ipv6),
        ("Ethernet", &all.ethernet),
    ] {
        if list.is_empty() {
            continue;
        }
        heading(
            out,
            &format!("{name} conversations ({})", number(list.len() as u64)),
        )?;
        let header = [
            "Client",
            "Server",
            "Packets there",
            "Bytes there",
            "Packets back",
            "Bytes back",
            "Duration",
            "Handshake",
            "Sent again",
        ];
        let columns = if name == "TCP" { 9 } else { 7 };
        let rows = list.iter().take(top).map(|row| {
            let mut cells = conversation(row);
            cells.truncate(columns);
            cells
        });
        table(out, &header[..columns], rows)?;
    }
    Ok(())
}

fn conversation(row: &Conversation) -> Vec<Cell> {
    let name = |end: &End| match end.port {
        Some(port) if end.address.contains(':') => format!("[{}]:{port}", end.address),
        Some(port) => format!("{}:{port}", end.address),
        None => end.address.clone(),
    };
    let tcp = row.tcp.as_ref();
    let handshake = tcp.and_then(|tcp| tcp.handshake_ns).map(duration);
    vec![
        Cell::text(&name(&row.client)),
        Cell::text(&name(&row.server)),
        Cell::number(number(row.client_packets)),
        Cell::number(bytes(row.client_bytes)),
        Cell::number(number(row.server_packets)),
        Cell::number(bytes(row.server_bytes)),
        Cell::number(duration(row.duration_ns)),
        Cell::number(handshake.unwrap_or_default()),
        Cell::number(
            tcp.map(|tcp| number(tcp.retransmissions))
                .unwrap_or_default(),
        ),
    ]
}

fn applications(report: &Report, top: usize, out: &mut dyn Write) -> fmt::Result {
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
                Cell::number(number(row.frame)),
                Cell::long(&row.name),
                Cell::text(&row.kind),
                Cell::text(&row.client),
                Cell::text(&row.server),
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
                Cell::number(number(row.frame)),
                Cell::long(row.sni.as_deref().unwrap_or_default()),
                Cell::text(&row.server),
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
                Cell::number(number(row.frame)),
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
    Ok(())
}

fn tree(nodes: &[ProtocolNode], out: &mut dyn Write) -> fmt::Result {
    out.write_str("<ul class=\"tree\">")?;
    for node in nodes {
        write!(
            out,
            "<li>{} <span class=\"dim\">{} packets, {}</span>",
            Escaped(&node.name),
            number(node.packets),
            bytes(node.bytes)
        )?;
        if !node.inside.is_empty() {
            tree(&node.inside, out)?;
        }
        out.write_str("</li>")?;
    }
    out.write_str("</ul>")
}

fn files(report: &Report, out: &mut dyn Write) -> fmt::Result {
    heading(out, "Files")?;
    let rows = report.files.iter().map(|file| {
        vec![
            Cell::long(&file.name),
            Cell::text(&file.format),
            Cell::number(number(file.packets)),
            Cell::number(bytes(file.bytes)),
            Cell::long(file.problem.as_deref().unwrap_or("read to its end")),
        ]
    });
    table(
        out,
        &["File", "Format", "Packets", "Uncompressed", "State"],
        rows,
    )?;
    for note in &report.notes {
        write!(out, "<p class=\"dim\">{}</p>", Escaped(note))?;
    }
    Ok(())
}

struct Cell {
    class: &'static str,
    text: String,
}

impl Cell {
    fn text(text: &str) -> Self {
        Self {
            class: "",
            text: text.to_owned(),
        }
    }

    fn long(text: &str) -> Self {
        Self {
            class: " class=\"long\"",
            text: text.to_owned(),
        }
    }

    const fn number(text: String) -> Self {
        Self {
            class: " class=\"n\"",
            text,
        }
    }
}

impl Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<td{}>{}</td>", self.class, Escaped(&self.text))
    }
}

fn table(
    out: &mut dyn Write,
    header: &[&str],
    rows: impl Iterator<Item = Vec<Cell>>,
) -> fmt::Result {
    let rows: Vec<Vec<Cell>> = rows.collect();
    out.write_str("<div class=\"scroll\"><table><thead><tr>")?;
    for (at, name) in header.iter().enumerate() {
        let class = rows.first().map_or("", |row| row[at].class);
        write!(out, "<th{class}>{}</th>", Escaped(name))?;
    }
    out.write_str("</tr></thead><tbody>")?;
    for row in rows {
        out.write_str("<tr>")?;
        for cell in row {
            write!(out, "{cell}")?;
        }
        out.write_str("</tr>")?;
    }
    out.write_str("</tbody></table></div>")
}
