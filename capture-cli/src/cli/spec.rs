//! The options that describe a capture on a node: those that `captured record` has too, and those that only a
//! daemon supports.

use std::time::Duration;

use capture_args::{CompressWhenArg, FileArgs, FilterArgs, FormatArg, LimitArgs, SourceArgs};
use capture_client::model::{
    Codec, Compression, FileOutput, InnerFilter, Limits, Output, Pod, PodSelection, Retention,
    Rotation, Span, Spec, Time,
};
use capture_types::values;
use clap::{Args, ValueEnum};

use super::{
    exit::Error,
    values::{pod, time},
};

/// Options that are not given have the node's defaults.
#[derive(Debug, Args)]
pub(super) struct SpecArgs {
    #[command(flatten)]
    source: SourceArgs,

    /// Capture a pod of the node, at its own interface. Repeatable. Without -i no other interface is
    /// attached; with it packets from or to the pods are kept there as well.
    #[arg(long = "pod", value_name = "NAMESPACE/NAME=ADDRESS[,ADDRESS]", value_parser = pod)]
    pods: Vec<Pod>,

    #[command(flatten)]
    files: FileArgs,

    /// Remove files older than this.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    max_age: Option<Duration>,

    /// Record packets of the daemon's own connections (its API and metrics) as well. They go to the files
    /// only; tail never shows them.
    #[arg(long)]
    include_own_traffic: bool,

    /// Where packets go: capture files, files of readable lines, or lines in the daemon's own output.
    #[arg(long, value_enum, default_value_t = OutputArg::Files)]
    to: OutputArg,

    #[command(flatten)]
    limits: LimitsArgs,

    #[command(flatten)]
    filter: FilterArgs,
}

/// The limits of a capture on a node; `update` can change them.
#[derive(Debug, Args)]
pub(super) struct LimitsArgs {
    #[command(flatten)]
    shared: LimitArgs,

    /// Stop after about this many bytes of packets.
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    stop_bytes: Option<u64>,

    /// Stop at this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    deadline: Option<Time>,
}

impl LimitsArgs {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            duration: self.shared.duration.map(Span),
            packets: self.shared.max_packets,
            bytes: self.stop_bytes,
            deadline: self.deadline,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OutputArg {
    Files,
    Text,
    Stdout,
}

impl SpecArgs {
    pub(super) fn spec(&self) -> Result<Spec, Error> {
        let filter = &self.filter;
        Ok(Spec {
            interfaces: texts(&self.source.interfaces),
            direction: self.source.direction.map(Into::into),
            snaplen: self.source.snaplen,
            promiscuous: self.source.no_promiscuous_mode.then_some(false),
            include_own_traffic: self.include_own_traffic,
            each_packet_once: self.source.each_packet_once.then_some(true),
            ring_size: self.source.ring_size,
            filter: filter.expression()?.unwrap_or_default(),
            inner_filter: filter.inner.as_ref().map(|expression| InnerFilter {
                expression: expression.clone(),
                tunnels: texts(&filter.tunnels),
            }),
            targets: texts(&filter.targets.hosts),
            ports: numbers(&filter.targets.ports),
            excluded_targets: texts(&filter.targets.not_hosts),
            excluded_ports: numbers(&filter.targets.not_ports),
            pods: self.pods(),
            output: Some(self.output()?),
            limits: self.limits.limits(),
            export: self.export()?,
        })
    }

    fn export(&self) -> Result<Vec<String>, Error> {
        let sinks = self.files.export();
        let sinks = sinks.map_err(|error| Error::Usage(format!("--export: {error}")))?;
        Ok(texts(&sinks))
    }

    fn pods(&self) -> Option<PodSelection> {
        let is_given = !self.pods.is_empty();
        is_given.then(|| PodSelection {
            pods: self.pods.clone(),
            every_interface: false,
        })
    }

    fn output(&self) -> Result<Output, Error> {
        let rotation = self.files.rotation();
        let files = FileOutput {
            format: self.files.format.map(Into::into),
            compression: self.compression()?,
            rotation: Rotation {
                max_file_bytes: rotation.size,
                interval: rotation.interval.map(Span),
                max_packets: rotation.packets,
            },
            retention: Retention {
                max_files: self.files.max_files(),
                max_bytes: self.files.max_bytes,
                max_age: self.max_age.map(Span),
            },
            digest: self.files.digest(),
        };
        let wrong = |text: &str| Err(Error::Usage(text.to_owned()));
        let is_text = self.files.format == Some(FormatArg::Text);
        let is_about_files = self.files.is_any_given() || self.max_age.is_some();
        let has_digest = self.files.digest.is_some();
        match self.to {
            OutputArg::Text if has_digest || (self.files.format.is_some() && !is_text) => {
                wrong("--format and --digest are for capture files: leave them out with --to text")
            }
            OutputArg::Files if is_text && has_digest => {
                wrong("--digest is for capture files: leave out --digest or --format text")
            }
            OutputArg::Files if is_text => Ok(Output::Text(files)),
            OutputArg::Files => Ok(Output::Files(files)),
            OutputArg::Text => Ok(Output::Text(files)),
            OutputArg::Stdout if is_about_files => wrong(
                "--to stdout makes no files: leave out the options about them, or use --to text",
            ),
            OutputArg::Stdout => Ok(Output::Stdout {}),
        }
    }

    fn compression(&self) -> Result<Option<Compression>, Error> {
        use capture_types::Compression as Chosen;
        let when = self
            .files
            .compress_when
            .unwrap_or(CompressWhenArg::Streaming);
        let (codec, level) = match self.files.compress {
            None if self.files.compress_when.is_some() => {
                return Err(Error::Usage("--compress-when needs --compress".to_owned()));
            }
            None => return Ok(None),
            Some(Chosen::None) => (Codec::None, None),
            Some(Chosen::Gzip(level)) => (Codec::Gzip, Some(level)),
            Some(Chosen::Zstd(level)) => (Codec::Zstd, Some(level.unsigned_abs())),
        };
        Ok(Some(Compression {
            codec,
            level,
            when: Some(when.into()),
        }))
    }
}

/// In the API's types.
pub(super) fn numbers(ports: &[u16]) -> Vec<u32> {
    ports.iter().copied().map(u32::from).collect()
}

/// In the API's types.
pub(super) fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}
