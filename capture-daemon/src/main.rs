//! The recorder's program; its code is in the library.

use std::process::ExitCode;

use capture_args::console::tell;
use capture_daemon::cli::Cli;

fn main() -> ExitCode {
    if let Some(code) = capture_filter::run_if_asked() {
        return code;
    }
    match Cli::of_process().run() {
        Ok(code) => code,
        Err(error) => {
            tell(format_args!("captured: {}", describe(&error)));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes, each printed once: many messages end with their cause already.
fn describe(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .reduce(|said, cause| {
            if said.contains(&cause) {
                said
            } else {
                format!("{said}: {cause}")
            }
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow::anyhow!("read-only file system")
            .context("cannot make directory: read-only file system; write elsewhere")
            .context("capture web");
        let said = "capture web: cannot make directory: read-only file system; write elsewhere";
        assert_eq!(describe(&error), said);
        let error = anyhow::anyhow!("no space").context("capture web");
        assert_eq!(describe(&error), "capture web: no space");
    }
}
