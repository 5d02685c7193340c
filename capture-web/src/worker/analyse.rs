//! Analyses files and writes the report.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, BufWriter, Write as _},
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use capture_analysis::{
    Analysis, Bounds, Hooks, Inputs, Progress, Settings, Source, analyse, render,
    report::{Report, Severity},
};

use super::{
    order::{Failure, Order, Summary, Worked},
    redact,
};
use crate::{api::FindingCounts, objects::OutputFile};

/// Conversations in the page; the JSON has more.
const TOP: usize = 100;
/// Between two progress reports.
const INTERVAL: Duration = Duration::from_millis(200);

pub(super) fn run(
    order: &Order,
    redaction_key: Option<&str>,
    progress: impl Fn(u64, u64),
) -> Worked {
    let (report, stopped) = read(order, 0, progress);
    if stopped {
        return Err(Failure::new(
            format!("more than {} packets", order.bounds.packets),
            "upload a part of it, or raise max_packets",
        ));
    }
    refuse_unreadable(&report)?;
    let report = match redaction_key {
        None => report,
        Some(key) => redact::report(&report, key.as_bytes()).map_err(|error| {
            Failure::new(
                format!("the report cannot be redacted: {error}"),
                "look at the server's log",
            )
        })?,
    };
    write(&report, &order.output).map_err(|error| {
        Failure::new(
            format!("the report cannot be written: {error}"),
            "make room on the disk, then upload it again",
        )
    })?;
    Ok(summary(&report))
}

/// Reads all files; also tells whether the bound of packets was passed.
pub(super) fn read(
    order: &Order,
    kept_frames: usize,
    progress: impl Fn(u64, u64),
) -> (Report, bool) {
    let reported = RefCell::new(Instant::now());
    let mut stopped = false;
    let bounds = order.bounds;
    let mut hooks = Hooks {
        progress: Box::new(|Progress { packets, bytes }| {
            if packets > bounds.packets {
                stopped = true;
                return ControlFlow::Break(());
            }
            let mut reported = reported.borrow_mut();
            if reported.elapsed() > INTERVAL {
                *reported = Instant::now();
                progress(packets, bytes);
            }
            ControlFlow::Continue(())
        }),
        bounds: Bounds {
            ratio: bounds.ratio,
            bytes: bounds.unpacked_bytes,
        },
        kept_frames,
        ..Hooks::default()
    };
    let files = ordered(order).into_iter().map(|(path, name)| {
        let source = File::open(path).map(|file| Source {
            name: name.clone(),
            input: Box::new(file),
        });
        (name.clone(), source)
    });
    let report = analyse(Analysis::new(&Settings::default()), files, &mut hooks);
    drop(hooks);
    (report, stopped)
}

/// The files and their names, by the time of their first packets.
pub(super) fn ordered(order: &Order) -> Vec<(&PathBuf, &String)> {
    let mut files: Vec<_> = order.inputs.iter().zip(&order.names).collect();
    if let Ok(sorted) = Inputs::find(&order.inputs) {
        let place = |path: &PathBuf| sorted.files.iter().position(|one| one == path);
        files.sort_by_key(|(path, _)| place(path));
    }
    files
}

/// A report of nothing but errors is none.
fn refuse_unreadable(report: &Report) -> Result<(), Failure> {
    let read = report.files.iter().any(|file| file.packets > 0);
    let problem = report.files.iter().find_map(|file| {
        let problem = file.problem.as_ref()?;
        Some(format!("{}: {problem}", file.name))
    });
    match problem {
        Some(problem) if !read => Err(Failure::new(
            problem,
            "upload a pcap or pcapng file, plain or compressed with gzip or zstd",
        )),
        _ => Ok(()),
    }
}

fn write(report: &Report, output: &Path) -> io::Result<()> {
    let mut json = BufWriter::new(File::create(output.join(OutputFile::Report.name()))?);
    serde_json::to_writer(&mut json, report)?;
    json.flush()?;
    let mut page = String::new();
    render::html(report, TOP, &mut page).map_err(io::Error::other)?;
    std::fs::write(output.join(OutputFile::Html.name()), page)
}

fn summary(report: &Report) -> Summary {
    let mut findings = FindingCounts::default();
    for finding in &report.findings {
        match finding.severity {
            Severity::Critical => findings.critical += 1,
            Severity::Warning => findings.warning += 1,
            Severity::Notice => findings.notice += 1,
        }
    }
    Summary {
        packets: report.inventory.packets,
        complete: report.complete,
        score: report.health.score,
        findings,
    }
}
