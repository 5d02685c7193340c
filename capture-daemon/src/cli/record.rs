//! `captured record`: one capture in the foreground.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use capture_args::{FileArgs, FilterArgs, LimitArgs, SourceArgs};
use capture_types::{CaptureName, CaptureSpec, Limits, MinFree, Output, OutputSpec, Retention};
use clap::{Args, ValueEnum};

use super::{interfaces, live, signals, summary, tcpdump::TcpdumpArgs};
use crate::{
    attach::Method,
    filters,
    session::{EndReason, Session, SessionOptions},
};

/// Record packets into capture files until Ctrl-C or a limit.
///
/// Packets are copied in the kernel and never held up. At the end the ledger says what became of
/// each of them, and which files there are.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(mut_arg("interfaces", |arg| arg.default_value("any")))]
#[command(mut_arg("direction", |arg| arg.default_value("inout")))]
#[command(mut_arg("snaplen", |arg| arg.default_value("0")))]
#[command(mut_arg("ring_size", |arg| arg.default_value("64MiB")))]
#[command(mut_arg("format", |arg| arg.default_value("pcapng")))]
#[command(mut_arg("compress", |arg| arg.default_value("none")))]
#[command(mut_arg("compress_when", |arg| arg.default_value("streaming")))]
pub(super) struct RecordArgs {
    #[command(flatten)]
    source: SourceArgs,

    /// Directory for the files; made if it is missing.
    #[arg(short, long = "write", value_name = "DIR", default_value = "captures")]
    write: PathBuf,

    /// Name of the capture, with which its files begin.
    #[arg(long, default_value = "capture", value_parser = |text: &str| CaptureName::new(text))]
    name: CaptureName,

    #[command(flatten)]
    files: FileArgs,

    /// Leave this much of the file system free: the oldest files of this capture go first, then the
    /// capture ends. 0 turns it off.
    #[arg(long, value_name = "PERCENT|SIZE", default_value = "5%", value_parser = str::parse::<MinFree>)]
    min_free: MinFree,

    #[command(flatten)]
    limits: LimitArgs,

    /// Put the SHA-256 of each finished file into the manifest.
    #[arg(long, value_enum, default_value_t = DigestArg::Sha256)]
    digest: DigestArg,

    /// How to attach: TCX links (Linux 6.6), clsact filters, or what the kernel has.
    #[arg(long, value_enum, default_value_t = AttachArg::Auto)]
    attach: AttachArg,

    /// How to report at the end, on stdout.
    #[arg(long, value_enum, default_value_t = summary::Style::Text)]
    summary: summary::Style,

    /// Log what the eBPF programs find odd.
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DigestArg {
    Sha256,
    None,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AttachArg {
    Auto,
    Tcx,
    Clsact,
}

impl RecordArgs {
    /// Whether more is to be logged.
    pub(super) const fn is_verbose(&self) -> bool {
        self.tcpdump.verbose > 0
    }

    fn spec(&self) -> anyhow::Result<CaptureSpec> {
        let (filter, targets) = self.filter.filter()?;
        let files = &self.files;
        Ok(CaptureSpec {
            name: self.name.clone(),
            interfaces: self.source.interfaces.clone(),
            filter,
            targets,
            direction: given(self.source.direction, "--direction")?.into(),
            promiscuous: !self.source.no_promiscuous_mode,
            // This process listens nowhere.
            include_own_traffic: false,
            snaplen: given(self.source.snaplen, "--snaplen")?,
            ring_size: given(self.source.ring_size, "--ring-size")?,
            output: Output::Files(OutputSpec {
                directory: self.write.clone(),
                format: given(files.format, "--format")?.into(),
                compression: given(files.compress, "--compress")?,
                compress_when: given(files.compress_when, "--compress-when")?.into(),
                rotation: files.rotation(),
                retention: Retention {
                    max_files: files.max_files(),
                    max_bytes: files.max_bytes,
                    min_free: Some(self.min_free),
                },
                digest: self.digest == DigestArg::Sha256,
            }),
            limits: Limits {
                duration: self.limits.duration,
                packets: self.limits.max_packets,
            },
        })
    }
}

/// The value of an option that has a default above.
fn given<T>(value: Option<T>, option: &str) -> anyhow::Result<T> {
    value.with_context(|| format!("{option} has no default"))
}

pub(super) fn run(arguments: RecordArgs) -> anyhow::Result<ExitCode> {
    arguments.tcpdump.check()?;
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
    // As tcpdump does, but not for longer than it may take.
    filters::resolve_names(true);
    runtime.block_on(record(spec, options, &arguments))
}

async fn record(
    spec: CaptureSpec,
    options: SessionOptions,
    arguments: &RecordArgs,
) -> anyhow::Result<ExitCode> {
    let name = spec.name.clone();
    let directory = spec.output.directory().map(ToOwned::to_owned);
    let session = Session::start(spec, options)
        .await
        .with_context(|| format!("capture {name}"))?;
    let signals = signals::Signals::new(session.drain_state()).context("handling signals")?;
    signals::ignore_others().context("handling signals")?;
    signals::answer(session.monitor(), session.control()).context("handling signals")?;
    let live = live::start(
        session.monitor(),
        directory.unwrap_or_default().as_path(),
        arguments.tcpdump.quiet,
    );
    let report = session.run(signals.first()).await;
    live.finish().await;
    let report = report.with_context(|| format!("capture {name}"))?;
    summary::print(&report, arguments.summary).context("printing the summary")?;
    Ok(match report.reason {
        EndReason::Failed => ExitCode::FAILURE,
        EndReason::Stopped | EndReason::Duration | EndReason::Packets => ExitCode::SUCCESS,
    })
}
