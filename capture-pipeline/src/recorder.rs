//! The recorder: turns packets from the drain thread into capture files.

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use super::{
    copying::Copying,
    encode::{self, Encoding, Pcap, Pcapng, pcapng, text::Lines},
    exported::ExportSink,
    file_size::FileSize,
    names::Names,
    outcome::{FailureKind, Outcome, Outcomes, RecorderFailure},
    output::{FileOutput, UNDESCRIBED},
    packet::{InterfaceDescription, InterfaceId, Packet},
    progress::Progress,
};
use capture_file::{
    Naming,
    manifest::{FileEndReason, FileEntry},
};
use capture_types::{CaptureName, Compression, Discarded, Format, OutputSpec, Rotation, SinkName};

mod block_writer;
mod error;
mod files;
mod interfaces;
mod rotate;
mod start;
mod threads;

use threads::{DIED, Threads};

pub use block_writer::BlockWriter;
pub use error::RecorderError;

/// A block that is not full is passed on after this long, so that readers of the growing file see
/// its packets within a second.
const FLUSH_AFTER: Duration = Duration::from_millis(800);

/// Bytes, before compression, after which a growing file gets a checkpoint. Reading as much takes a repair less than
/// a second on one slow core, and a checkpoint costs a handful of system calls.
pub const CHECKPOINT_EVERY: u64 = 64 << 20;

/// Settings of a recorder.
#[derive(Debug, Clone)]
pub struct RecorderSpec {
    /// Name of the capture, part of file names.
    pub name: CaptureName,
    /// Where and how files are written.
    pub output: OutputSpec,
    /// Upper bound of the bytes kept of a packet, for file headers.
    pub snaplen: u32,
    /// The filter expression, for file headers.
    pub filter: Option<String>,
    /// Packets after which the recorder takes no more.
    pub packet_limit: Option<u64>,
    /// Retention removes first what this sink has.
    pub export_sink: Option<ExportSink>,
    /// Sinks of an exporter that get the files; empty for those that get the files of every capture.
    pub export: Vec<SinkName>,
    /// Bytes, before compression, after which a growing file gets a checkpoint, for whoever repairs the file should the process
    /// be killed; `None` for never.
    pub checkpoint_every: Option<u64>,
}

/// The kernel's counters of an interface; `None` when they cannot be read.
pub type KernelStatistics = Option<capture_common::Counters>;

/// Asked for each interface when a file ends.
pub type Statistics = Box<dyn FnMut(InterfaceId) -> KernelStatistics + Send>;

/// Turns packets into capture files. It belongs to the drain thread and starts threads to compress,
/// to write and to keep account of files.
///
/// Dropped without [`Recorder::finish`], it leaves its last file as `.part`.
pub struct Recorder {
    name: CaptureName,
    naming: Naming,
    directory: PathBuf,
    format: Format,
    /// The prefix of packets in text form.
    lines: Lines,
    /// Compression of blocks while they are written.
    streaming: Compression,
    /// How packets are copied into blocks.
    copying: Copying,
    /// Each block ends with a whole packet: blocks are compressed separately, or each is written at
    /// once or dropped.
    whole_blocks: bool,
    rotation: Rotation,
    snaplen: u32,
    interfaces: Vec<Interface>,
    /// Interfaces that files still have to describe.
    untold: usize,
    /// Names of addresses, for pcapng files.
    names: Names,
    outputs: Vec<FileOutput>,
    /// Write the blocks that occur once in a pcapng file; one for each output.
    blocks: Vec<pcapng::Blocks>,
    /// Bytes of a block that are used.
    capacity: usize,
    /// Scratch memory for packets that span several blocks.
    scratch: Vec<u8>,
    next_block: u64,
    first_file: u64,
    next_file: u64,
    /// The packet limit, and how many packets are left.
    limit: u64,
    left: u64,
    statistics: Statistics,
    /// When the recorder started, and the last time that the drain thread passed; UTC nanoseconds.
    started: u64,
    now: u64,
    outcomes: Arc<Outcomes>,
    /// Suspensions of writing that were handled.
    suspensions: u64,
    progress: Arc<Progress>,
    sizes: Arc<[FileSize]>,
    threads: Threads,
}

/// An interface as the recorder keeps it.
struct Interface {
    description: InterfaceDescription,
    output: usize,
    /// It has left the capture: its counts are final.
    gone: bool,
    /// A pcapng file has its final counts: further files need not describe it.
    counts_written: bool,
    /// Packets of the interface in blocks that were passed on.
    sealed: u64,
    discarded: Discarded,
}

impl Interface {
    /// Packets written, and packets not written here or after the drain thread.
    fn outcome(&self, behind: Outcome) -> (u64, Discarded) {
        let discarded = Discarded {
            queue_full: self.discarded.queue_full + behind.lost.queue_full,
            disk_full: self.discarded.disk_full + behind.lost.disk_full,
            write_error: self.discarded.write_error + behind.lost.write_error,
            stopped: self.discarded.stopped + behind.lost.stopped,
        };
        (behind.written, discarded)
    }
}

