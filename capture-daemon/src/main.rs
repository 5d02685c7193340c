//! The recorder's program; what it does is in the library.

use std::process::ExitCode;

use capture_daemon::cli::Cli;
use clap::Parser as _;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("captured: {error:#}");
            ExitCode::FAILURE
        }
    }
}
