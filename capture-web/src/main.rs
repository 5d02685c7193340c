//! The web server's program; its code is in the library.

use std::process::ExitCode;

use capture_web::cli::Cli;
use clap::Parser as _;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("capture-web: {error:#}");
            ExitCode::FAILURE
        }
    }
}
