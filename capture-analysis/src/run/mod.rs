//! Reads files one after the other into one analysis: rotated files of one capture are treated as
//! one.

mod ahead;
mod bounded;
mod foreign;

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Read},
    ops::ControlFlow,
    sync::mpsc,
    thread,
};

use capture_file::{AddressNames, CaptureReader, Interface, ReadError, Statistics};

use crate::{
    Analysis, Packet, Sources,
    report::{FileSummary, InterfaceSummary, Keeping, LossSpan, RecorderLoss, Report},
};

use ahead::{Batch, End, Head, Then};
pub use bounded::Bounds;
use bounded::Watch;

/// Maximum names of addresses that are kept.
const MOST_NAMES: usize = 10_000;

/// A file to analyse.
pub struct Source<'a> {
    /// Its name in the report.
    pub name: String,
    /// Its bytes on disk.
    pub input: Box<dyn Read + Send + 'a>,
}

/// The progress of reading.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Packets read.
    pub packets: u64,
    /// Bytes read of the files on disk.
    pub bytes: u64,
}

/// Hooks of the caller.
pub struct Hooks<'a> {
    /// Selects the packets to analyse; others are not even counted.
    pub filter: Box<dyn FnMut(&Packet<'_>) -> bool + 'a>,
    /// Called after every few thousand packets; may end the reading.
    pub progress: Box<dyn FnMut(Progress) -> ControlFlow<()> + 'a>,
    /// The recorder's loss, if a manifest has it; otherwise it is read from the files.
    pub recorder: Option<RecorderLoss>,
    /// Limits of decompression.
    pub bounds: Bounds,
    /// Maximum frames that the findings keep in all, for [`crate::Wanted::frames_of`].
    pub kept_frames: usize,
}

impl Default for Hooks<'_> {
    fn default() -> Self {
        Self {
            filter: Box::new(|_| true),
            progress: Box::new(|_| ControlFlow::Continue(())),
            recorder: None,
            bounds: Bounds::default(),
            kept_frames: 0,
        }
    }
}

/// An interface is the same in the next file if all of this is equal.
type InterfaceKey = (Option<String>, Option<String>, u16, u32);

struct Reading<'a, 'h> {
    analysis: Analysis,
    hooks: &'h mut Hooks<'a>,
    sources: Sources,
    numbers: HashMap<InterfaceKey, u32>,
    /// The loss that each interface's recorder had reported at the end of the previous file.
    lost_before: Vec<u64>,
    packets: u64,
    bytes: u64,
    stopped: bool,
}

/// The report on these files. Files that cannot be read, or not to their end, are marked in its
/// summary.
pub fn analyse<'s>(
    analysis: Analysis,
    files: impl IntoIterator<Item = (String, io::Result<Source<'s>>)>,
    hooks: &mut Hooks<'_>,
) -> Report {
    let _keeping = Keeping::up_to(hooks.kept_frames);
    let mut reading = Reading {
        analysis,
        hooks,
        sources: Sources::default(),
        numbers: HashMap::new(),
        lost_before: Vec::new(),
        packets: 0,
        bytes: 0,
        stopped: false,
    };
    for (name, source) in files {
        if reading.stopped {
            break;
        }
        reading.file(name, source);
    }
    if reading.stopped {
        let note = "the reading was stopped before the end of the last file";
        reading.sources.notes.push(note.to_owned());
    }
    if let Some(recorder) = reading.hooks.recorder.take() {
        reading.sources.recorder = Some(recorder);
    }
    reading.analysis.finish(reading.sources)
}

impl Reading<'_, '_> {
    fn file(&mut self, name: String, source: io::Result<Source<'_>>) {
        let mut summary = FileSummary {
            name,
            format: "unread".to_owned(),
            compression: None,
            packets: 0,
            bytes: 0,
            skipped: 0,
            problem: None,
        };
        let opened = source.and_then(|source| bounded::open(source.input, self.hooks.bounds));
        match opened {
            Ok((input, watch)) => {
                let reader = CaptureReader::plain(input);
                if let Err(error) = self.read(reader, &watch, &mut summary) {
                    summary.problem = Some(format!("no thread to read with: {error}"));
                }
            }
            Err(error) => summary.problem = Some(error.to_string()),
        }
        if self.stopped {
            summary.problem.get_or_insert_with(|| "stopped".to_owned());
        }
        self.sources.files.push(summary);
    }

