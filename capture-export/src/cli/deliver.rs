//! `capture-export deliver`: files that a person names, to one sink, once.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::timeout;

use super::runtime;
use crate::{
    backoff::Backoff,
    by_hand,
    file::{FinishedFile, Origin},
    malcolm::MalcolmSettings,
    metrics::Metrics,
    search::SearchSettings,
    settings::{Settings, SinkSettings},
    sink::{Failure, Progress, Receipt, Sink},
    store::StoreSettings,
};

/// Options of `deliver`.
#[derive(Debug, Args)]
pub(super) struct DeliverArgs {
    #[command(subcommand)]
    to: To,
}

#[derive(Debug, Subcommand)]
enum To {
    /// To a sink of the configuration.
    Sink {
        /// Its name.
        name: String,
        #[command(flatten)]
        files: Files,
    },
    /// To a search cluster, as documents.
    Search {
        #[command(flatten)]
        settings: Box<SearchSettings>,
        #[command(flatten)]
        files: Files,
    },
    /// To Malcolm.
    Malcolm {
        #[command(flatten)]
        settings: Box<MalcolmSettings>,
        #[command(flatten)]
        files: Files,
    },
    /// To object storage or a directory.
    Store {
        #[command(flatten)]
        settings: Box<StoreSettings>,
        #[command(flatten)]
        files: Files,
    },
}

#[derive(Debug, Args)]
struct Files {
    /// The files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Give a file up after this many attempts.
    #[arg(long, value_name = "N", default_value_t = 5)]
    attempts: u32,
}

/// The exit status if a sink rejected a file for good; like that of capturectl for what is damaged.
const REJECTED: u8 = 6;

impl DeliverArgs {
    pub(super) fn run(self, settings: &Settings) -> Result<ExitCode> {
        let (sink, files) = match self.to {
            To::Sink { name, files } => {
                let Some(sink) = settings.sinks.get(&name) else {
                    let known: Vec<_> = settings.sinks.keys().map(String::as_str).collect();
                    bail!(
                        "no sink {name:?} is configured; there are: {}",
                        known.join(", ")
                    );
                };
                (sink.clone(), files)
            }
            To::Malcolm { settings, files } => (SinkSettings::Malcolm(*settings), files),
            To::Search { settings, files } => (SinkSettings::Search(*settings), files),
            To::Store { settings, files } => (SinkSettings::Store(*settings), files),
        };
        let problems = sink.problems();
        if !problems.is_empty() {
            bail!("{}", problems.join("\n"));
        }
        let runtime = runtime()?;
        let temporary = tempfile::tempdir().context("making a directory for temporary files")?;
        let state = match &sink {
            SinkSettings::Malcolm(_) => temporary.path().to_owned(),
            SinkSettings::Search(_) | SinkSettings::Store(_) => settings.state_dir.join("by-hand"),
        };
        let opened = sink.open(&state, &Metrics::default())?;
        let origin = Arc::new(settings.origin.clone());
        runtime.block_on(async {
            tokio::select! {
                code = all(opened, &files, &origin) => code,
                stopped = tokio::signal::ctrl_c() => {
                    stopped.context("handling signals")?;
                    bail!("interrupted; files that are not listed as delivered were not");
                }
            }
        })
    }
}

async fn all(sink: Arc<dyn Sink>, files: &Files, origin: &Arc<Origin>) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for path in &files.files {
        let file = tokio::task::block_in_place(|| by_hand::file(path, origin))?;
        match one(&sink, &file, files.attempts).await {
            Ok(receipt) => {
                let verified = if receipt.verified { ", verified" } else { "" };
                super::print(&format!(
                    "{}: {}{verified}\n",
                    path.display(),
                    receipt.place
                ))?;
            }
            Err(failure) => {
                eprintln!("capture-export: {}: {failure}", path.display());
                code = match failure {
                    Failure::Reject { .. } => REJECTED.into(),
                    Failure::Retry { .. } | Failure::Gone { .. } => ExitCode::FAILURE,
                };
            }
        }
    }
    Ok(code)
}

async fn one(sink: &Arc<dyn Sink>, file: &FinishedFile, attempts: u32) -> Result<Receipt, Failure> {
    let bar = bar(file);
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    loop {
        let progress = Progress::default();
        let attempt = async {
            match sink.ready().await {
                Ok(()) => sink.deliver(file, &progress).await,
                Err(not) => Err(Failure::Retry {
                    after: not.after,
                    reason: not.reason,
                }),
            }
        };
        tokio::pin!(attempt);
        let outcome = loop {
            match timeout(Duration::from_millis(100), &mut attempt).await {
                Ok(outcome) => break outcome,
                Err(_) => bar.set_position(progress.done()),
            }
        };
        match outcome {
            Err(Failure::Retry { after, reason }) if backoff.failures() + 1 < attempts => {
                let wait = backoff.next(after);
                bar.suspend(|| {
                    eprintln!(
                        "capture-export: {reason}; next attempt in {:.1} s",
                        wait.as_secs_f64()
                    );
                });
                tokio::time::sleep(wait).await;
            }
            outcome => {
                bar.finish_and_clear();
                return outcome;
            }
        }
    }
}

fn bar(file: &FinishedFile) -> ProgressBar {
    let bar = ProgressBar::new(file.entry.bytes);
    let template = "{msg} {wide_bar} {bytes}/{total_bytes}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    // Hidden unless stderr is a terminal.
    bar.set_message(
        file.entry
            .file
            .chars()
            .filter(|c| !c.is_control())
            .collect::<String>(),
    );
    bar
}
