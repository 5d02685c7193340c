//! The results as tables for people, in Markdown.

use crate::{
    analyze, control, export, filter, goals::Goal, loss, machine::Machine, program, stream, way,
    web,
};

/// Aligns the columns; the first column to the left, the others to the right.
fn table(title: &str, header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<_> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::from("|");
        for (column, (cell, width)) in cells.zip(&widths).enumerate() {
            line += &if column == 0 {
                format!(" {cell:<width$} |")
            } else {
                format!(" {cell:>width$} |")
            };
        }
        line + "\n"
    };
    let rule: Vec<_> = widths
        .iter()
        .enumerate()
        .map(|(column, width)| {
            let end = if column == 0 { "-" } else { ":" };
            format!("{}{end}", "-".repeat(width - 1))
        })
        .collect();
    let mut text = format!("\n## {title}\n\n");
    text += &line(&mut header.iter().copied());
    text += &line(&mut rule.iter().map(String::as_str));
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

fn or_dash(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// The environment of the measurements.
pub(crate) fn machine(machine: &Machine) -> String {
    format!(
        "# captured against its peers\n\n- {}\n- {}, {} cores, {} MiB of memory, Linux {}\n- files in {}\n- {}\n- `{}`",
        machine.date,
        machine.processor,
        machine.cores,
        machine.memory,
        machine.kernel,
        machine.disk,
        machine.programs.join("; "),
        machine.command
    )
}

/// Packets lost, CPU, memory.
pub(crate) fn loss(rows: &[loss::Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            vec![
                row.recorder.name().to_owned(),
                row.length.to_string(),
                format!("{:.3}", row.offered / 1e6),
                format!("{:.2}", row.offered * f64::from(row.length) * 8.0 / 1e9),
                format!("{:.3}", row.lost * 100.0),
                or_dash(row.cpu_per_million, 4),
                or_dash(row.cpu_per_gigabyte, 3),
                format!("{:.1}", row.memory as f64 / f64::from(1 << 20)),
            ]
        })
        .collect();
    table(
        "To a disk: packets lost, the recorder's own CPU, memory beside the 64 MiB buffer",
        &[
            "recorder",
            "bytes",
            "Mpps",
            "Gbit/s",
            "lost %",
            "CPU s/10^6",
            "CPU s/GB",
            "MiB",
        ],
        &rows,
    )
}

/// Time added to each packet's path.
pub(crate) fn way(rows: &[way::Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            vec![
                row.recorder.name().to_owned(),
                if row.matching { "yes" } else { "no" }.to_owned(),
                row.length.to_string(),
                format!("{:.0}", row.bare),
                format!("{:.0}", row.added),
                or_dash(row.lost.map(|lost| lost * 100.0), 2),
            ]
        })
        .collect();
    table(
        "Added to each packet's path through the stack",
        &[
            "recorder", "matching", "bytes", "bare ns", "added ns", "lost %",
        ],
        &rows,
    )
}

/// The remaining throughput of a TCP stream.
pub(crate) fn stream(rows: &[stream::Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            vec![
                row.recorder.name().to_owned(),
                format!("{:.1}", row.gigabits),
                format!("{:.0}", row.kept * 100.0),
                or_dash(row.lost.map(|lost| lost * 100.0), 2),
            ]
        })
        .collect();
    table(
        "A TCP stream with segmentation offload, recorded to a disk",
        &["recorder", "Gbit/s", "kept %", "lost %"],
        &rows,
    )
}

/// The kernel program.
pub(crate) fn program(rows: &[program::Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| vec![row.length.to_string(), format!("{:.0}", row.nanoseconds)])
        .collect();
    table(
        "The kernel program alone",
        &["bytes", "ns per packet"],
        &rows,
    )
}

/// The cost of analysing a file.
pub(crate) fn analyze(rows: &[analyze::Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let packets = f64::from(row.packets);
            vec![
                row.program.clone(),
                format!("{:.2}", row.seconds),
                format!("{:.2}", row.cpu_seconds),
                format!("{:.0}", packets / row.seconds),
                format!("{:.0}", packets / row.cpu_seconds),
                format!("{:.0}", row.memory as f64 / f64::from(1 << 20)),
            ]
        })
        .collect();
    table(
        "A file of captured packets",
        &[
            "program",
            "s",
            "CPU s",
            "packets/s",
            "packets/s and core",
            "MiB",
        ],
        &rows,
    )
}

