//! The command line.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::{
    run,
    settings::{Layer, Settings},
};

/// Delivers finished capture files to object storage, search clusters and Malcolm.
#[derive(Debug, Parser)]
#[command(name = "capture-export", version, after_help = EXAMPLES)]
pub struct Cli {
    /// Configuration file, TOML; options and environment take precedence.
    #[arg(
        long,
        value_name = "FILE",
        env = "CAPTURE_EXPORT_CONFIG",
        global = true
    )]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  Deliver the files of a recorder as they are finished:
    capture-export run --config /etc/capture-export.toml";

#[derive(Debug, Subcommand)]
enum Command {
    /// Follow the manifests of a data directory, and deliver each finished file to each sink.
    Run(Box<Layer>),
    /// Print the shell's completion script.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// The error, with its context.
    pub fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Run(layer) => {
                let settings = settings(self.config, *layer)?;
                log(&settings);
                runtime()?.block_on(run::run(settings))?;
            }
            Command::Completions { shell } => {
                let mut command = Self::command();
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut command, "capture-export", &mut script);
                std::io::Write::write_all(&mut std::io::stdout(), &script).context("writing")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The settings of a file and the layer above it.
fn settings(config: Option<PathBuf>, layer: Layer) -> Result<Settings> {
    let below = match &config {
        Some(path) => Layer::read(path)?,
        None => Layer::default(),
    };
    Ok(layer.over(below).check()?)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    // TLS needs a provider, and the one of the whole project is ring.
    if tokio_rustls::rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        bail!("another TLS provider is installed already");
    }
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting threads")
}

/// Logs to stderr.
fn log(settings: &Settings) {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(&settings.log_level))
        .with_writer(std::io::stderr)
        .with_target(false);
    if settings.log_json {
        lines.json().flatten_event(true).init();
    } else {
        let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
        lines.with_ansi(colours).init();
    }
}
