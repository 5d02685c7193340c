//! The command line.

mod deliver;
mod documents;
mod pull;
mod requests;
mod search;
mod status;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::{
    run,
    settings::{Layer, Settings, SinkSettings},
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
    #[command(flatten)]
    settings: Layer,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  Deliver the files of a recorder as they are finished:
    capture-export run --config /etc/capture-export.toml

  What each sink has, and what waits:
    capture-export status --config /etc/capture-export.toml

  Deliver one file by hand:
    capture-export deliver store s3://bucket/prefix web-1.pcapng.zst

  All files of a capture from the store, of every node, merged by time:
    capture-export pull s3://bucket/prefix web -w web.pcapng

  Prepare a search cluster, and deliver the documents of one file to it:
    capture-export search setup --url https://search.example:9200
    capture-export deliver search --url https://search.example:9200 web-1.pcapng.zst

Exit status:
  0  told to end, or done
  1  failed, or wrong configuration
  2  wrong command line
  3  pull: nothing is in the store
  6  documents, pull: something is damaged; deliver: a file was rejected for good";

#[derive(Debug, Subcommand)]
enum Command {
    /// Follow the manifests of a data directory, and deliver each finished file to each sink.
    Run,
    /// Show what each sink has, what waits, and what is wrong.
    Status(status::StatusArgs),
    /// Let files that were put aside wait again, and try at once.
    Retry(requests::RetryArgs),
    /// Put a file that waits aside, with a reason: it is not delivered.
    Skip(requests::SkipArgs),
    /// Deliver files to one sink, once, and wait until it has them.
    Deliver(deliver::DeliverArgs),
    /// Fetch the files of a capture from object storage into one file, merged by time.
    Pull(Box<pull::PullArgs>),
    /// Print the documents that a search cluster would get of files, one per line.
    Documents(documents::DocumentsArgs),
    /// Prepare a search cluster.
    Search(search::SearchArgs),
    /// The configuration.
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Print the shell's completion script.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigAction {
    /// Print the effective configuration, as a file.
    Print,
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// The error, with its context.
    pub fn run(self) -> Result<ExitCode> {
        if let Command::Completions { shell } = self.command {
            let mut script = Vec::new();
            let mut command = Self::command();
            clap_complete::generate(shell, &mut command, "capture-export", &mut script);
            print(&String::from_utf8_lossy(&script))?;
            return Ok(ExitCode::SUCCESS);
        }
        let settings = settings(self.config.as_deref(), self.settings)?;
        match self.command {
            Command::Run => {
                log(&settings);
                runtime()?.block_on(run::run(settings))?;
            }
            Command::Status(arguments) => arguments.run(&settings)?,
            Command::Retry(arguments) => arguments.run(&settings)?,
            Command::Skip(arguments) => arguments.run(&settings)?,
            Command::Pull(arguments) => return arguments.run(),
            Command::Deliver(arguments) => return arguments.run(&settings),
            Command::Documents(arguments) => return arguments.run(&settings),
            Command::Search(arguments) => arguments.run(&settings)?,
            Command::Config {
                action: ConfigAction::Print,
            } => {
                print(&toml::to_string(&Layer::of(&settings)).context("printing")?)?;
            }
            Command::Completions { .. } => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints to stdout.
fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .context("writing to stdout")?;
    stdout.flush().context("writing to stdout")
}

/// The settings of a file and the layer above it.
fn settings(config: Option<&Path>, layer: Layer) -> Result<Settings> {
    let below = match config {
        Some(path) => Layer::read(path)?,
        None => Layer::default(),
    };
    let mut layer = layer.over(below);
    if layer.sink.is_empty() {
        layer.sink.extend(SinkSettings::of_environment());
    }
    Ok(layer.check()?)
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
