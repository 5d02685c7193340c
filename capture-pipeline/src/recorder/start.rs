//! Starting a recorder: directory, first file, memory and threads.

use std::{path::PathBuf, sync::Arc};

use super::{
    super::{
        checkpoints::CheckpointRule,
        copying::Copying,
        encode::{pcapng::Blocks, text::Lines},
        exported::{ExportSink, Exported},
        file_size::FileSize,
        names::Names,
        outcome::Outcomes,
        output::FileOutput,
        progress::Progress,
        stdout, stream,
    },
    Recorder, RecorderSpec, Statistics,
    error::RecorderError,
    threads::{FileContext, Layout, Threads},
};
use capture_file::{Directory, DirectoryError, FileIndex, Naming, name::PART};
use capture_types::LinkType;
use capture_types::time;
use capture_types::{CaptureName, CompressWhen, Compression, Format, Rotation};

/// Checkpoints after every so many bytes, if the machine can say since when it runs.
fn checkpoint_rule(every: u64) -> Option<CheckpointRule> {
    let boot = capture_file::boot_id()
        .inspect_err(|error| {
            tracing::warn!(%error, "growing files get no checkpoints");
        })
        .ok()?;
    Some(CheckpointRule {
        every,
        boot: boot.into(),
    })
}

impl Recorder {
    /// Creates or checks the directory, takes its lock for this name, starts the threads and creates
    /// the first file (a pcap capture's files are created when their link types are known).
    pub fn start(spec: &RecorderSpec, statistics: Statistics) -> Result<Self, RecorderError> {
        Self::start_files(spec, Naming::Stamped(spec.name.clone()), statistics)
    }

    /// Like [`Self::start`], with files named by `stem`. Existing files of the same names are replaced
    /// when the new ones are complete.
    pub fn start_named(
        spec: &RecorderSpec,
        stem: &str,
        statistics: Statistics,
    ) -> Result<Self, RecorderError> {
        Self::start_files(spec, Naming::Named(stem.to_owned()), statistics)
    }

    fn start_files(
        spec: &RecorderSpec,
        naming: Naming,
        statistics: Statistics,
    ) -> Result<Self, RecorderError> {
        let output = &spec.output;
        let directory = Directory::open(&output.directory, &spec.name)?;
        let directory = Arc::new(match naming {
            Naming::Stamped(_) => directory,
            Naming::Named(_) => directory.overwriting(),
        });
        let create = |file: &str, source| DirectoryError::Create {
            path: output.directory.clone(),
            file: file.to_owned(),
            source,
        };
        let mut files = match &naming {
            Naming::Stamped(name) => {
                FileIndex::open(&directory, name).map_err(|source| RecorderError::List {
                    path: output.directory.clone(),
                    source,
                })?
            }
            Naming::Named(_) => {
                let first = naming.file_name(0, 1, output.format, output.compression);
                FileIndex::empty(&spec.name, &first)
            }
        };
        files.set_export(spec.export.clone());
        // A directory that cannot be written to causes an error now.
        files
            .save(&directory)
            .map_err(|source| create(files.name(), source))?;
        let first_file = files.last_sequence() + 1;
        let streaming = match output.compress_when {
            CompressWhen::Streaming => output.compression,
            CompressWhen::Rotated => Compression::None,
        };
        let outputs = match output.format {
            Format::Text => vec![FileOutput::new(None)],
            // The first interface decides which link type the first one is for.
            Format::Pcapng => vec![FileOutput::new(None), FileOutput::new(None)],
            Format::Pcap => [LinkType::Ethernet, LinkType::Raw]
                .map(|link_type| FileOutput::new(Some(link_type)))
                .into(),
        };
        let sizes: Arc<[FileSize]> = outputs.iter().map(|_| FileSize::default()).collect();
        let now = time::now();
        let context = FileContext {
            directory,
            outcomes: Arc::new(Outcomes::default()),
            progress: Arc::new(Progress::default()),
            sizes,
            name: spec.name.clone(),
            checkpoints: spec.checkpoint_every.and_then(checkpoint_rule),
        };
        context.progress.set_begun(files.begun());
        context.progress.set_export(spec.export.clone());
        let layout = Layout::new(streaming);
        // A sink that does not get the files never has them.
        let gets = |sink: &ExportSink| {
            let mut named = spec.export.iter();
            spec.export.is_empty() || named.any(|name| name.as_str() == sink.name)
        };
        let exported = spec
            .export_sink
            .clone()
            .filter(gets)
            .map(|sink| Exported::new(sink, &output.directory, spec.name.as_str()));
        let mut recorder = Self {
            name: spec.name.clone(),
            naming,
            directory: output.directory.clone(),
            format: output.format,
            lines: Lines::OfFile,
            streaming,
            copying: match streaming {
                Compression::None => Copying::Streamed,
                Compression::Gzip(_) | Compression::Zstd(_) => Copying::Cached,
            },
            // Compressed blocks are checkpoints: each ends with a packet.
            whole_blocks: streaming != Compression::None,
            rotation: output.rotation,
            snaplen: spec.snaplen,
            interfaces: Vec::new(),
            untold: 0,
            names: Names::default(),
            blocks: outputs
                .iter()
                .map(|_| Blocks::new(spec.snaplen, spec.filter.as_deref()))
                .collect::<Result<_, _>>()?,
            outputs,
            capacity: layout.capacity,
            scratch: Vec::new(),
            next_block: 0,
            first_file,
            next_file: first_file,
            limit: spec.packet_limit.unwrap_or(u64::MAX),
            left: spec.packet_limit.unwrap_or(u64::MAX),
            statistics,
            started: now,
            now,
            threads: Threads::start(&layout, output, exported, &context, files)?,
            outcomes: context.outcomes,
            suspensions: 0,
            progress: context.progress,
            sizes: context.sizes,
        };
        if output.format != Format::Pcap {
            let file = recorder
                .naming
                .file_name(now, first_file, output.format, streaming);
            let part = format!("{file}{PART}");
            let made = context
                .directory
                .create(&part)
                .map_err(|source| create(&part, source))?;
            recorder.begin_file(0, now, Some(made));
        }
        Ok(recorder)
    }