/// Response times of the daemon.
pub(crate) fn control(rows: &[control::Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let mut cells = vec![row.request.clone(), row.times.to_string()];
            let times = [row.median, row.p99, row.longest];
            cells.extend(times.map(|time| format!("{time:.1}")));
            cells
        })
        .collect();
    table(
        "The daemon, from a request to its answer",
        &["request", "times", "median ms", "p99 ms", "longest ms"],
        &rows,
    )
}

/// The cost of filters.
pub(crate) fn filter(rows: &[filter::Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let of = |side: Option<filter::Nanoseconds>| {
                [
                    or_dash(side.map(|side| side.all), 0),
                    or_dash(side.map(|side| side.over_empty), 0),
                    or_dash(side.and_then(|side| side.classic), 0),
                ]
            };
            let mut cells = vec![row.filter.clone()];
            cells.extend(of(Some(row.no_match)));
            cells.extend(of(row.matching));
            cells
        })
        .collect();
    table(
        "A filter alone: ns per packet, over an empty program, and as a classic socket filter",
        &[
            "filter", "no match", "over", "classic", "match", "over", "classic",
        ],
        &rows,
    )
}

/// The cost of documents.
pub(crate) fn export(rows: &[export::Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let documents = f64::from(row.documents);
            vec![
                row.program.clone(),
                row.documents.to_string(),
                format!("{:.2}", row.seconds),
                format!("{:.2}", row.cpu_seconds),
                format!("{:.0}", documents / row.seconds),
                format!("{:.0}", documents / row.cpu_seconds),
                format!("{:.0}", row.memory as f64 / f64::from(1 << 20)),
            ]
        })
        .collect();
    table(
        "Documents for a search cluster",
        &[
            "what",
            "documents",
            "s",
            "CPU s",
            "documents/s",
            "documents/s and core",
            "MiB",
        ],
        &rows,
    )
}

/// The web server.
pub(crate) fn web(measured: &web::Measured) -> String {
    let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
    let memory =
        |bytes: Option<u64>| or_dash(bytes.map(|bytes| bytes as f64 / f64::from(1 << 20)), 0);
    let files: Vec<_> = measured
        .files
        .iter()
        .map(|row| {
            vec![
                row.program.clone(),
                megabytes(row.bytes),
                or_dash(row.upload_seconds, 3),
                format!("{:.3}", row.seconds),
                format!("{:.2}", row.cpu_seconds),
                memory(row.memory),
                memory(row.server_memory),
            ]
        })
        .collect();
    let one = table(
        "A file to its report; on the web server with its upload",
        &[
            "program",
            "MB",
            "uploaded s",
            "report s",
            "CPU s",
            "MiB",
            "server MiB",
        ],
        &files,
    );
    let together: Vec<_> = measured
        .together
        .iter()
        .map(|row| {
            let uploads = f64::from(row.uploads);
            vec![
                format!("{} at once", row.clients),
                row.uploads.to_string(),
                megabytes(row.bytes),
                format!("{:.1}", uploads / row.upload_seconds),
                format!("{:.1}", uploads / row.seconds),
                format!("{:.2}", row.seconds),
                memory(row.memory),
                memory(row.server_memory),
            ]
        })
        .collect();
    let several = table(
        "Uploads to the web server",
        &[
            "clients",
            "uploads",
            "MB each",
            "uploads/s",
            "reports/s",
            "all s",
            "worker MiB",
            "server MiB",
        ],
        &together,
    );
    one + &several
}

/// The goals.
pub(crate) fn goals(goals: &[Goal]) -> String {
    let rows: Vec<_> = goals
        .iter()
        .map(|goal| {
            vec![
                goal.goal.clone(),
                goal.measured.clone(),
                if goal.reached { "yes" } else { "NO" }.to_owned(),
            ]
        })
        .collect();
    table("Goals", &["goal", "measured", "reached"], &rows)
}