    /// Reads on a separate thread, and analyses on this one.
    fn read<R: Read + Send>(
        &mut self,
        reader: CaptureReader<R>,
        watch: &Watch,
        summary: &mut FileSummary,
    ) -> io::Result<()> {
        let (sender, batches) = mpsc::sync_channel(ahead::QUEUED);
        let (used, empty) = mpsc::channel();
        thread::scope(|scope| -> io::Result<()> {
            thread::Builder::new()
                .name("read-ahead".to_owned())
                .spawn_scoped(scope, move || ahead::read(reader, &sender, &empty))?;
            let mut file = OpenFile {
                number: u32::try_from(self.sources.files.len()).unwrap_or(u32::MAX),
                ..OpenFile::default()
            };
            // Without a receiver the thread ends.
            for mut batch in batches {
                self.batch(&mut file, &mut batch, watch, summary);
                let progress = Progress {
                    packets: self.packets,
                    bytes: self.bytes + watch.packed(),
                };
                if (self.hooks.progress)(progress).is_break() {
                    self.stopped = true;
                    break;
                }
                // If it has ended, nobody needs the memory.
                used.send(batch).ok();
            }
            self.losses(&file);
            summary.packets = file.packets;
            Ok(())
        })?;
        summary.format = format_of(&watch.start()).to_owned();
        summary.compression = watch.compression().map(str::to_owned);
        self.bytes += watch.packed();
        Ok(())
    }

    fn batch(
        &mut self,
        file: &mut OpenFile,
        batch: &mut Batch,
        watch: &Watch,
        summary: &mut FileSummary,
    ) {
        for (head, data) in batch.packets() {
            self.packet(file, head, data);
        }
        match std::mem::take(&mut batch.then) {
            Then::More => {}
            Then::Interface(interface) => {
                let at = u32::try_from(file.interfaces.len()).unwrap_or(u32::MAX);
                let number = number(&mut self.numbers, &mut self.sources, &interface, at);
                if self.sources.interfaces.len() > 1 {
                    self.analysis.expect_copies();
                }
                self.analysis
                    .describe(|records| records.interface(number, &interface));
                file.interfaces.push(Described {
                    number,
                    link_type: interface.link_type,
                    snaplen: interface.snaplen as usize,
                });
            }
            Then::Statistics(statistics) => {
                // The last statistics of an interface count.
                file.statistics.insert(statistics.interface, statistics);
            }
            Then::Names(names) => self.names(names),
            Then::End(End {
                error,
                bytes,
                malformed_options,
            }) => {
                summary.bytes = bytes;
                summary.skipped = malformed_options;
                summary.problem = error.map(|error| problem(&error, watch, file.packets));
            }
        }
    }

    fn names(&mut self, names: Vec<AddressNames>) {
        for AddressNames { address, names } in names {
            if let Some(name) = names.first() {
                self.analysis
                    .describe(|records| records.name(address, name));
            }
            let known = &mut self.sources.names;
            if (known.len() < MOST_NAMES || known.contains_key(&address))
                && let Some(name) = names.into_iter().next()
            {
                known.entry(address).or_insert(name);
            }
        }
    }

    #[inline]
    fn packet(&mut self, file: &mut OpenFile, found: &Head, data: &[u8]) {
        self.packets += 1;
        file.packets = found.number;
        let Some(interface) = file.interfaces.get(found.interface as usize) else {
            return;
        };
        let packet = Packet {
            timestamp: found.timestamp,
            interface: interface.number,
            link_type: interface.link_type,
            original_length: found.original_length,
            data,
            file: file.number,
            frame: found.number,
        };
        if !(self.hooks.filter)(&packet) {
            return;
        }
        let (first, last) = file
            .span
            .get_or_insert((packet.timestamp, packet.timestamp));
        *first = (*first).min(packet.timestamp);
        *last = (*last).max(packet.timestamp);
        if interface.snaplen > 0 && data.len() > interface.snaplen {
            self.sources.longer_than_snaplen += 1;
        }
        self.analysis.packet(&packet);
    }

