//! The coordinator's program; its code is in the library.

use std::process::ExitCode;

use capture_coordinator::cli::Cli;
use clap::Parser as _;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("capture-coordinator: {error:#}");
            ExitCode::FAILURE
        }
    }
}