/// The result of a capture.
#[derive(Debug)]
pub struct Finished {
    /// The files that it finished and that retention has not removed, in order.
    pub files: Vec<FinishedFile>,
    /// Per interface, in the order of their numbers: packets written, and packets not written.
    pub interfaces: Vec<(u64, Discarded)>,
    /// Why it ended by itself.
    pub failure: Option<RecorderFailure>,
}

/// A file of a finished capture.
#[derive(Debug, Clone)]
pub struct FinishedFile {
    /// Its entry in the manifest.
    pub path: PathBuf,
    /// What the manifest says of it.
    pub entry: FileEntry,
}

impl Recorder {
    /// Adds the next interface and returns its number.
    pub fn add_interface(&mut self, description: InterfaceDescription) -> InterfaceId {
        let output = self.output_for(description.link_type);
        let id = self.interfaces.len();
        self.interfaces.push(Interface {
            description,
            output,
            gone: false,
            counts_written: false,
            sealed: 0,
            discarded: Discarded::default(),
        });
        self.untold += 1;
        let own = output;
        for (index, output) in self.outputs.iter_mut().enumerate() {
            if let Some(block) = &mut output.block {
                block.counts.resize(id + 1, 0);
            }
            // Its description comes before its first packet, which the slow path writes.
            output.room = 0;
            output.numbers.push(match self.format {
                Format::Pcapng => UNDESCRIBED,
                Format::Pcap | Format::Text if index == own => 0,
                Format::Pcap | Format::Text => UNDESCRIBED,
            });
        }
        InterfaceId(u32::try_from(id).unwrap_or(u32::MAX))
    }

    /// An interface has left the capture, and its counts are final. The next pcapng file that ends has them;
    /// further files do not describe the interface.
    pub fn retire_interface(&mut self, id: InterfaceId) {
        if let Some(interface) = self.interfaces.get_mut(id.0 as usize) {
            interface.gone = true;
        }
    }

    /// Replaces the names of addresses for files from here on.
    pub fn set_names(&mut self, names: Vec<(IpAddr, String)>) {
        self.names.set(names);
        for output in &mut self.outputs {
            // New names come before the next packet, which the slow path writes.
            output.room = 0;
        }
    }

    /// Takes a packet of an interface that was added before. Never blocks.
    pub fn packet(&mut self, packet: &Packet<'_>) {
        let put = match self.format {
            Format::Pcapng => self.packet_quickly::<Pcapng>(packet),
            Format::Pcap => self.packet_quickly::<Pcap>(packet),
            Format::Text => false,
        };
        if !put {
            self.packet_slowly(packet);
        }
    }

    fn packet_quickly<E: Encoding>(&mut self, packet: &Packet<'_>) -> bool {
        let Some(mut block_writer) = self.block_writer::<E>(packet.interface) else {
            return false;
        };
        let put = block_writer.put(packet);
        block_writer.settle();
        put
    }

    /// The format of the files.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Whether no block is free: the next packet that needs one is discarded.
    #[must_use]
    pub fn is_backlogged(&self) -> bool {
        self.threads.pool.count() == 0 && !self.outcomes.failed()
    }

    /// To be called at least every 100 ms, with the time in UTC nanoseconds: passes on blocks that
    /// have waited long enough, rotates on the clock, notices failures.
    pub fn tick(&mut self, now: u64) {
        self.now = now;
        if !self.threads.writer_lives() {
            self.outcomes.fail(FailureKind::WriteError, DIED.to_owned());
        }
        if self.outcomes.failed() {
            return self.give_up();
        }
        self.follow_suspensions();
        for output in 0..self.outputs.len() {
            self.tick_output(output);
        }
    }

    /// How long until [`Self::tick`] has something to do if no packet comes; `None` for never.
    #[must_use]
    pub fn next_tick(&self) -> Option<Duration> {
        let outputs = self.outputs.iter();
        outputs
            .filter_map(|output| output.next_tick(self.now))
            .min()
    }

    /// The packet limit was reached, or the capture was stopped: further packets are counted and
    /// not kept.
    #[must_use]
    pub fn limit_reached(&self) -> bool {
        self.left == 0
    }

    /// Packets after which no more are taken.
    #[must_use]
    pub fn packet_limit(&self) -> u64 {
        self.limit
    }

    /// Changes the limit. A recorder that has reached its limit takes no more packets whatever the
    /// new one.
    pub fn set_packet_limit(&mut self, limit: u64) {
        if limit != self.limit && self.left > 0 {
            self.left = limit.saturating_sub(self.limit - self.left);
            self.limit = limit;
        }
    }

