//! The report at the end of a capture.

use std::{
    io::{self, Write},
    path::Path,
};

use bytesize::ByteSize;
use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets::NOTHING};

use capture_file::manifest::FileEntry;
use capture_session::{EndReason, InterfaceReport, Report};
use capture_types::{Ledger, PartialLedger, duplicate_text, stopped_text};

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Style {
    Text,
    Json,
}

/// Prints the report to stdout, or to stderr if packets go to stdout.
pub(super) fn print(report: &Report, style: Style, to_stderr: bool) -> anyhow::Result<()> {
    let mut out: Box<dyn Write> = if to_stderr {
        Box::new(io::stderr())
    } else {
        Box::new(io::stdout().lock())
    };
    match style {
        Style::Json => {
            serde_json::to_writer_pretty(&mut out, report)?;
            writeln!(out)?;
        }
        Style::Text => write!(out, "{}", text(report))?,
    }
    out.flush()?;
    Ok(())
}

fn text(report: &Report) -> String {
    let why = match report.reason {
        EndReason::Stopped => "stopped",
        EndReason::Duration => "its time was over",
        EndReason::Packets => "it reached its packet limit",
        EndReason::Failed => "FAILED",
    };
    let mut text = format!("capture {}: {why}\n", report.name);
    if let Some(failure) = &report.failure {
        text.push_str(&format!("  {failure}\n"));
    }
    for warning in &report.warnings {
        text.push_str(&format!("  warning: {warning}\n"));
    }
    text.push_str(&format!(
        "\n{}\n",
        ledgers(&report.interfaces, &report.total)
    ));
    if report.files.is_empty() {
        text.push_str("\nno files\n");
    } else {
        text.push_str(&format!("\n{}\n", files(&report.directory, &report.files)));
    }
    text
}

/// The ledger, by interface and in total.
pub(super) fn ledgers(interfaces: &[InterfaceReport], total: &Ledger) -> String {
    let has_duplicates = total.duplicate > 0;
    let mut header = vec!["interface", "seen", "filtered", "matched"];
    header.extend(has_duplicates.then_some("duplicate"));
    header.extend(["written", "lost", "truncated"]);
    let mut table = plain(&header);
    let row = |name: &str, ledger: &Ledger| {
        let mut row = vec![
            name.to_owned(),
            ledger.seen.to_string(),
            ledger.filtered.to_string(),
            ledger.matched.to_string(),
        ];
        row.extend(has_duplicates.then(|| ledger.duplicate.to_string()));
        row.extend([
            ledger.written.to_string(),
            PartialLedger::from(*ledger).lost_text(),
            ledger.truncated.to_string(),
        ]);
        row
    };
    for interface in interfaces {
        table.add_row(row(&interface.name, &interface.ledger));
    }
    table.add_row(row("total", total));
    let mut text = table.to_string();
    if has_duplicates {
        text.push_str(&format!("\n{}", duplicate_text(total.duplicate)));
    }
    if total.discarded.stopped > 0 {
        text.push_str(&format!("\n{}", stopped_text(total.discarded.stopped)));
    }
    text
}

/// Of more files the table has as many from the beginning and from the end; the manifest has them all.
const MOST_FILES: usize = 20;

fn files(directory: &Path, files: &[FileEntry]) -> Table {
    let mut table = plain(&["file", "packets", "size", "first packet"]);
    let left_out = match files.len() {
        few if few <= MOST_FILES => few..few,
        many => MOST_FILES / 2..many - MOST_FILES / 2,
    };
    for (at, file) in files.iter().enumerate() {
        if at == left_out.start {
            let more = left_out.len();
            table.add_row([format!("... {more} more, which the manifest lists ...")]);
        }
        if left_out.contains(&at) {
            continue;
        }
        table.add_row([
            directory.join(&file.file).display().to_string(),
            file.packets
                .map_or_else(|| "unknown".to_owned(), |packets| packets.to_string()),
            ByteSize(file.bytes).display().iec().to_string(),
            file.first
                .as_ref()
                .map_or_else(|| "none".to_owned(), |first| first.utc.clone()),
        ]);
    }
    table
}

/// A table without borders, with numbers aligned to the right.
fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header.to_vec());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_files_the_first_and_the_last_are_listed() {
        let many = |count: u64| -> Vec<FileEntry> {
            let name = |at: u64| format!("c-{at:06}.pcapng");
            (1..=count)
                .map(|at| FileEntry::unknown(name(at), at, 1))
                .collect()
        };
        let text = files(Path::new("d"), &many(361)).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 1 + MOST_FILES + 1, "{text}");
        assert!(
            lines[1].trim_start().starts_with("d/c-000001.pcapng"),
            "{text}"
        );
        assert!(lines[11].contains("... 341 more"), "{text}");
        assert!(
            lines[12].trim_start().starts_with("d/c-000352.pcapng"),
            "{text}"
        );
        assert!(text.contains("d/c-000361.pcapng"), "{text}");
        assert_eq!(
            files(Path::new("d"), &many(20)).to_string().lines().count(),
            21
        );
    }
}
