//! `captured record`: one capture in the foreground.

use std::{
    io::{IsTerminal as _, stdout},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use capture_args::console::tell;
use capture_args::{FileArgs, FilterArgs, LimitArgs, SourceArgs};
use capture_session::{EndReason, Session, SessionOptions, attach::Method, filters};
use capture_types::{
    CaptureName, CaptureSpec, Compression, Format, Limits, MinFree, Output, OutputSpec, Retention,
};
use clap::{Args, ValueEnum};

use super::{
    destination::{self, Destination},
    interfaces, live, read, signals, summary,
    tcpdump::TcpdumpArgs,
};

/// Record packets into capture files until Ctrl-C or a limit.
///
/// Packets are copied in the kernel and never delayed. At the end the ledger reports the outcome of
/// each of them, and the files are listed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(mut_arg("interfaces", |arg| arg.default_value("any")))]
#[command(mut_arg("direction", |arg| arg.default_value("inout")))]
#[command(mut_arg("snaplen", |arg| arg.default_value("0")))]
#[command(mut_arg("ring_size", |arg| arg.default_value("64MiB")))]
#[command(mut_arg("compress_when", |arg| arg.default_value("streaming")))]
pub(super) struct RecordArgs {
    #[command(flatten)]
    source: SourceArgs,

    /// Where to write packets. FILE ends in .pcapng or .pcap, followed by .gz or .zst to compress it;
    /// when it rotates, the next files are FILE-000002 and so on. An older FILE is replaced when the
    /// new one is complete. DIR gets files with generated names, and is created if it is missing. - is
    /// stdout, as pcapng or with --format text.
    #[arg(
        short,
        long = "write",
        value_name = "FILE|DIR|-",
        default_value = "captures"
    )]
    write: PathBuf,

    /// Name of the capture and prefix of files in DIR [default: capture, or FILE without extensions].
    #[arg(long, value_parser = |text: &str| CaptureName::new(text))]
    name: Option<CaptureName>,

    #[command(flatten)]
    files: FileArgs,

    /// Keep this much of the file system free: the oldest files of this capture are removed first,
    /// then the capture ends. 0 disables this.
    #[arg(long, value_name = "PERCENT|SIZE", default_value = "5%", value_parser = str::parse::<MinFree>)]
    min_free: MinFree,

    #[command(flatten)]
    limits: LimitArgs,

    /// How to attach: TCX links (Linux 6.6), clsact filters, or the best method of the kernel.
    #[arg(long, value_enum, default_value_t = AttachArg::Auto)]
    attach: AttachArg,

    /// Format of the report at the end, on stdout.
    #[arg(long, value_enum, default_value_t = summary::Style::Text)]
    summary: summary::Style,

    /// Log rare events in the eBPF programs.
    #[arg(long)]
    log_programs: bool,

    #[command(flatten)]
    filter: FilterArgs,

    #[command(flatten)]
    tcpdump: TcpdumpArgs,
}

const EXAMPLES: &str = "\
Examples:
  captured record -i eth0
  captured record -i eth0 'tcp port 443 and host 10.0.0.7'
  captured record --host 10.0.0.0/8 --port 53 --port 853
  captured record -i eth0 --inner 'tcp port 80' --tunnel vxlan:4789
  captured record -i 'veth*' -w /var/tmp/pods --compress zstd --rotate-size 100MiB --max-files 20
  captured record --name incident --duration 60s --format pcap --summary json

Exit status: 0 if the capture ended as asked, 1 if it failed, 2 for a wrong command line, 130 if a
second signal ended it at once.";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AttachArg {
    Auto,
    Tcx,
    Clsact,
}

impl RecordArgs {
    /// Whether more detail is to be logged.
    pub(super) const fn is_verbose(&self) -> bool {
        self.tcpdump.verbose > 0
    }

    fn spec(&self) -> anyhow::Result<CaptureSpec> {
        let (filter, targets) = self.filter.filter()?;
        let destination = Destination::of(&self.write)?;
        Ok(CaptureSpec {
            name: self.name(&destination)?,
            interfaces: self.source.interfaces.clone(),
            pods: None,
            filter,
            targets,
            direction: given(self.source.direction, "--direction")?.into(),
            promiscuous: !self.source.no_promiscuous_mode,
            // This process has no listeners.
            include_own_traffic: false,
            each_packet_once: self.source.each_packet_once,
            snaplen: given(self.source.snaplen, "--snaplen")?,
            ring_size: given(self.source.ring_size, "--ring-size")?,
            output: self.output(destination)?,
            limits: Limits {
                duration: self.limits.duration,
                packets: self.limits.max_packets,
            },
            export: self.files.export()?,
        })
    }
}

impl RecordArgs {
    fn name(&self, destination: &Destination) -> anyhow::Result<CaptureName> {
        match (&self.name, destination) {
            (Some(name), _) => Ok(name.clone()),
            // A name that is not valid for a capture, for example with a space in it, is still valid
            // for a file.
            (None, Destination::File { stem, .. }) if CaptureName::new(stem.as_str()).is_ok() => {
                Ok(CaptureName::new(stem.as_str())?)
            }
            (None, _) => Ok(CaptureName::new("capture")?),
        }
    }

