//! Tables of captures, files and nodes.

use bytesize::ByteSize;
use capture_args::console::{plain, plain_lines};
use capture_types::PartialLedger;
use comfy_table::{Cell, Table};

use super::{
    answers::OnNode,
    output::{cell, state_cell, table, text},
};
use capture_client::model::{
    Capture, ExportState, File, InterfaceLedger, Output, PodAttachment, PodState, Time,
};

/// A size for a person.
pub(super) fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// A count as text; an unknown count is never 0.
pub(super) fn count(number: Option<u64>) -> String {
    number.map_or_else(|| "unknown".to_owned(), |number| number.to_string())
}

fn time(time: Option<Time>) -> String {
    time.map_or_else(|| "-".to_owned(), Time::seconds)
}

/// Why a capture is in its state, where the state alone does not say it.
pub(super) fn state_text(capture: &Capture) -> String {
    match capture.state_reason {
        Some(reason) => format!("{} ({reason})", capture.state),
        None => capture.state.to_string(),
    }
}

/// Captures in a table, one line for each.
pub(super) fn captures(captures: &[OnNode<Capture>], several_nodes: bool) -> String {
    if captures.is_empty() {
        return "no captures\n".to_owned();
    }
    let mut table = begin(
        several_nodes,
        &[
            "name",
            "state",
            "packets",
            "lost",
            "bytes",
            "files",
            "started",
            "interfaces",
        ],
        &["packets", "lost", "bytes", "files"],
    );
    for OnNode { node, value } in captures {
        let mut cells = node_cell(several_nodes, node);
        cells.extend([
            cell(&value.name),
            state_cell(value.state),
            Cell::new(count(value.ledger.written)),
            Cell::new(count(value.ledger.lost())),
            Cell::new(size(value.bytes_written)),
            Cell::new(value.files_finished),
            Cell::new(time(value.start_time.or(value.create_time))),
            cell(&places(value)),
        ]);
        table.add_row(cells);
    }
    text(&table)
}

/// The details of one capture.
pub(super) fn capture(capture: &OnNode<Capture>, several_nodes: bool) -> String {
    let OnNode { node, value } = capture;
    let mut lines = Vec::new();
    let mut line = |name: &str, text: String| {
        if !text.is_empty() {
            lines.push(format!("{:<12}{}", format!("{name}:"), plain_lines(&text)));
        }
    };
    line("capture", value.name.clone());
    if several_nodes {
        line("node", node.clone());
    }
    line("state", state_text(value));
    line("message", value.message.clone());
    line("uid", value.uid.clone());
    line("interfaces", value.spec.interfaces.join(", "));
    for pod in &value.pods {
        line("pod", pod_text(pod));
    }
    if value.spec.each_packet_once == Some(true) {
        line("packets", "each once, at its first interface".to_owned());
    }
    line("filter", value.spec.filter.clone());
    if let Some(inner) = &value.spec.inner_filter {
        line("inner", inner.expression.clone());
    }
    line("hosts", value.spec.targets.join(", "));
    let ports: Vec<_> = value.spec.ports.iter().map(u32::to_string).collect();
    line("ports", ports.join(", "));
    line("not hosts", value.spec.excluded_targets.join(", "));
    let ports = value.spec.excluded_ports.iter().map(u32::to_string);
    line("not ports", ports.collect::<Vec<_>>().join(", "));
    line("output", output(value));
    for sink in &value.spec.export {
        let state = value.export.iter().find(|state| state.sink == *sink);
        line("export", state.map_or_else(|| sink.clone(), exported));
    }
    let labels: Vec<_> = value
        .labels
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    line("labels", labels.join(", "));
    line("started", time(value.start_time));
    if value.end_time.is_some() {
        line("ended", time(value.end_time));
    }
    line("by", value.created_by.clone());
    line("reason", value.reason.clone());
    if value.resumed > 0 {
        line(
            "resumed",
            format!("{} by a new daemon", counted(value.resumed.into(), "time")),
        );
    }
    line(
        "written",
        format!(
            "{} in {}",
            size(value.bytes_written),
            counted(value.files_finished, "finished file")
        ),
    );
    line("file", value.current_file.clone().unwrap_or_default());
    for warning in &value.warnings {
        line("warning", warning.clone());
    }
    lines.push(String::new());
    lines.push(ledgers(&value.interfaces, &value.ledger));
    lines.join("\n")
}

