//! Build and record.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{build, command, workspace};

pub(crate) const EXAMPLES: &str = "Examples:
  cargo xtask run
  cargo xtask run -- -i eth0 --rotate-interval 60s --compress zstd
  cargo xtask run -- --help";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to `captured record -w ./captures`
    #[arg(last = true)]
    recorder: Vec<OsString>,
}

/// Becomes the recorder, so that Ctrl-C and the exit status are its own.
pub(crate) fn record(arguments: &Arguments) -> Result<()> {
    build::release()?;
    let recorder = workspace::recorder();
    let mut command = Command::new(&recorder);
    command.arg("record");
    if !names_directory(&arguments.recorder) {
        command.args(["-w", "./captures"]);
    }
    command.args(&arguments.recorder);
    let line = command::shown(&command);
    if !may_capture(&recorder) && !asks_for_help(&arguments.recorder) {
        let program = recorder.display();
        bail!(
            "recording needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON; run one of\n  \
             sudo {program} {}\n  \
             sudo setcap cap_bpf,cap_net_admin,cap_perfmon+ep {program}   and this command again",
            line.trim_start_matches("captured ")
        );
    }
    eprintln!("+ {line}");
    Err(command.exec()).with_context(|| format!("starting {}", recorder.display()))
}

/// A user's own directory takes the place of ours: the option stands once.
fn names_directory(arguments: &[OsString]) -> bool {
    arguments.iter().any(|argument| {
        let argument = argument.to_string_lossy();
        argument == "--write" || argument.starts_with("--write=") || is_short(&argument, 'w')
    })
}

/// `-w` or `-wDIR`.
fn is_short(argument: &str, option: char) -> bool {
    argument
        .strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(option))
}

fn asks_for_help(arguments: &[OsString]) -> bool {
    arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
}

/// Root, or a program that `setcap` gave capabilities. Which of them are still missing the recorder
/// itself finds out best.
fn may_capture(program: &Path) -> bool {
    let mut none = [0_u8; 0];
    rustix::process::geteuid().is_root()
        || rustix::fs::getxattr(program, "security.capability", &mut none).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn a_directory_of_the_users_own_is_not_given_twice() {
        for line in [
            "-w /data",
            "-w/data",
            "-i lo --write /data",
            "--write=/data",
        ] {
            assert!(names_directory(&arguments(line)), "{line}");
        }
        for line in ["", "-i wlan0", "--name w", "--compress-when rotated"] {
            assert!(!names_directory(&arguments(line)), "{line}");
        }
    }
}
