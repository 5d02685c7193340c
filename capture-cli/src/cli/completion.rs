//! `capturectl completion`.

use std::io::{self, Write as _};

use clap::{Args, Command};
use clap_complete::Shell;

use super::exit::{Error, Exit};

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  capturectl completion bash > /etc/bash_completion.d/capturectl"
)]
pub(super) struct CompletionArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(arguments: &CompletionArgs, mut command: Command) -> Result<Exit, Error> {
    // Into memory first: clap_complete panics when a pipe is closed.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "capturectl", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(Exit::Done)
}
