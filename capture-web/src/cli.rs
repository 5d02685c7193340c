//! The command line.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use crate::api::openapi;

/// The web page of packet captures and its HTTP API.
#[derive(Debug, Parser)]
#[command(name = "capture-web", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the OpenAPI document of the HTTP API.
    Openapi,
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// The error, with its context.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Openapi => print(&openapi::document()?),
        }
    }
}

fn print(text: &str) -> Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("writing")
}
