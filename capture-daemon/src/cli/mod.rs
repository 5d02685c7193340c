//! The command line of `captured`.

use std::{io, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::log;

mod destination;
mod filter;
mod interfaces;
mod live;
mod read;
mod record;
mod serve;
mod signals;
mod summary;
mod tcpdump;

/// Records packets from network interfaces into rotating, compressed capture files.
#[derive(Debug, Parser)]
#[command(name = "captured", version, propagate_version = true, after_help = HELP)]
pub struct Cli {
    /// What to log on stderr: error, warn, info (the default), debug, or a filter as for
    /// RUST_LOG.
    #[arg(long, global = true, value_name = "FILTER", env = "CAPTURED_LOG")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

const HELP: &str = "\
Without a command, the options are those of record:
  captured -i eth0 port 53
  captured -D";

#[derive(Debug, Subcommand)]
enum Command {
    Record(Box<record::RecordArgs>),
    Filter(Box<filter::FilterCommand>),
    Serve(Box<serve::ServeArgs>),
    #[command(subcommand)]
    Config(serve::ConfigCommand),
}

impl Cli {
    /// The command line of this process. An invalid one ends the process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::parse_from(tcpdump::with_command(std::env::args_os().collect()))
    }

    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let log = self.log.as_deref();
        match self.command {
            Command::Record(arguments) => {
                let level = if arguments.is_verbose() {
                    "debug"
                } else {
                    "info"
                };
                log::start(log.unwrap_or(level), log::Format::Text)?;
                record::run(*arguments)
            }
            Command::Filter(command) => {
                log::start(log.unwrap_or("info"), log::Format::Text)?;
                unless_closed(filter::run(&command))
            }
            Command::Serve(arguments) => serve::run(*arguments, log),
            Command::Config(command) => unless_closed(serve::config(&command)),
        }
    }
}

/// A closed stdout is no failure: its reader, such as `head`, has read enough.
fn unless_closed(result: anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    match result {
        Err(error) if is_closed(&error) => Ok(ExitCode::SUCCESS),
        other => other,
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
