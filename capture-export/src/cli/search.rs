//! `capture-export search`: prepares a search cluster.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use crate::{
    search::{SearchSettings, SetupOptions, setup},
    settings::{Settings, SinkSettings},
};

/// Options of `search`.
#[derive(Debug, Args)]
pub(super) struct SearchArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create the lifecycle policy, the index template, the data stream or alias, and the dashboards; what the
    /// cluster has is found by asking it.
    Setup {
        /// Sink of the configuration to prepare, instead of a cluster that options describe.
        #[arg(long, value_name = "NAME", conflicts_with = "urls")]
        sink: Option<String>,
        #[command(flatten)]
        settings: Box<SearchSettings>,
        #[command(flatten)]
        options: SetupOptions,
    },
}

impl SearchArgs {
    pub(super) fn run(self, settings: &Settings) -> Result<()> {
        let Action::Setup {
            sink,
            settings: given,
            options,
        } = self.action;
        let cluster = match &sink {
            None => *given,
            Some(name) => match settings.sinks.get(name) {
                Some(SinkSettings::Search(cluster)) => cluster.clone(),
                Some(other) => bail!("sink.{name} is of type {}, not search", other.kind()),
                None => bail!("no sink {name:?} is configured"),
            },
        };
        let done = super::runtime()?.block_on(setup(&cluster, &options))?;
        super::print(&done.to_string())
    }
}
