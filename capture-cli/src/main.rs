//! The client's program; its code is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    capture_cli::cli::main()
}