    /// The recorder's loss while it wrote this file. Its counters continue from file to file.
    fn losses(&mut self, file: &OpenFile) {
        let Some((from_ns, to_ns)) = file.span else {
            return;
        };
        for (interface, statistics) in &file.statistics {
            let described = file.interfaces.get(*interface as usize);
            let (Some(described), Some(lost)) = (described, lost(statistics)) else {
                continue;
            };
            let number = described.number as usize;
            if self.lost_before.len() <= number {
                self.lost_before.resize(number + 1, 0);
            }
            let before = std::mem::replace(&mut self.lost_before[number], lost);
            // Fewer than before: another capture.
            let here = lost.checked_sub(before).unwrap_or(lost);
            let summary = &mut self.sources.interfaces[number];
            *summary.lost_by_recorder.get_or_insert(0) += here;
            let recorder = self.sources.recorder.get_or_insert_with(|| RecorderLoss {
                source: "pcapng statistics".to_owned(),
                lost: 0,
                spans: Vec::new(),
            });
            recorder.lost += here;
            if here > 0 {
                recorder.spans.push(LossSpan {
                    from_ns,
                    to_ns,
                    lost: here,
                    interface: summary.name.clone(),
                });
            }
        }
    }
}

/// A file that is being read.
#[derive(Default)]
struct OpenFile {
    number: u32,
    packets: u64,
    interfaces: Vec<Described>,
    statistics: BTreeMap<u32, Statistics>,
    /// The earliest and the latest packet.
    span: Option<(u64, u64)>,
}

struct Described {
    /// Over all files.
    number: u32,
    link_type: u16,
    snaplen: usize,
}

/// The recorder's loss at an interface, as far as reported.
fn lost(statistics: &Statistics) -> Option<u64> {
    match (statistics.dropped(), statistics.system_dropped()) {
        (None, None) => None,
        (first, second) => Some(first.unwrap_or(0).saturating_add(second.unwrap_or(0))),
    }
}

const fn format_of(start: &[u8]) -> &'static str {
    match start {
        [] => "empty",
        [0x0a, 0x0d, 0x0d, 0x0a, ..] => "pcapng",
        [0xa1, 0xb2, ..] | [_, _, 0xb2, 0xa1, ..] => "pcap",
        _ => "unknown",
    }
}

fn problem(error: &ReadError, watch: &Watch, packets: u64) -> String {
    if let Some(met) = watch.met() {
        return format!("{met}; the {packets} packets before that count");
    }
    let start = watch.start();
    match error {
        ReadError::Damaged { .. } | ReadError::Cut { .. } if format_of(&start) == "unknown" => {
            format!(
                "not a capture file: it looks like {}; pcap and pcapng are read, plain or \
                 compressed with gzip or zstd",
                foreign::looks_like(&start)
            )
        }
        _ => error.to_string(),
    }
}

fn number(
    numbers: &mut HashMap<InterfaceKey, u32>,
    sources: &mut Sources,
    interface: &Interface,
    at: u32,
) -> u32 {
    let key = (
        interface.name(),
        interface.description(),
        interface.link_type,
        at,
    );
    *numbers.entry(key).or_insert_with(|| {
        sources.interfaces.push(InterfaceSummary {
            name: interface.name(),
            description: interface.description(),
            filter: interface.filter(),
            link_type: interface.link_type,
            snaplen: (interface.snaplen > 0).then_some(interface.snaplen),
            packets: 0,
            lost_by_recorder: None,
        });
        u32::try_from(sources.interfaces.len() - 1).unwrap_or(u32::MAX)
    })
}
