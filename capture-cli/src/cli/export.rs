//! `capturectl export`, and `pull --from`: by the program `capture-export`, so that this one needs no clients of object
//! storage and search clusters.

use std::{
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::Command,
};

use clap::Args;

use super::exit::Error;

/// The program.
const PROGRAM: &str = "capture-export";

/// Deliver capture files to object storage, Malcolm or a search cluster.
///
/// Runs `capture-export deliver` with these arguments; it must be beside capturectl or in the PATH. Its exit status is
/// the one of this command. `capturectl export store --help` and the like show its options.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExportArgs {
    /// store, malcolm, search or sink, and what belongs to it: where, options and files.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  capturectl export store s3://bucket/prefix web-1.pcapng.zst
  capturectl export malcolm https://malcolm.example --user analyst --password-file p web-1.pcapng.zst";

impl ExportArgs {
    /// Becomes `capture-export deliver`. Returns only if that is not possible.
    pub(super) fn run(self) -> Error {
        become_exporter("deliver".into(), self.arguments)
    }
}

/// Replaces this process by `capture-export`, with its streams and exit status. Returns only if that is not possible.
pub(super) fn become_exporter(
    command: OsString,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Error {
    let program = beside().unwrap_or_else(|| PROGRAM.into());
    let error = Command::new(&program).arg(command).args(arguments).exec();
    Error::Failed(format!(
        "{} cannot be started: {error}; install it beside capturectl, or in the PATH",
        program.display()
    ))
}

/// The program in the directory of this one.
fn beside() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let path = own.parent()?.join(PROGRAM);
    path.is_file().then_some(path)
}
