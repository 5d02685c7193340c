//! Builds and records.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::workspace::Profile;
use crate::{build, command, web};

pub(crate) const EXAMPLES: &str = "Examples:
  cargo xtask run
  cargo xtask run -- -i eth0 --rotate-interval 60s --compress zstd
  cargo xtask run -- --help
  cargo xtask run --web
  cargo xtask run --web -- --listen 127.0.0.1:8001";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Instead: serve the web page on http://127.0.0.1:8000, with a daemon that can be told to capture
    #[arg(long)]
    web: bool,
    /// Passed on to the capture; the options are those of `captured record`, with --web of `capture-web`
    #[arg(last = true)]
    recorder: Vec<OsString>,
}

/// Options of `captured record` that apply to the recorder and not the capture. With any of them
/// `captured record` runs alone, without a daemon.
const OF_THE_RECORDER: [&str; 9] = [
    "--write",
    "--min-free",
    "--attach",
    "--summary",
    "--log-programs",
    "--log",
    "--help",
    "-w",
    "-h",
];

/// Defaults of `captured record` that differ from the daemon's: option, short form and value.
const RECORDERS_DEFAULTS: [(&str, &str, &str); 2] =
    [("--compress", "", "none"), ("--ring-size", "-B", "64MiB")];

/// Replaces this process by the client, which starts a daemon: Ctrl-C and the exit status are those of the
/// client.
pub(crate) fn record(arguments: &Arguments) -> Result<()> {
    let recorder = Profile::Release.recorder();
    if arguments.web {
        return web::serve(&arguments.recorder, rustix::process::geteuid().is_root());
    }
    build::set_up_and_compile(Profile::Release)?;
    let mut command = if arguments.recorder.iter().any(is_of_the_recorder) {
        let mut command = Command::new(&recorder);
        command.arg("record");
        command
    } else {
        let mut command = Command::new(Profile::Release.client());
        command.args(["run", "--data-dir", "./captures", "--daemon"]);
        command.arg(&recorder);
        for (option, short, value) in RECORDERS_DEFAULTS {
            if !names(&arguments.recorder, option, short) {
                command.args([option, value]);
            }
        }
        command
    };
    command.args(&arguments.recorder);
    let line = command::shown(&command);
    if !may_capture(&recorder) && !asks_for_help(&arguments.recorder) {
        let program = recorder.display();
        bail!(
            "recording needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON; run one of\n  \
             sudo {}\n  \
             sudo setcap cap_bpf,cap_net_admin,cap_perfmon+ep {program}   and this command again",
            line.replacen(
                &command::shown(&Command::new(command.get_program())),
                &command.get_program().to_string_lossy(),
                1
            )
        );
    }
    eprintln!("+ {line}");
    let program = command.get_program().to_owned();
    Err(command.exec()).with_context(|| format!("starting {}", Path::new(&program).display()))
}

fn is_of_the_recorder(argument: &OsString) -> bool {
    let argument = argument.to_string_lossy();
    OF_THE_RECORDER.iter().any(|option| is(&argument, option))
}

fn names(arguments: &[OsString], option: &str, short: &str) -> bool {
    let mut arguments = arguments.iter().map(|argument| argument.to_string_lossy());
    arguments.any(|argument| is(&argument, option) || !short.is_empty() && is(&argument, short))
}

/// `--option`, `--option=VALUE`, `-o` or `-oVALUE`.
fn is(argument: &str, option: &str) -> bool {
    argument
        .strip_prefix(option)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('=') || option.len() == 2)
}

fn asks_for_help(arguments: &[OsString]) -> bool {
    arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
}

/// Whether this is root or `setcap` gave the program capabilities. The recorder itself reports missing
/// ones.
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
    fn an_option_of_the_recorder_runs_it_without_a_daemon() {
        let of_the_recorder = |line| arguments(line).iter().any(is_of_the_recorder);
        for line in [
            "-w /data",
            "-w/data",
            "-i lo --write /data",
            "--write=/data",
            "--summary json",
            "--help",
        ] {
            assert!(of_the_recorder(line), "{line}");
        }
        for line in ["", "-i wlan0", "--name w", "--compress-when rotated"] {
            assert!(!of_the_recorder(line), "{line}");
        }
    }

    #[test]
    fn an_option_given_by_the_user_replaces_the_default() {
        for line in ["--ring-size 1MiB", "--ring-size=1MiB", "-B1MiB", "-B 1MiB"] {
            assert!(names(&arguments(line), "--ring-size", "-B"), "{line}");
        }
        assert!(!names(
            &arguments("--compress-when rotated"),
            "--compress",
            ""
        ));
    }
}
