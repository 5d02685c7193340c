//! The exporter's program; its code is in the library.

use std::process::ExitCode;

use capture_export::cli::Cli;
use clap::Parser as _;

fn main() -> ExitCode {
    // What is written here is private: files 0600, directories 0700.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("capture-export: {error:#}");
            ExitCode::FAILURE
        }
    }
}