/// A number of things: `1 file`, `2 files`.
fn counted(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// What a sink has of the files.
fn exported(state: &ExportState) -> String {
    let ExportState {
        sink,
        delivered_files,
        waiting_files,
        aside_files,
        missed_files,
        message,
    } = state;
    let waits = if *waiting_files == 1 { "waits" } else { "wait" };
    let mut text = format!(
        "{sink}: {} delivered, {waiting_files} {waits}",
        counted(*delivered_files, "file")
    );
    for (number, what) in [(aside_files, "put aside"), (missed_files, "missed")] {
        if *number > 0 {
            text.push_str(&format!(", {number} {what}"));
        }
    }
    if !message.is_empty() {
        text.push_str(&format!(" ({message})"));
    }
    text
}

/// Where a capture is attached, in one cell.
fn places(capture: &Capture) -> String {
    let mut places = capture.spec.interfaces.clone();
    if let Some(selection) = &capture.spec.pods {
        places.push(match selection.pods.len() {
            1 => "1 pod".to_owned(),
            count => format!("{count} pods"),
        });
    }
    places.join(",")
}

/// A pod, and how its packets are captured.
fn pod_text(state: &PodState) -> String {
    let pod = format!("{}/{}", state.pod.namespace, state.pod.name);
    let place = match state.attachment {
        PodAttachment::Interface => state.interface.clone(),
        attachment => attachment.to_string(),
    };
    match state.message.as_str() {
        "" => format!("{pod}, {place}"),
        message => format!("{pod}, {place}: {message}"),
    }
}

fn output(capture: &Capture) -> String {
    match &capture.spec.output {
        None => String::new(),
        Some(Output::Stdout {}) => "lines in the daemon's own output".to_owned(),
        Some(Output::Text(files) | Output::Files(files)) => {
            let format = files
                .format
                .map_or_else(|| "files".to_owned(), |format| format.to_string());
            match &files.compression {
                Some(compression) => format!("{format}, {}", compression.codec),
                None => format,
            }
        }
    }
}

/// The ledger, by interface and in total.
pub(super) fn ledgers(interfaces: &[InterfaceLedger], total: &PartialLedger) -> String {
    let duplicates = total.duplicate.filter(|duplicates| *duplicates > 0);
    let mut columns = vec!["interface", "seen", "filtered", "matched"];
    columns.extend(duplicates.map(|_| "duplicate"));
    columns.extend(["written", "lost", "truncated"]);
    let mut table = table(&columns, &columns[1..]);
    let rows = interfaces
        .iter()
        .map(|interface| (interface.interface.as_str(), &interface.ledger));
    for (name, ledger) in rows.chain([("total", total)]) {
        let mut row = vec![
            plain(name),
            count(ledger.seen),
            count(ledger.filtered),
            count(ledger.matched),
        ];
        row.extend(duplicates.map(|_| count(ledger.duplicate)));
        row.extend([
            count(ledger.written),
            ledger.lost_text(),
            count(ledger.truncated),
        ]);
        table.add_row(row);
    }
    let mut ledgers = text(&table);
    if let Some(duplicates) = duplicates {
        ledgers.push_str(&format!("\n{}", capture_types::duplicate_text(duplicates)));
    }
    if let Some(stopped) = total.discarded.stopped.filter(|stopped| *stopped > 0) {
        ledgers.push_str(&format!("\n{}", capture_types::stopped_text(stopped)));
    }
    ledgers
}

/// Files in a table, one line for each.
pub(super) fn files(files: &[OnNode<File>], several_nodes: bool) -> String {
    if files.is_empty() {
        return "no files\n".to_owned();
    }
    let mut table = begin(
        several_nodes,
        &["file", "state", "packets", "size", "first packet", "digest"],
        &["packets", "size"],
    );
    for OnNode { node, value } in files {
        let mut cells = node_cell(several_nodes, node);
        let digest = value.digest.as_ref().map(ToString::to_string);
        let digest = digest.as_deref().unwrap_or("-");
        cells.extend([
            cell(&value.name),
            Cell::new(value.state),
            Cell::new(count(value.packets)),
            Cell::new(size(value.bytes)),
            Cell::new(time(value.first_time)),
            cell(digest.get(..19).unwrap_or(digest)),
        ]);
        table.add_row(cells);
    }
    text(&table)
}

/// A table that has a column for the node if there are several.
pub(super) fn begin(several_nodes: bool, columns: &[&str], right: &[&str]) -> Table {
    let mut header = Vec::from(if several_nodes { &["node"][..] } else { &[] });
    header.extend(columns);
    table(&header, right)
}

pub(super) fn node_cell(several_nodes: bool, node: &str) -> Vec<Cell> {
    Vec::from_iter(several_nodes.then(|| cell(node)))
}

#[cfg(test)]
mod tests {
    use super::exported;
    use capture_client::model::ExportState;

    #[test]
    fn one_file_is_no_plural() {
        let mut state = ExportState {
            sink: "archive".to_owned(),
            delivered_files: 1,
            waiting_files: 1,
            ..ExportState::default()
        };
        assert_eq!(exported(&state), "archive: 1 file delivered, 1 waits");
        state.delivered_files = 0;
        state.waiting_files = 2;
        state.aside_files = 1;
        let text = "archive: 0 files delivered, 2 wait, 1 put aside";
        assert_eq!(exported(&state), text);
    }
}