    fn output(&self, destination: Destination) -> anyhow::Result<Output> {
        let files = &self.files;
        let asked = files.format.map(Format::from);
        let (directory, stem, kind) = match destination {
            Destination::Stdout => {
                if asked == Some(Format::Pcap) {
                    bail!(
                        "--write - is pcapng, which has several interfaces: leave out --format pcap"
                    );
                }
                if !files.export()?.is_empty() {
                    bail!("--write - makes no files: leave out --export, or name a directory");
                }
                if files.compress.is_some() || files.is_rotating() {
                    bail!("--write - is one plain stream: compress and split it after the pipe");
                }
                if stdout().is_terminal() && asked != Some(Format::Text) {
                    bail!(
                        "--write - to a terminal: use a pipe, as in `captured -w - | tcpdump -r -`, or \
                         --format text"
                    );
                }
                return Ok(Output::Stream(asked.unwrap_or(Format::Pcapng)));
            }
            Destination::Directory(directory) => (directory, None, None),
            Destination::File {
                directory,
                stem,
                kind,
            } => (directory, Some(stem), Some(kind)),
        };
        let (format, compression) = match kind {
            Some(kind) => (
                destination::format(asked, kind)?,
                destination::compression(files.compress, kind)?,
            ),
            None => (
                asked.unwrap_or(Format::Pcapng),
                files.compress.unwrap_or(Compression::None),
            ),
        };
        let output = OutputSpec {
            directory,
            format,
            compression,
            compress_when: given(files.compress_when, "--compress-when")?.into(),
            rotation: files.rotation(),
            retention: Retention {
                max_files: files.max_files(),
                max_bytes: files.max_bytes,
                min_free: Some(self.min_free),
            },
            digest: self.files.digest(),
        };
        Ok(match stem {
            Some(stem) => Output::NamedFiles(output, stem),
            None => Output::Files(output),
        })
    }
}

/// The value of an option that has a default above.
fn given<T>(value: Option<T>, option: &str) -> anyhow::Result<T> {
    value.with_context(|| format!("{option} has no default"))
}

/// The exit code that clap uses.
const WRONG_COMMAND_LINE: u8 = 2;

pub(super) fn run(arguments: RecordArgs) -> anyhow::Result<ExitCode> {
    if let Err(error) = arguments.tcpdump.check() {
        tell(format_args!("captured: {error}"));
        return Ok(ExitCode::from(WRONG_COMMAND_LINE));
    }
    if let Some(file) = &arguments.tcpdump.read {
        let most = arguments.limits.max_packets;
        return read::print(file, &arguments.filter, most, arguments.tcpdump.number);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the control thread")?;
    if arguments.tcpdump.list_interfaces {
        return runtime.block_on(interfaces::list());
    }
    let options = SessionOptions {
        method: match arguments.attach {
            AttachArg::Auto => None,
            AttachArg::Tcx => Some(Method::Tcx),
            AttachArg::Clsact => Some(Method::Clsact),
        },
        log_programs: arguments.log_programs,
        ..SessionOptions::default()
    };
    let spec = arguments.spec()?;
    // Like tcpdump, but with a time limit.
    filters::resolve_names(true);
    runtime.block_on(record(spec, options, &arguments))
}

async fn record(
    spec: CaptureSpec,
    options: SessionOptions,
    arguments: &RecordArgs,
) -> anyhow::Result<ExitCode> {
    let name = spec.name.clone();
    let place = match &spec.output {
        Output::NamedFiles(..) => arguments.write.display().to_string(),
        output => output.directory().map_or_else(
            || "stdout".to_owned(),
            |directory| directory.display().to_string(),
        ),
    };
    let is_stream = matches!(spec.output, Output::Stream(_));
    let session = Session::start(spec, options)
        .await
        .with_context(|| format!("capture {name}"))?;
    let signals = signals::Signals::new(session.drain_state()).context("handling signals")?;
    signals::ignore_others().context("handling signals")?;
    signals::answer(session.monitor(), session.control()).context("handling signals")?;
    let live = live::start(session.monitor(), &place, arguments.tcpdump.quiet);
    let stop = async {
        tokio::select! {
            reason = signals.first() => reason,
            () = stdout_closed(), if is_stream => EndReason::Stopped,
        }
    };
    let report = session.run(stop).await;
    live.finish().await;
    let report = report.with_context(|| format!("capture {name}"))?;
    // Packets went to stdout.
    summary::print(&report, arguments.summary, is_stream).context("printing the summary")?;
    if is_stream && is_stdout_closed() {
        // The reader of the stream has seen enough.
        return Ok(ExitCode::SUCCESS);
    }
    Ok(match report.reason {
        EndReason::Failed => ExitCode::FAILURE,
        EndReason::Stopped | EndReason::Duration | EndReason::Packets => ExitCode::SUCCESS,
    })
}

/// Returns when stdout has no reader any more.
async fn stdout_closed() {
    let mut looks = tokio::time::interval(Duration::from_secs(1));
    while !is_stdout_closed() {
        looks.tick().await;
    }
}

fn is_stdout_closed() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdout = stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut polled, Some(&at_once)).is_ok() && polled[0].revents().contains(PollFlags::ERR)
}
