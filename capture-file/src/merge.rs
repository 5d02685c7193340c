//! Merges many capture files into one, by timestamp. Files are opened when their first packet is due
//! and keep one block each in memory, so that memory is bounded by the number of files that overlap
//! in time.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet},
    fs::File,
    io::Write,
    net::IpAddr,
    path::PathBuf,
};

use thiserror::Error;

use crate::{
    error::ReadError,
    packet::{AddressNames, Interface, Item, PacketBuf, Statistics},
    read::CaptureReader,
    write::{WriteError, Writer},
};

/// A file to merge.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its path.
    pub path: PathBuf,
    /// The index of its node.
    pub node: usize,
    /// The earliest timestamp in it, in nanoseconds, if known: the file is opened when it is due.
    pub first: Option<u64>,
    /// Whether it was still being written: its end may be cut off.
    pub growing: bool,
}

/// The result of merging.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// Packets written.
    pub packets: u64,
    /// Packets written after a later one: more out of order than `REORDERED` packets can correct.
    pub out_of_order: u64,
}

/// Why there is no merged file.
#[derive(Debug, Error)]
pub enum MergeError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reader's error.
        source: ReadError,
    },
    /// The result cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// One CPU's packet can overtake another's on its way into the ring buffer. This many packets are
/// held back to reorder them,
const REORDERED: usize = 1024;
/// but no more bytes than this.
const REORDERED_BYTES: usize = 8 << 20;

/// Names of addresses that are remembered, so that each is written once. Further names are written each
/// time they occur.
const MOST_NAMES: usize = 65_536;

/// Merges. With more than one name in `nodes`, interfaces are named `node:interface`. `progress` is
/// called for each packet.
///
/// # Errors
/// A file cannot be read, or the result cannot be written.
pub fn merge<W: Write>(
    inputs: Vec<Input>,
    nodes: &[String],
    writer: Writer<W>,
    progress: impl FnMut(),
) -> Result<(Merged, W), MergeError> {
    let mut merge = Merge {
        files: Vec::new(),
        due: BinaryHeap::new(),
        interfaces: Vec::new(),
        names: HashSet::new(),
        nodes,
        held: BinaryHeap::new(),
        held_bytes: 0,
        next: 0,
        last: 0,
        merged: Merged::default(),
        writer,
        progress,
    };
    let mut waiting = inputs;
    // The one that is due first is last.
    waiting.sort_by_key(|input| Reverse(input.first));
    loop {
        while let Some(input) = waiting.pop_if(|input| merge.is_due(input)) {
            merge.open(input)?;
        }
        let Some(Reverse((_, number))) = merge.due.pop() else {
            if waiting.is_empty() {
                break;
            }
            continue;
        };
        merge.advance(number)?;
    }
    merge.finish()
}

struct Merge<'a, W: Write, P> {
    files: Vec<Option<Open>>,
    /// Open files by the timestamp of their current packet.
    due: BinaryHeap<Reverse<(u64, usize)>>,
    interfaces: Vec<Known>,
    /// Names of addresses that were written, up to `MOST_NAMES`.
    names: HashSet<(IpAddr, String)>,
    nodes: &'a [String],
    held: BinaryHeap<Reverse<Held>>,
    held_bytes: usize,
    /// Packets read from the files so far; keeps those of equal time in order.
    next: u64,
    last: u64,
    merged: Merged,
    writer: Writer<W>,
    progress: P,
}

struct Open {
    reader: CaptureReader,
    input: Input,
    /// Numbers of its interfaces in the merged file.
    interfaces: Vec<u32>,
    packet: Option<PacketBuf>,
}

/// An interface of a node, the same in all of the node's files.
struct Known {
    node: usize,
    interface: Interface,
    statistics: Option<Statistics>,
}

struct Held {
    timestamp: u64,
    number: u64,
    packet: PacketBuf,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Held {}
impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.timestamp, self.number).cmp(&(other.timestamp, other.number))
    }
}

