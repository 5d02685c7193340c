//! The command line of `captured`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

mod filter;
mod live;
mod record;
mod signals;
mod summary;
mod values;

/// Records packets from network interfaces into rotating, compressed capture files.
#[derive(Debug, Parser)]
#[command(name = "captured", version, propagate_version = true)]
pub struct Cli {
    /// What to log on stderr: error, warn, info, debug, or a filter as for RUST_LOG.
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        default_value = "info",
        env = "CAPTURED_LOG"
    )]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Record(Box<record::RecordArgs>),
    Filter(filter::FilterCommand),
}

impl Cli {
    /// Does what the command line says.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        start_log(&self.log)?;
        match self.command {
            Command::Record(arguments) => record::run(*arguments),
            Command::Filter(command) => filter::run(&command),
        }
    }
}

fn start_log(filter: &str) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(filter).map_err(|error| anyhow::anyhow!("--log {filter:?}: {error}"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .init();
    Ok(())
}
