//! One self-contained page: no script, no request to anybody.

mod applications;
mod conversations;
mod table;

use std::fmt::{self, Write};

use super::{
    escape::Escaped,
    plot::{Line, Unit, plot},
    units::{bit_rate, bytes, duration, moment, number, rate},
};
use crate::report::{Finding, FrameReference, ProtocolNode, Report};
use applications::applications;
use conversations::conversations;
use table::{Cell, table};

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
    interfaces(report, out)?;
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
    let mut facts = Vec::new();
    if let Some(score) = report.health.score {
        facts.push(("Health", format!("{score:.0} of 100")));
    }
    facts.extend([
        ("Packets", number(inventory.packets)),
        ("Bytes on the wire", bytes(inventory.bytes)),
        ("Flows", number(report.conversations.flows)),
    ]);
    if let Some(time) = inventory.duration_ns {
        facts.push(("Duration", duration(time)));
        if time > 0 {
            let bits = inventory.bytes as f64 * 8.0 / (time as f64 / 1e9);
            facts.push(("Mean rate", bit_rate(bits)));
        }
    }
    if let Some(first) = &inventory.first {
        facts.push(("First packet", moment(first)));
    }
    if inventory.cut > 0 {
        facts.push(("Cut by the snap length", number(inventory.cut)));
    }
    if let Some(recorder) = &report.recorder {
        facts.push(("Lost by the recorder", number(recorder.lost)));
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
    let unit = |words, least| Unit { words, least };
    let plain = |values: &[u64]| values.iter().map(|value| *value as f64).collect();
    for svg in [
        plot(
            "Throughput",
            rates,
            &[line("bits on the wire", "a", per_second(&rates.bytes, 8.0))],
            losses,
            &unit(bit_rate, 0.0),
        ),
        plot(
            "Packets",
            rates,
            &[line("packets", "a", per_second(&rates.packets, 1.0))],
            losses,
            &unit(|value| rate(value, "/s"), 0.0),
        ),
        plot(
            &format!("TCP segments in trouble per {}", duration(rates.bucket_ns)),
            rates,
            &[
                line("sent again", "b", plain(&rates.retransmissions)),
                line("gaps", "c", plain(&rates.missing_segments)),
            ],
            losses,
            &unit(|value| number(value as u64), 1.0),
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

fn interfaces(report: &Report, out: &mut dyn Write) -> fmt::Result {
    if report.interfaces.is_empty() {
        return Ok(());
    }
    heading(out, "Interfaces")?;
    let rows = report.interfaces.iter().map(|interface| {
        vec![
            Cell::text(interface.name.as_deref().unwrap_or_default()),
            Cell::long(interface.description.as_deref().unwrap_or_default()),
            Cell::long(interface.filter.as_deref().unwrap_or_default()),
            Cell::number(interface.link_type.to_string()),
            Cell::number(
                interface
                    .snaplen
                    .map(|bytes| number(bytes.into()))
                    .unwrap_or_default(),
            ),
            Cell::number(number(interface.packets)),
            Cell::number(
                interface
                    .lost_by_recorder
                    .map_or_else(|| "not said".to_owned(), number),
            ),
        ]
    });
    let header = [
        "Interface",
        "Description",
        "Filter",
        "Link type",
        "Snap length",
        "Packets",
        "Lost by the recorder",
    ];
    table(out, &header, rows)
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