    /// A recorder that writes no files, but a line for each packet to the process's own output.
    pub fn start_lines(
        name: &CaptureName,
        packet_limit: Option<u64>,
        statistics: Statistics,
    ) -> Result<Self, RecorderError> {
        let outcomes = Arc::new(Outcomes::default());
        let progress = Arc::new(Progress::default());
        let now = time::now();
        Ok(Self {
            name: name.clone(),
            naming: Naming::Stamped(name.clone()),
            directory: PathBuf::new(),
            format: Format::Text,
            lines: Lines::OfOutput(name.clone()),
            streaming: Compression::None,
            copying: Copying::Cached,
            whole_blocks: true,
            rotation: Rotation::default(),
            snaplen: u32::MAX,
            interfaces: Vec::new(),
            untold: 0,
            names: Names::default(),
            outputs: vec![FileOutput::new(None)],
            blocks: vec![Blocks::new(u32::MAX, None)?],
            capacity: stdout::PIECE,
            scratch: Vec::new(),
            next_block: 0,
            first_file: 0,
            next_file: 0,
            limit: packet_limit.unwrap_or(u64::MAX),
            left: packet_limit.unwrap_or(u64::MAX),
            statistics,
            started: now,
            now,
            threads: Threads::start_lines(&outcomes, &progress)?,
            outcomes,
            suspensions: 0,
            progress,
            sizes: Arc::new([FileSize::default()]),
        })
    }

    /// A recorder whose only file, pcapng or text, is the process's standard output.
    pub fn start_stream(
        name: &CaptureName,
        format: Format,
        snaplen: u32,
        filter: Option<&str>,
        packet_limit: Option<u64>,
        statistics: Statistics,
    ) -> Result<Self, RecorderError> {
        let outcomes = Arc::new(Outcomes::default());
        let progress = Arc::new(Progress::default());
        let now = time::now();
        let mut recorder = Self {
            name: name.clone(),
            naming: Naming::Stamped(name.clone()),
            directory: PathBuf::new(),
            format,
            lines: Lines::OfFile,
            streaming: Compression::None,
            copying: Copying::Cached,
            whole_blocks: true,
            rotation: Rotation::default(),
            snaplen,
            interfaces: Vec::new(),
            untold: 0,
            names: Names::default(),
            outputs: vec![FileOutput::new(None)],
            blocks: vec![Blocks::new(snaplen, filter)?],
            capacity: stream::PIECE,
            scratch: Vec::new(),
            next_block: 0,
            first_file: 1,
            next_file: 1,
            limit: packet_limit.unwrap_or(u64::MAX),
            left: packet_limit.unwrap_or(u64::MAX),
            statistics,
            started: now,
            now,
            suspensions: 0,
            threads: Threads::start_stream(&outcomes, &progress)?,
            outcomes,
            progress,
            sizes: Arc::new([FileSize::default()]),
        };
        // The header is written at once, so that a reader learns the format.
        recorder.begin_file(0, now, None);
        recorder.seal(0, true);
        Ok(recorder)
    }
}
