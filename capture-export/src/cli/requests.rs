//! `capture-export retry` and `skip`: requests to the exporter that runs, or that starts next.

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{
    requests::{self, Action, Request},
    settings::Settings,
};

/// Options of `retry`.
#[derive(Debug, Args)]
pub(super) struct RetryArgs {
    /// The sink's name.
    sink: String,
    /// Only the file of this name [default: all that were put aside].
    file: Option<String>,
}

/// Options of `skip`.
#[derive(Debug, Args)]
pub(super) struct SkipArgs {
    /// The sink's name.
    sink: String,
    /// The name of the file.
    file: String,
    /// Why it is skipped: shown by `status`.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Longer reasons are no reasons.
const LONGEST_REASON: usize = 1000;

impl RetryArgs {
    pub(super) fn run(self, settings: &Settings) -> Result<()> {
        leave(settings, self.sink, Action::Retry { file: self.file })
    }
}

impl SkipArgs {
    pub(super) fn run(self, settings: &Settings) -> Result<()> {
        let reason = self.reason.trim().to_owned();
        if reason.is_empty() || reason.len() > LONGEST_REASON {
            bail!("--reason: give a text of 1 to {LONGEST_REASON} bytes");
        }
        let action = Action::Skip {
            file: self.file,
            reason,
        };
        leave(settings, self.sink, action)
    }
}

fn leave(settings: &Settings, sink: String, action: Action) -> Result<()> {
    if !settings.sinks.contains_key(&sink) {
        let known: Vec<_> = settings.sinks.keys().map(String::as_str).collect();
        bail!(
            "no sink {sink:?} is configured; there are: {}",
            known.join(", ")
        );
    }
    requests::leave(&settings.state_dir, &Request { sink, action })
        .with_context(|| format!("state_dir {}", settings.state_dir.display()))?;
    super::print("left for the exporter, which acts on it within its interval, or when it starts\n")
}
