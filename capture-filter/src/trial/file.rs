//! Tries a filter on the packets of a capture file.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom},
    path::Path,
};

use pcap::Linktype;
use pcap_file::{
    PcapError,
    pcap::PcapReader,
    pcapng::{Block, PcapNgReader},
};

use super::{Trial, TrialError};
use crate::{Epilogue, Filter, FilterError, TargetError, TargetMaps, compile::named};
use capture_types::Direction;
use capture_types::{FilterSpec, TargetSet};

/// How many packets match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct TrialTotals {
    /// Packets in the file.
    pub packets: u64,
    /// Of these: packets that match.
    pub matched: u64,
    /// Of these: packets that the kernel's test run could not take (see [`super::Decision`]), decided
    /// by running the same program here.
    #[serde(skip)]
    pub interpreted: u64,
}

/// A file could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be opened or read.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is no capture file, or a broken one.
    #[error("packet {packet}: it is not a whole pcap or pcapng file: {reason}")]
    Format {
        /// Packets read before.
        packet: u64,
        /// What is wrong.
        reason: String,
    },
    /// The filter is wrong.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The targets could not be set up.
    #[error(transparent)]
    Targets(#[from] TargetError),
    /// The filter could not be run.
    #[error(transparent)]
    Trial(#[from] TrialError),
}

/// Lets the kernel decide about every packet of a pcap or pcapng file, plain or compressed with gzip or
/// zstd. Needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON.
///
/// # Errors
///
/// A file that is not what it should be, a filter that is wrong, or what the kernel says.
pub fn try_on_file(
    spec: &FilterSpec,
    targets: &TargetSet,
    path: &Path,
) -> Result<TrialTotals, FileError> {
    let mut tries = Tries {
        spec,
        targets,
        trials: HashMap::new(),
        totals: TrialTotals::default(),
    };
    let mut reader = open(path)?;
    let mut magic = [0; 4];
    reader.read_exact(&mut magic)?;
    let reader = magic.chain(reader);
    // The first block of a pcapng file; it reads the same in either byte order.
    if magic == [0x0a, 0x0d, 0x0d, 0x0a] {
        tries.pcapng(reader)?;
    } else {
        tries.pcap(reader)?;
    }
    Ok(tries.totals)
}

fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = File::open(path)?;
    let mut magic = Vec::new();
    (&mut file).take(4).read_to_end(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(match magic[..] {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file))),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::new(file)?),
        _ => Box::new(BufReader::new(file)),
    })
}

struct Tries<'a> {
    spec: &'a FilterSpec,
    targets: &'a TargetSet,
    trials: HashMap<u32, Trial>,
    totals: TrialTotals,
}

impl Tries<'_> {
    fn pcap(&mut self, reader: impl Read) -> Result<(), FileError> {
        let mut reader = PcapReader::new(reader).map_err(|error| self.broken(&error))?;
        // The upper bits say how long the frames' checksum is.
        let link_type = u32::from(reader.header().datalink) & 0xffff;
        while let Some(packet) = reader.next_raw_packet() {
            let packet = packet.map_err(|error| self.broken(&error))?;
            self.packet(link_type, &packet.data, packet.orig_len)?;
        }
        Ok(())
    }

    fn pcapng(&mut self, reader: impl Read) -> Result<(), FileError> {
        let mut reader = PcapNgReader::new(reader).map_err(|error| self.broken(&error))?;
        let mut interfaces: Vec<u32> = Vec::new();
        while let Some(block) = reader.next_block() {
            let (interface, bytes, length) = match block.map_err(|error| self.broken(&error))? {
                Block::SectionHeader(_) => {
                    interfaces.clear();
                    continue;
                }
                Block::InterfaceDescription(interface) => {
                    interfaces.push(u32::from(interface.linktype) & 0xffff);
                    continue;
                }
                Block::EnhancedPacket(packet) => {
                    (packet.interface_id, packet.data, packet.original_len)
                }
                Block::SimplePacket(packet) => (0, packet.data, packet.original_len),
                Block::Packet(packet) => {
                    (packet.interface_id.into(), packet.data, packet.original_len)
                }
                _ => continue,
            };
            let Some(link_type) = interfaces.get(interface as usize) else {
                return Err(FileError::Format {
                    packet: self.totals.packets,
                    reason: format!("there is no interface {interface}"),
                });
            };
            self.packet(*link_type, &bytes, length)?;
        }
        Ok(())
    }

    fn packet(&mut self, link_type: u32, bytes: &[u8], length: u32) -> Result<(), FileError> {
        if !self.trials.contains_key(&link_type) {
            let trial = self.trial(link_type)?;
            self.trials.insert(link_type, trial);
        }
        if let Some(trial) = self.trials.get(&link_type) {
            let decision = trial.decide(bytes, length as usize)?;
            self.totals.packets += 1;
            self.totals.matched += u64::from(decision.matched);
            self.totals.interpreted += u64::from(!decision.by_kernel);
        }
        Ok(())
    }

    fn trial(&self, link_type: u32) -> Result<Trial, FileError> {
        let program = Filter::compile_for(self.spec, dlt(link_type)?)?.program(Epilogue {
            index: 0,
            direction: Direction::In,
        });
        let targets = if self.spec.targets == capture_types::TargetKinds::default() {
            None
        } else {
            Some(TargetMaps::create(self.targets)?)
        };
        Ok(Trial::load(program, targets)?)
    }

    fn broken(&self, error: &PcapError) -> FileError {
        FileError::Format {
            packet: self.totals.packets,
            reason: error.to_string(),
        }
    }
}

/// What libpcap's compiler calls the link type that a file calls so. Most numbers are the same; raw IP
/// is the one that is not.
fn dlt(link_type: u32) -> Result<Linktype, FilterError> {
    const LINKTYPE_RAW: u32 = 101;
    match link_type {
        LINKTYPE_RAW => named("RAW"),
        number => i32::try_from(number)
            .map(Linktype)
            .map_err(|_| FilterError::LinkType(number.to_string())),
    }
}

#[cfg(test)]
mod tests;
