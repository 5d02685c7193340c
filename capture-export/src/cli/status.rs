//! `capture-export status`.

use std::{fmt::Write as _, time::Duration};

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::print;
use crate::{
    settings::Settings,
    status::{self, SinkStatus},
};

/// How the status is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Options of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// The form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl StatusArgs {
    pub(super) fn run(&self, settings: &Settings) -> Result<()> {
        let found = status::of(settings)?;
        print(&match self.output {
            Format::Json => serde_json::to_string_pretty(&found)? + "\n",
            Format::Table => table(&found),
        })
    }
}

const HEAD: [&str; 8] = [
    "SINK",
    "KIND",
    "DELIVERED",
    "BYTES",
    "WAITING",
    "OLDEST",
    "ASIDE",
    "MISSED",
];

fn table(found: &[SinkStatus]) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    for sink in found {
        rows.push([
            sink.sink.clone(),
            sink.kind.to_owned(),
            sink.delivered_files.to_string(),
            sink.delivered_bytes.to_string(),
            sink.waiting_files.to_string(),
            age(sink.oldest_waiting_seconds),
            sink.aside_files.to_string(),
            sink.missed_files.to_string(),
        ]);
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
            format!("{cell:width$}")
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    for sink in found {
        if let Some(trouble) = &sink.trouble {
            let _ = writeln!(
                text,
                "\n{}: nothing is delivered since {}, after {} attempts: {}",
                sink.sink, trouble.since.utc, trouble.attempts, trouble.reason
            );
        }
        if sink.indexed_files + sink.unindexed_files + sink.never_indexed_files > 0 {
            let _ = writeln!(
                text,
                "\n{}: indexed {}, not yet {}, not within a day {}",
                sink.sink, sink.indexed_files, sink.unindexed_files, sink.never_indexed_files
            );
        }
        for aside in &sink.aside {
            let _ = writeln!(
                text,
                "\n{}: {:?} was put aside: {}",
                sink.sink, aside.file, aside.reason
            );
        }
        if sink.missed_files > 0 {
            let _ = writeln!(
                text,
                "\n{}: {} files were removed before they were delivered; see --retain-until-exported of captured",
                sink.sink, sink.missed_files
            );
        }
    }
    text
}

fn age(seconds: u64) -> String {
    if seconds == 0 {
        return "-".to_owned();
    }
    humantime::format_duration(Duration::from_secs(seconds))
        .to_string()
        .split(' ')
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
}