impl<W: Write, P: FnMut()> Merge<'_, W, P> {
    /// A file is due when the next packet of the open ones is not earlier; one without known times
    /// is due at once.
    fn is_due(&self, input: &Input) -> bool {
        match (input.first, self.due.peek()) {
            (Some(first), Some(Reverse((next, _)))) => first <= *next,
            _ => true,
        }
    }

    fn open(&mut self, input: Input) -> Result<(), MergeError> {
        let reader = File::open(&input.path)
            .map_err(ReadError::from)
            .and_then(CaptureReader::new)
            .map_err(|source| unreadable(&input, source))?;
        self.files.push(Some(Open {
            reader,
            input,
            interfaces: Vec::new(),
            packet: None,
        }));
        self.refill(self.files.len() - 1)
    }

    /// Takes the current packet of a file, and reads the next one.
    fn advance(&mut self, number: usize) -> Result<(), MergeError> {
        let packet = self.files[number]
            .as_mut()
            .and_then(|file| file.packet.take());
        if let Some(packet) = packet {
            self.hold(packet)?;
        }
        self.refill(number)
    }

    fn refill(&mut self, number: usize) -> Result<(), MergeError> {
        let Some(mut file) = self.files[number].take() else {
            return Ok(());
        };
        loop {
            match file.reader.next_item() {
                Ok(Some(Item::Packet(packet))) => {
                    let mut packet = packet.to_buf();
                    // The reader rejects packets whose interface was not described.
                    packet.interface = file.interfaces[packet.interface as usize];
                    self.due.push(Reverse((packet.timestamp, number)));
                    file.packet = Some(packet);
                    self.files[number] = Some(file);
                    return Ok(());
                }
                Ok(Some(Item::Interface(interface))) => {
                    let interface = self.interface(file.input.node, interface)?;
                    file.interfaces.push(interface);
                }
                Ok(Some(Item::Statistics(mut statistics))) => {
                    let interface = file.interfaces[statistics.interface as usize];
                    statistics.interface = interface;
                    let known = &mut self.interfaces[interface as usize].statistics;
                    // They count from the start of the capture: the last ones include all earlier
                    // ones.
                    if known
                        .as_ref()
                        .is_none_or(|known| known.timestamp <= statistics.timestamp)
                    {
                        *known = Some(statistics);
                    }
                }
                Ok(Some(Item::Names(names))) => self.names(names)?,
                Ok(Some(Item::Section(_))) => {}
                Ok(None) => return Ok(()),
                Err(ReadError::Cut { .. }) if file.input.growing => return Ok(()),
                Err(source) => return Err(unreadable(&file.input, source)),
            }
        }
    }

    /// Writes names of addresses, each once.
    fn names(&mut self, names: Vec<AddressNames>) -> Result<(), MergeError> {
        let mut new = Vec::new();
        for AddressNames { address, mut names } in names {
            names.retain(|name| {
                let is_new = !self.names.contains(&(address, name.clone()));
                if is_new && self.names.len() < MOST_NAMES {
                    self.names.insert((address, name.clone()));
                }
                is_new
            });
            if !names.is_empty() {
                new.push(AddressNames { address, names });
            }
        }
        Ok(self.writer.names(&new)?)
    }

    /// The number of a node's interface in the merged file.
    fn interface(&mut self, node: usize, interface: Interface) -> Result<u32, MergeError> {
        let mut known = self.interfaces.iter().enumerate();
        if let Some((number, _)) =
            known.find(|(_, known)| known.node == node && known.interface == interface)
        {
            return Ok(number as u32);
        }
        let number = u32::try_from(self.interfaces.len())
            .map_err(|_| WriteError::Format("more interfaces than can be counted"))?;
        if let [_, _, ..] = self.nodes {
            let name = match interface.name() {
                Some(name) => format!("{}:{name}", self.nodes[node]),
                None => self.nodes[node].clone(),
            };
            self.writer.interface(&interface.clone().named(&name))?;
        } else {
            self.writer.interface(&interface)?;
        }
        self.interfaces.push(Known {
            node,
            interface,
            statistics: None,
        });
        Ok(number)
    }

    fn hold(&mut self, packet: PacketBuf) -> Result<(), MergeError> {
        self.held_bytes += packet.data.len();
        self.held.push(Reverse(Held {
            timestamp: packet.timestamp,
            number: self.next,
            packet,
        }));
        self.next += 1;
        while self.held.len() > REORDERED || self.held_bytes > REORDERED_BYTES {
            self.let_go()?;
        }
        Ok(())
    }

    fn let_go(&mut self) -> Result<(), MergeError> {
        let Some(Reverse(Held { packet, .. })) = self.held.pop() else {
            return Ok(());
        };
        self.held_bytes -= packet.data.len();
        if packet.timestamp < self.last {
            self.merged.out_of_order += 1;
        }
        self.last = self.last.max(packet.timestamp);
        self.writer.packet(&packet)?;
        self.merged.packets += 1;
        (self.progress)();
        Ok(())
    }

    fn finish(mut self) -> Result<(Merged, W), MergeError> {
        while !self.held.is_empty() {
            self.let_go()?;
        }
        for interface in self.interfaces {
            if let Some(statistics) = interface.statistics {
                self.writer.statistics(&statistics)?;
            }
        }
        Ok((self.merged, self.writer.finish()?))
    }
}

fn unreadable(input: &Input, source: ReadError) -> MergeError {
    MergeError::Read {
        path: input.path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests;
