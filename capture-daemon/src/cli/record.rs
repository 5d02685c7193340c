//! `captured record`: one capture in the foreground.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use ipnet::IpNet;

use super::{live, signals, summary};
use crate::{
    attach::Method,
    session::{EndReason, Session, SessionOptions},
};
use capture_types::values;
use capture_types::{
    CaptureName, CaptureSpec, CompressWhen, Compression, Directions, FilterSpec, Format, InnerSpec,
    InterfacePattern, Limits, MinFree, Output, OutputSpec, Retention, Rotation, TargetSet, Tunnel,
};

/// Record packets into capture files until Ctrl-C or a limit.
///
/// Packets are copied in the kernel and never held up. At the end the ledger says what became of
/// each of them, and which files there are.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RecordArgs {
    /// Interface to record: a name, a glob such as 'veth*', or any. Repeatable. Interfaces that
    /// appear later and match are recorded from then on.
    #[arg(short, long = "interface", value_name = "NAME|GLOB|any", default_value = "any",
        value_parser = str::parse::<InterfacePattern>)]
    interfaces: Vec<InterfacePattern>,

    /// Directory for the files; made if it is missing.
    #[arg(short, long = "write", value_name = "DIR", default_value = "captures")]
    write: PathBuf,

    /// Name of the capture, with which its files begin.
    #[arg(long, default_value = "capture", value_parser = |text: &str| CaptureName::new(text))]
    name: CaptureName,

    /// File format, each with nanosecond timestamps; text is one readable line for each packet.
    #[arg(long, value_enum, default_value_t = FormatArg::Pcapng)]
    format: FormatArg,

    /// Keep at most this much of each packet; 0 keeps all of it.
    #[arg(short, long, value_name = "BYTES", default_value = "0", value_parser = values::snaplen)]
    snaplen: u32,

    /// Only packets from or to this address or network, and-ed with EXPRESSION. Repeatable.
    #[arg(long = "host", value_name = "ADDRESS|CIDR", value_parser = values::network)]
    hosts: Vec<IpNet>,

    /// Only packets from or to this TCP, UDP or SCTP port, and-ed with EXPRESSION. Repeatable.
    #[arg(long = "port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    ports: Vec<u16>,

    /// What must hold of the frame inside a tunnel, and-ed with EXPRESSION about the outer packet.
    #[arg(long, value_name = "EXPRESSION")]
    inner: Option<String>,

    /// The tunnels that --inner looks into: vxlan[:PORT] or geneve[:PORT], on any port without one.
    /// Repeatable; both by default.
    #[arg(long = "tunnel", value_name = "TUNNEL[:PORT]", requires = "inner")]
    tunnels: Vec<Tunnel>,

    /// Packets received, sent, or both.
    #[arg(short = 'Q', long, value_enum, default_value_t = DirectionArg::Inout)]
    direction: DirectionArg,

    /// Compression of the files: none, gzip[:0-9] or zstd[:1-19].
    #[arg(long, value_name = "CODEC[:LEVEL]", default_value = "none",
        value_parser = str::parse::<Compression>)]
    compress: Compression,

    /// Compress while writing, or after rotation: then the newest file stays plain.
    #[arg(long, value_enum, default_value_t = CompressWhenArg::Streaming)]
    compress_when: CompressWhenArg,

    /// Begin a new file before one grows past this size.
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    rotate_size: Option<u64>,

    /// Begin a new file on each multiple of this time (UTC), also when no packet comes.
    #[arg(long, value_name = "DURATION", value_parser = values::interval)]
    rotate_interval: Option<Duration>,

    /// Begin a new file after so many packets.
    #[arg(long, value_name = "N", value_parser = values::at_least_one)]
    rotate_packets: Option<u64>,

    /// Keep at most so many finished files of this capture; the oldest go first.
    #[arg(long, value_name = "N", value_parser = values::files)]
    max_files: Option<u32>,

    /// Keep at most so many bytes of this capture; the oldest files go first.
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    max_bytes: Option<u64>,

    /// Leave this much of the file system free: the oldest files of this capture go first, then the
    /// capture ends. 0 turns it off.
    #[arg(long, value_name = "PERCENT|SIZE", default_value = "5%", value_parser = str::parse::<MinFree>)]
    min_free: MinFree,

    /// Stop after this time.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    duration: Option<Duration>,

    /// Stop after so many packets.
    #[arg(short = 'c', long, value_name = "N", value_parser = values::at_least_one)]
    max_packets: Option<u64>,

    /// Size of the ring buffer between kernel and recorder, rounded up to a power of two. Above 2MiB
    /// there are 2MiB more, which stay in the CPU's caches.
    #[arg(short = 'B', long, value_name = "SIZE", default_value = "64MiB",
        value_parser = values::ring_size)]
    ring_size: u32,

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

    /// Which packets to record, decided in the kernel: a pcap-filter(7) expression as for tcpdump.
    #[arg(value_name = "EXPRESSION")]
    expression: Vec<String>,
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
enum FormatArg {
    Pcapng,
    Pcap,
    Text,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DirectionArg {
    In,
    Out,
    Inout,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CompressWhenArg {
    Streaming,
    Rotated,
}

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

impl From<&RecordArgs> for CaptureSpec {
    fn from(arguments: &RecordArgs) -> Self {
        Self {
            name: arguments.name.clone(),
            interfaces: arguments.interfaces.clone(),
            filter: FilterSpec {
                expression: (!arguments.expression.is_empty())
                    .then(|| arguments.expression.join(" ")),
                inner: arguments.inner.clone().map(|expression| InnerSpec {
                    expression,
                    tunnels: arguments.tunnels.clone(),
                }),
                ..FilterSpec::default()
            },
            targets: TargetSet {
                hosts: (!arguments.hosts.is_empty()).then(|| arguments.hosts.clone()),
                ports: (!arguments.ports.is_empty()).then(|| arguments.ports.clone()),
            },
            direction: match arguments.direction {
                DirectionArg::In => Directions::In,
                DirectionArg::Out => Directions::Out,
                DirectionArg::Inout => Directions::InOut,
            },
            snaplen: arguments.snaplen,
            ring_size: arguments.ring_size,
            output: Output::Files(OutputSpec {
                directory: arguments.write.clone(),
                format: match arguments.format {
                    FormatArg::Pcapng => Format::Pcapng,
                    FormatArg::Pcap => Format::Pcap,
                    FormatArg::Text => Format::Text,
                },
                compression: arguments.compress,
                compress_when: match arguments.compress_when {
                    CompressWhenArg::Streaming => CompressWhen::Streaming,
                    CompressWhenArg::Rotated => CompressWhen::Rotated,
                },
                rotation: Rotation {
                    size: arguments.rotate_size,
                    interval: arguments.rotate_interval,
                    packets: arguments.rotate_packets,
                },
                retention: Retention {
                    max_files: arguments.max_files,
                    max_bytes: arguments.max_bytes,
                    min_free: Some(arguments.min_free),
                },
                digest: arguments.digest == DigestArg::Sha256,
            }),
            limits: Limits {
                duration: arguments.duration,
                packets: arguments.max_packets,
            },
        }
    }
}

pub(super) fn run(arguments: RecordArgs) -> anyhow::Result<ExitCode> {
    let options = SessionOptions {
        method: match arguments.attach {
            AttachArg::Auto => None,
            AttachArg::Tcx => Some(Method::Tcx),
            AttachArg::Clsact => Some(Method::Clsact),
        },
        log_programs: arguments.log_programs,
    };
    let spec = CaptureSpec::from(&arguments);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the control thread")?;
    runtime.block_on(record(spec, options, arguments.summary))
}

async fn record(
    spec: CaptureSpec,
    options: SessionOptions,
    style: summary::Style,
) -> anyhow::Result<ExitCode> {
    let name = spec.name.clone();
    let directory = spec.output.directory().map(ToOwned::to_owned);
    let session = Session::start(spec, options)
        .await
        .with_context(|| format!("capture {name}"))?;
    let signals = signals::Signals::new(session.drain_state()).context("handling signals")?;
    let live = live::start(session.monitor(), directory.unwrap_or_default().as_path());
    let report = session.run(signals.first()).await;
    live.finish().await;
    let report = report.with_context(|| format!("capture {name}"))?;
    summary::print(&report, style).context("printing the summary")?;
    Ok(match report.reason {
        EndReason::Failed => ExitCode::FAILURE,
        EndReason::Stopped | EndReason::Duration | EndReason::Packets => ExitCode::SUCCESS,
    })
}
