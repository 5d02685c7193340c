//! Options of tcpdump: those with the same meaning here, and alternatives for the others. `-C`, `-G`, `-W`
//! and `-F` are in `capture-args`.

use std::{ffi::OsString, path::PathBuf};

use clap::{ArgAction, Args};

/// Options of tcpdump.
#[derive(Debug, Args)]
#[command(next_help_heading = "As tcpdump")]
pub(super) struct TcpdumpArgs {
    /// List the interfaces that can be recorded, and exit.
    #[arg(short = 'D', long)]
    pub(super) list_interfaces: bool,

    /// Print the packets of a capture file that match EXPRESSION as lines, and exit; - is stdin.
    #[arg(short = 'r', long, value_name = "FILE")]
    pub(super) read: Option<PathBuf>,

    /// With -r, begin each line with the packet's number.
    #[arg(short = '#', long, requires = "read")]
    pub(super) number: bool,

    /// Show only warnings while recording.
    #[arg(short, long)]
    pub(super) quiet: bool,

    /// Log more, as --log debug does.
    #[arg(short, action = ArgAction::Count)]
    pub(super) verbose: u8,

    /// Accepted: addresses and ports are never resolved to names.
    #[arg(short, action = ArgAction::Count)]
    numeric: u8,

    /// Accepted: a line is written as soon as it is complete.
    #[arg(short)]
    line_buffered: bool,

    /// Accepted: packets reach the file within a second.
    #[arg(short = 'U')]
    packet_buffered: bool,

    #[arg(short = 'e', hide = true)]
    link_level: bool,

    #[arg(short = 'X', hide = true, action = ArgAction::Count)]
    hex_and_ascii: u8,

    #[arg(short = 'x', hide = true, action = ArgAction::Count)]
    hex: u8,

    #[arg(short = 'A', hide = true)]
    ascii: bool,

    #[arg(short = 't', hide = true, action = ArgAction::Count)]
    times: u8,

    #[arg(short = 'Z', hide = true, value_name = "USER")]
    user: Option<String>,
}

/// An option of tcpdump that has no meaning here.
#[derive(Debug, thiserror::Error)]
#[error("{option} is an option of tcpdump that captured does not have: {instead}")]
pub(super) struct Unsupported {
    option: &'static str,
    instead: &'static str,
}

/// Lines do not contain what these options show; tcpdump shows it for any file and stream of captured.
const BY_TCPDUMP: &str = "tcpdump itself shows it, with `tcpdump -r FILE` of a file, or at once with \
     `captured record -w - EXPRESSION | tcpdump -r -`";

impl TcpdumpArgs {
    /// Rejects options that are not supported here.
    pub(super) fn check(&self) -> Result<(), Unsupported> {
        let refused = [
            ("-e", self.link_level, BY_TCPDUMP),
            ("-X", self.hex_and_ascii > 0, BY_TCPDUMP),
            ("-x", self.hex > 0, BY_TCPDUMP),
            ("-A", self.ascii, BY_TCPDUMP),
            (
                "-t",
                self.times > 0,
                "lines always begin with the time in UTC, which `cut -d' ' -f2-` removes; tcpdump shows \
                 times as it likes with `tcpdump -t -r FILE`",
            ),
            (
                "-Z",
                self.user.is_some(),
                "start it as that user, with the capabilities cap_bpf, cap_net_admin and cap_perfmon \
                 instead of root, for example by `setpriv` or systemd's AmbientCapabilities",
            ),
        ];
        for (option, given, instead) in refused {
            if given {
                return Err(Unsupported { option, instead });
            }
        }
        Ok(())
    }
}

/// `captured -i eth0 port 53` means `captured record -i eth0 port 53`: a command line without a command
/// that begins with an option of `record` is a `record` command.
pub(super) fn with_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let mut rest = arguments.iter().skip(1).map(|word| word.to_string_lossy());
    let mut first = rest.next();
    // The only option before commands that has a value.
    while let Some(word) = &first {
        first = match word.as_ref() {
            "--log" => rest.nth(1),
            word if word.starts_with("--log=") => rest.next(),
            _ => break,
        };
    }
    let is_option = first.is_some_and(|word| {
        word.starts_with('-') && !matches!(word.as_ref(), "-h" | "--help" | "-V" | "--version")
    });
    if is_option {
        arguments.insert(1, "record".into());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::with_command;

    #[test]
    fn a_command_line_of_options_alone_is_one_of_record() {
        let becomes = |line: &str| {
            let words = line.split(' ').map(OsString::from).collect();
            with_command(words).join(" ".as_ref())
        };
        for (line, meant) in [
            (
                "captured -i eth0 port 53",
                "captured record -i eth0 port 53",
            ),
            ("captured --log debug -D", "captured record --log debug -D"),
            (
                "captured --log=warn -c 5",
                "captured record --log=warn -c 5",
            ),
            ("captured record -i eth0", "captured record -i eth0"),
            ("captured --log debug serve", "captured --log debug serve"),
            ("captured --help", "captured --help"),
            ("captured -V", "captured -V"),
            ("captured", "captured"),
        ] {
            assert_eq!(becomes(line).to_string_lossy(), meant);
        }
    }
}
