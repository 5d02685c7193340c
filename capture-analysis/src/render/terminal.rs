//! A summary for a terminal: worst findings first.

use std::fmt::Write as _;

use super::{
    ends::Ends,
    escape::printable,
    units::{bit_rate, bytes, duration, moment, number},
};
use crate::report::{Conversation, Finding, Report, Severity};

/// The summary, with the first `top` of each list.
#[must_use]
pub fn terminal(report: &Report, top: usize) -> String {
    let mut out = String::new();
    head(&mut out, report);
    interfaces(&mut out, report, top);
    findings(&mut out, report, top);
    health(&mut out, report);
    conversations(&mut out, report, top);
    for note in &report.notes {
        _ = writeln!(out, "note: {}", printable(note));
    }
    out
}

fn head(out: &mut String, report: &Report) {
    let inventory = &report.inventory;
    let files = match &report.files[..] {
        [one] => printable(&one.name).to_string(),
        several => format!("{} files", several.len()),
    };
    _ = writeln!(
        out,
        "{files}: {} packets, {}",
        number(inventory.packets),
        bytes(inventory.bytes)
    );
    if let (Some(first), Some(time)) = (&inventory.first, inventory.duration_ns) {
        _ = write!(out, "{}, for {}", moment(first), duration(time));
        if time > 0 {
            let bits = inventory.bytes as f64 * 8.0 / (time as f64 / 1e9);
            _ = write!(out, ", {} on average", bit_rate(bits));
        }
        out.push('\n');
    }
    for file in &report.files {
        if let Some(problem) = &file.problem {
            _ = writeln!(out, "{}: {}", printable(&file.name), printable(problem));
        }
    }
    match &report.recorder {
        Some(recorder) if recorder.lost > 0 => {
            _ = writeln!(
                out,
                "the recorder itself lost {} packets ({})",
                number(recorder.lost),
                recorder.source
            );
        }
        Some(recorder) => _ = writeln!(out, "the recorder lost nothing ({})", recorder.source),
        None => {}
    }
}

/// Where the packets were captured, if there is more to say than one name.
fn interfaces(out: &mut String, report: &Report, top: usize) {
    let shown = report.interfaces.len() > 1
        || report
            .interfaces
            .iter()
            .any(|one| one.description.is_some());
    for interface in report.interfaces.iter().take(if shown { top } else { 0 }) {
        let name = interface
            .name
            .as_deref()
            .unwrap_or("interface without a name");
        _ = write!(
            out,
            "  {}: {} packets",
            printable(name),
            number(interface.packets)
        );
        if let Some(lost) = interface.lost_by_recorder.filter(|lost| *lost > 0) {
            _ = write!(out, ", {} lost by the recorder", number(lost));
        }
        if let Some(description) = &interface.description {
            _ = write!(out, ", {}", printable(description));
        }
        out.push('\n');
    }
}

fn findings(out: &mut String, report: &Report, top: usize) {
    if report.findings.is_empty() {
        _ = writeln!(out, "\nnothing conspicuous");
        return;
    }
    _ = writeln!(out, "\nFindings ({})", report.findings.len());
    for finding in report.findings.iter().take(top) {
        self::finding(out, report, finding);
    }
    let left = report.findings.len().saturating_sub(top);
    if left > 0 {
        _ = writeln!(
            out,
            "  and {left} more: --top {} or -o json",
            report.findings.len()
        );
    }
}

fn finding(out: &mut String, report: &Report, finding: &Finding) {
    let severity = match finding.severity {
        Severity::Critical => "CRITICAL",
        Severity::Warning => "WARNING",
        Severity::Notice => "notice",
    };
    _ = writeln!(out, "  {severity:<8} {}", printable(&finding.title));
    let mut more = |name: &str, text: &str| {
        _ = writeln!(out, "           {name}: {}", printable(text));
    };
    if let Some(flow) = &finding.flow {
        more("flow", &flow.name);
    }
    more("meaning", &finding.meaning);
    let certainty = format!("{:?}", finding.certainty).to_lowercase();
    match &finding.measured {
        Some(measured) => more("measured", &format!("{measured} ({certainty})")),
        None => more("certainty", &certainty),
    }
    if let Some(loss) = &finding.recorder_loss {
        more("recorder's own loss", loss);
    }
    let evidence = &finding.evidence;
    let place = |at: &crate::report::FrameReference| match (&report.files[..], at.file) {
        ([_], _) => at.frame.to_string(),
        (files, file) => {
            let name = files.get(file as usize).map_or("?", |file| &file.name);
            format!("{} of {name}", at.frame)
        }
    };
    let frames = if evidence.count == 1 {
        place(&evidence.first)
    } else {
        format!(
            "{} between {} and {}",
            number(evidence.count),
            place(&evidence.first),
            place(&evidence.last)
        )
    };
    more("frames", &frames);
    more("filter", &finding.filter);
    more("next", &finding.next);
    more("extract", &format!("--extract {}", finding.id));
}

fn health(out: &mut String, report: &Report) {
    let Some(score) = report.health.score else {
        return;
    };
    _ = writeln!(out, "\nHealth {score:.0} of 100");
    for term in &report.health.terms {
        let taken = match term.taken {
            0.0 => "0".to_owned(),
            taken => format!("-{taken:.1}"),
        };
        _ = writeln!(
            out,
            "  {:<6} {}: {:.2} {} of {} (good up to {}, bad from {}, weight {})",
            taken,
            term.name,
            term.measured,
            term.unit,
            number(term.of),
            term.good,
            term.bad,
            term.weight
        );
    }
}

fn conversations(out: &mut String, report: &Report, top: usize) {
    let all = &report.conversations;
    for (name, list) in [("TCP", &all.tcp), ("UDP", &all.udp)] {
        if list.is_empty() {
            continue;
        }
        _ = writeln!(
            out,
            "\n{name} conversations ({})",
            number(list.len() as u64)
        );
        for row in list.iter().take(top) {
            conversation(out, &Ends::of(report), row);
        }
    }
    out.push('\n');
}

fn conversation(out: &mut String, ends: &Ends<'_>, row: &Conversation) {
    _ = write!(
        out,
        "  {} -> {}  {} there, {} back, {}",
        printable(&ends.show(&row.client)),
        printable(&ends.show(&row.server)),
        bytes(row.client_bytes),
        bytes(row.server_bytes),
        duration(row.duration_ns)
    );
    if let Some(time) = row.tcp.as_ref().and_then(|tcp| tcp.handshake_ns) {
        _ = write!(out, ", handshake {}", duration(time));
    }
    out.push('\n');
}
