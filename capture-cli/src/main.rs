//! The client's program; what it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    capture_cli::cli::main()
}