    /// From here on packets are counted as stopped.
    pub fn stop(&mut self) {
        self.left = 0;
    }

    /// Why the recorder can never write again. Finished files are whole, and packets that still come are
    /// counted.
    #[must_use]
    pub fn failure(&self) -> Option<RecorderFailure> {
        self.outcomes.failure().cloned()
    }

    /// Progress of the files.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Packets of an interface that are in files, and those that are not, by reason. The rest of
    /// the packets taken are on their way.
    #[must_use]
    pub fn written(&self, id: InterfaceId) -> (u64, Discarded) {
        let outcome = self.outcomes.outcome(id.0 as usize);
        match self.interfaces.get(id.0 as usize) {
            Some(interface) => interface.outcome(outcome),
            None => (0, Discarded::default()),
        }
    }

    /// Copies the result of [`Recorder::written`] for each interface, in the order of their
    /// numbers.
    pub fn copy_outcomes(&self, outcomes: &mut Vec<(u64, Discarded)>) {
        outcomes.clear();
        outcomes.extend(
            (0..)
                .zip(&self.interfaces)
                .map(|(id, interface)| interface.outcome(self.outcomes.outcome(id))),
        );
    }

    /// Ends the last files and waits until everything is on disk and accounted for. `abort` skips
    /// digests and the compression of rotated files.
    pub fn finish(mut self, abort: &AtomicBool) -> Finished {
        self.end_files();
        let Self {
            threads,
            outcomes,
            interfaces,
            directory,
            ..
        } = self;
        let files = threads.finish(&outcomes, abort);
        Finished {
            files: files
                .into_iter()
                .map(|entry| FinishedFile {
                    path: directory.join(&entry.file),
                    entry,
                })
                .collect(),
            interfaces: (0..)
                .zip(&interfaces)
                .map(|(id, interface)| interface.outcome(outcomes.outcome(id)))
                .collect(),
            failure: outcomes
                .failure()
                .cloned()
                .or_else(|| outcomes.suspended().map(|fault| fault.failure)),
        }
    }

    /// The slow path: for packets that do not simply fit.
    #[cold]
    #[inline(never)]
    fn packet_slowly(&mut self, packet: &Packet<'_>) {
        let id = packet.interface.0 as usize;
        if id >= self.interfaces.len() {
            return;
        }
        let length = encode::packet_length(self.format, packet.bytes.len());
        if self.left == 0 {
            self.interfaces[id].discarded.stopped += 1;
        } else if let Some(kind) = self.refused() {
            match kind {
                FailureKind::DiskFull => self.interfaces[id].discarded.disk_full += 1,
                FailureKind::WriteError => self.interfaces[id].discarded.write_error += 1,
            }
        } else if self.place(packet, length) {
            self.left -= 1;
        } else {
            self.interfaces[id].discarded.queue_full += 1;
        }
    }

    /// Why packets cannot be written at present.
    fn refused(&mut self) -> Option<FailureKind> {
        if let Some(failure) = self.outcomes.failure() {
            return Some(failure.kind);
        }
        self.follow_suspensions();
        self.outcomes.suspended_kind()
    }

    /// Puts a packet into the right file, beginning one if necessary; `false` when no block is free.
    fn place(&mut self, packet: &Packet<'_>, length: usize) -> bool {
        let mut encoded = std::mem::take(&mut self.scratch);
        encoded.clear();
        let length = match self.format {
            Format::Pcapng | Format::Pcap => length,
            Format::Text => {
                let interface = &self.interfaces[packet.interface.0 as usize].description;
                self.lines.put(packet, interface, &mut encoded);
                encoded.len()
            }
        };
        let placed = self.place_encoded(packet, length, &mut encoded);
        self.scratch = encoded;
        placed
    }

    /// Like [`Self::place`], with memory to encode the packet in, which already contains a line if
    /// packets are lines.
    fn place_encoded(&mut self, packet: &Packet<'_>, length: usize, encoded: &mut Vec<u8>) -> bool {
        let id = packet.interface.0 as usize;
        let index = self.interfaces[id].output;
        if let Some(reason) = self.must_close(index, packet.timestamp, length)
            && !self.close(index, reason)
        {
            return false;
        }
        if !self.ensure_file(index, packet.timestamp)
            || !self.describe_for(index, id)
            || !self.ensure_blocks(index, length)
        {
            return false;
        }
        let number = self.outputs[index].numbers[id];
        encoded.resize(length, 0);
        encode::packet(self.format, number, packet, encoded, Copying::Cached);
        self.append(index, encoded);
        let output = &mut self.outputs[index];
        if let Some(block) = &mut output.block {
            block.count(id, packet.timestamp);
        }
        output.quota -= 1;
        if output.quota == 0 {
            self.close(index, FileEndReason::Packets);
        } else {
            self.measure_room(index);
        }
        true
    }
}
