//! The options that say what a capture is to do: those of `captured record`, as far as they are not the
//! node's own business.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values;
use capture_client::model::{
    Codec, CompressWhen, Compression, Direction, FileFormat, FileOutput, InnerFilter, Limits,
    Output, Retention, Rotation, Span, Spec, Time,
};

#[derive(Debug, Args)]
pub(super) struct SpecArgs {
    /// Interface to record: a name, a glob such as 'veth*', or any. Repeatable. Interfaces that appear
    /// later and match are recorded from then on.
    #[arg(short, long = "interface", value_name = "NAME|GLOB|any")]
    interfaces: Vec<String>,

    /// File format; both have nanosecond timestamps.
    #[arg(long, value_enum)]
    format: Option<FormatArg>,

    /// Keep at most this much of each packet; 0 keeps all of it.
    #[arg(short, long, value_name = "BYTES", value_parser = values::snaplen)]
    snaplen: Option<u32>,

    /// Packets received, sent, or both.
    #[arg(short = 'Q', long, value_enum)]
    direction: Option<DirectionArg>,

    /// Compression of the files: none, gzip[:0-9] or zstd[:1-19].
    #[arg(long, value_name = "CODEC[:LEVEL]", value_parser = values::compression)]
    compress: Option<(Codec, Option<u32>)>,

    /// Compress while writing, or after rotation: then the newest file stays plain.
    #[arg(long, value_enum)]
    compress_when: Option<CompressWhenArg>,

    /// Begin a new file before one grows past this size.
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    rotate_size: Option<u64>,

    /// Begin a new file on each multiple of this time (UTC), also when no packet comes.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    rotate_interval: Option<Duration>,

    /// Begin a new file after so many packets.
    #[arg(long, value_name = "N", value_parser = values::at_least_one)]
    rotate_packets: Option<u64>,

    /// Keep at most so many finished files; the oldest go first.
    #[arg(long, value_name = "N", value_parser = values::files)]
    max_files: Option<u32>,

    /// Keep at most so many bytes; the oldest files go first.
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    max_bytes: Option<u64>,

    /// Keep files for so long.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    max_age: Option<Duration>,

    /// Size of the ring buffer between kernel and recorder, rounded up to a power of two. Above 2MiB
    /// there are 2MiB more, which stay in the CPU's caches.
    #[arg(short = 'B', long, value_name = "SIZE", value_parser = values::small_size)]
    ring_size: Option<u32>,

    /// Leave out the SHA-256 of the files.
    #[arg(long)]
    without_digest: bool,

    /// Where packets go: capture files, files of readable lines, or lines in the daemon's own output.
    #[arg(long, value_enum, default_value_t = OutputArg::Files)]
    to: OutputArg,

    /// Only packets inside tunnels that match this expression.
    #[arg(long, value_name = "EXPRESSION")]
    inner: Option<String>,

    /// The tunnels to look into. Repeatable. Default: both on their registered ports.
    #[arg(
        long = "tunnel",
        value_name = "vxlan[:PORT]|geneve[:PORT]",
        requires = "inner"
    )]
    tunnels: Vec<String>,

    #[command(flatten)]
    targets: TargetArgs,

    #[command(flatten)]
    limits: LimitArgs,
}

/// What `update` can change, too.
#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// Only packets from or to this address or network. Repeatable; and-ed with the rest.
    #[arg(long = "host", value_name = "ADDRESS|CIDR")]
    pub(super) hosts: Vec<String>,

    /// Only packets from or to this TCP, UDP or SCTP port. Repeatable; and-ed with the rest.
    #[arg(long = "port", value_name = "N")]
    pub(super) ports: Vec<u16>,
}

/// When a capture stops by itself.
#[derive(Debug, Args)]
pub(super) struct LimitArgs {
    /// Stop after this time.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub(super) duration: Option<Duration>,

    /// Stop after so many packets.
    #[arg(short = 'c', long, value_name = "N", value_parser = values::at_least_one)]
    pub(super) max_packets: Option<u64>,

    /// Stop after about so many bytes of packets.
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub(super) stop_bytes: Option<u64>,

    /// Stop at this time.
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub(super) deadline: Option<Time>,
}

impl LimitArgs {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            duration: self.duration.map(Span),
            packets: self.max_packets,
            bytes: self.stop_bytes,
            deadline: self.deadline,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatArg {
    Pcapng,
    Pcap,
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
enum OutputArg {
    Files,
    Text,
    Stdout,
}

impl SpecArgs {
    /// As a spec; the words of the expression are joined as tcpdump does.
    pub(super) fn spec(&self, expression: &[String]) -> Result<Spec, String> {
        Ok(Spec {
            interfaces: self.interfaces.clone(),
            direction: self.direction.map(|direction| match direction {
                DirectionArg::In => Direction::In,
                DirectionArg::Out => Direction::Out,
                DirectionArg::Inout => Direction::Inout,
            }),
            snaplen: self.snaplen.filter(|bytes| *bytes > 0),
            ring_size: self.ring_size,
            filter: expression.join(" "),
            inner_filter: self.inner.as_ref().map(|expression| InnerFilter {
                expression: expression.clone(),
                tunnels: self.tunnels.clone(),
            }),
            targets: self.targets.hosts.clone(),
            ports: self.targets.ports.iter().copied().map(u32::from).collect(),
            output: Some(self.output()?),
            limits: self.limits.limits(),
        })
    }

    fn output(&self) -> Result<Output, String> {
        let files = FileOutput {
            format: self.format.map(|format| match format {
                FormatArg::Pcapng => FileFormat::Pcapng,
                FormatArg::Pcap => FileFormat::Pcap,
            }),
            compression: self.compression()?,
            rotation: Rotation {
                max_file_bytes: self.rotate_size,
                interval: self.rotate_interval.map(Span),
                max_packets: self.rotate_packets,
            },
            retention: Retention {
                max_files: self.max_files,
                max_bytes: self.max_bytes,
                max_age: self.max_age.map(Span),
            },
            without_digest: self.without_digest,
        };
        match self.to {
            OutputArg::Files => Ok(Output::Files(files)),
            OutputArg::Text if self.format.is_some() || self.without_digest => Err(
                "--format and --without-digest are for capture files: leave them out, or --to text"
                    .to_owned(),
            ),
            OutputArg::Text => Ok(Output::Text(files)),
            OutputArg::Stdout if self.is_about_files() => Err(
                "--to stdout makes no files: leave out the options about them, or use --to text"
                    .to_owned(),
            ),
            OutputArg::Stdout => Ok(Output::Stdout {}),
        }
    }

    const fn is_about_files(&self) -> bool {
        self.format.is_some()
            || self.compress.is_some()
            || self.compress_when.is_some()
            || self.rotate_size.is_some()
            || self.rotate_interval.is_some()
            || self.rotate_packets.is_some()
            || self.max_files.is_some()
            || self.max_bytes.is_some()
            || self.max_age.is_some()
            || self.without_digest
    }

    fn compression(&self) -> Result<Option<Compression>, String> {
        let when = match self.compress_when {
            None | Some(CompressWhenArg::Streaming) => CompressWhen::Streaming,
            Some(CompressWhenArg::Rotated) => CompressWhen::Rotated,
        };
        match (self.compress, self.compress_when) {
            (Some((codec, level)), _) => Ok(Some(Compression { codec, level, when })),
            (None, None) => Ok(None),
            (None, Some(_)) => Err("--compress-when needs --compress".to_owned()),
        }
    }
}
