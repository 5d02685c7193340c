//! How a recorder comes to be: directory, first file, memory and threads.

use std::{io, path::PathBuf, sync::Arc};

use pcap_file::PcapError;

use super::{
    super::{
        book::Book,
        copying::Copying,
        directory::{Directory, DirectoryError},
        encode::{pcapng::Blocks, text::Lines},
        lane::Lane,
        progress::Progress,
        stdout,
        tally::Tally,
        write::FileSize,
    },
    Recorder, RecorderSpec, Statistics,
    threads::{Layout, Shared, Threads},
};
use capture_file::name::{self, PART};
use capture_types::LinkType;
use capture_types::time;
use capture_types::{CaptureName, CompressWhen, Compression, Format, Rotation};

/// Why a capture cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// The directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The directory could not be read.
    #[error(
        "cannot list directory {path:?}: {source}; write to a directory that this user may read"
    )]
    List {
        /// The directory.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A codec could not be set up.
    #[error("cannot set up compression: {0}; use another codec or level with --compress")]
    Codec(io::Error),
    /// There is no memory for blocks.
    #[error("cannot get memory for blocks: {0}; raise the limit on memory (ulimit -v, memory.max)")]
    Memory(io::Error),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}; raise the limit on threads (ulimit -u, pids.max)")]
    Thread(io::Error),
    /// The head of a file could not be written.
    #[error("cannot encode the head of a file: {0}")]
    Encode(#[from] PcapError),
}

impl Recorder {
    /// Makes or checks the directory, takes its lock for this name, starts the threads and makes the
    /// first file (a pcap capture's files are made when their link types are known).
    pub fn start(spec: &RecorderSpec, statistics: Statistics) -> Result<Self, RecorderError> {
        let output = &spec.output;
        let directory = Arc::new(Directory::open(&output.directory, &spec.name)?);
        let create = |file: &str, source| DirectoryError::Create {
            path: output.directory.clone(),
            file: file.to_owned(),
            source,
        };
        let mut book =
            Book::open(&directory, &spec.name).map_err(|source| RecorderError::List {
                path: output.directory.clone(),
                source,
            })?;
        // A directory that cannot be written to shows itself now.
        book.save(&directory)
            .map_err(|source| create(book.name(), source))?;
        let first_file = book.last_sequence() + 1;
        let streaming = match output.compress_when {
            CompressWhen::Streaming => output.compression,
            CompressWhen::Rotated => Compression::None,
        };
        let lanes = match output.format {
            Format::Pcapng | Format::Text => vec![Lane::new(None)],
            Format::Pcap => [LinkType::Ethernet, LinkType::Raw]
                .map(|link_type| Lane::new(Some(link_type)))
                .into(),
        };
        let sizes: Arc<[FileSize]> = lanes.iter().map(|_| FileSize::default()).collect();
        let now = time::now();
        let shared = Shared {
            directory,
            tally: Arc::new(Tally::default()),
            progress: Arc::new(Progress::default()),
            sizes,
        };
        shared.progress.set_begun(book.begun());
        let layout = Layout::new(streaming);
        let mut recorder = Self {
            name: spec.name.clone(),
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
            lanes,
            blocks: Blocks::new(spec.snaplen, spec.filter.as_deref())?,
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
            threads: Threads::start(&layout, output, &shared, book)?,
            tally: shared.tally,
            progress: shared.progress,
            sizes: shared.sizes,
        };
        if output.format != Format::Pcap {
            let file = name::file_name(&spec.name, now, first_file, output.format, streaming);
            let part = format!("{file}{PART}");
            let made = shared
                .directory
                .create(&part)
                .map_err(|source| create(&part, source))?;
            recorder.begin_file(0, now, Some(made));
        }
        Ok(recorder)
    }

    /// A recorder that makes no files, but a line for each packet in the process's own output.
    pub fn start_lines(
        name: &CaptureName,
        packet_limit: Option<u64>,
        statistics: Statistics,
    ) -> Result<Self, RecorderError> {
        let tally = Arc::new(Tally::default());
        let progress = Arc::new(Progress::default());
        let now = time::now();
        Ok(Self {
            name: name.clone(),
            directory: PathBuf::new(),
            format: Format::Text,
            lines: Lines::OfOutput(name.clone()),
            streaming: Compression::None,
            copying: Copying::Cached,
            whole_blocks: true,
            rotation: Rotation::default(),
            snaplen: u32::MAX,
            interfaces: Vec::new(),
            lanes: vec![Lane::new(None)],
            blocks: Blocks::new(u32::MAX, None)?,
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
            threads: Threads::start_lines(&tally, &progress)?,
            tally,
            progress,
            sizes: Arc::new([FileSize::default()]),
        })
    }
}
