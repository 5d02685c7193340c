//! Tries a filter on the packets of a capture file.

use std::{collections::HashMap, fs::File, io, path::Path};

use capture_file::{CaptureReader, Item, Packet, ReadError};
use pcap::Linktype;

use super::{Trial, TrialError};
use crate::{Compiler, Epilogue, FilterError, TargetError, TargetMaps, compile::named};
use capture_types::{Direction, FilterSpec, TargetKinds, TargetSet};

/// Counts of a trial.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct TrialTotals {
    /// Packets in the file.
    pub packets: u64,
    /// Packets that match.
    pub matched: u64,
    /// Packets that the kernel's test run could not take (see [`super::Decision`]), decided by
    /// running the same program in user space.
    #[serde(skip)]
    pub interpreted: u64,
}

/// A file could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be opened.
    #[error("it cannot be opened: {0}")]
    Open(#[from] io::Error),
    /// It is not a capture file, or a damaged one.
    #[error("after {packets} packets: {source}")]
    Read {
        /// Packets read before.
        packets: u64,
        /// The reader's error.
        source: ReadError,
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

/// Tries the filter in the kernel on every packet of a pcap or pcapng file, plain or compressed with
/// gzip or zstd. Needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON.
///
/// # Errors
///
/// An invalid or damaged file, an invalid filter, or the kernel's error.
pub fn try_on_file(
    compiler: &Compiler,
    spec: &FilterSpec,
    targets: &TargetSet,
    path: &Path,
) -> Result<TrialTotals, FileError> {
    let mut trials = Trials {
        compiler,
        spec,
        targets,
        loaded: HashMap::new(),
        totals: TrialTotals::default(),
    };
    let read = |packets| move |source| FileError::Read { packets, source };
    let mut reader = CaptureReader::new(File::open(path)?).map_err(read(0))?;
    let mut interfaces = Vec::new();
    while let Some(item) = reader.next_item().map_err(read(trials.totals.packets))? {
        match item {
            // The upper bits give the length of the frames' checksum.
            Item::Interface(interface) => interfaces.push(u32::from(interface.link_type) & 0xffff),
            Item::Packet(packet) => {
                // The reader has checked the number.
                if let Some(link_type) = interfaces.get(packet.interface as usize) {
                    trials.packet(*link_type, packet)?;
                }
            }
            _ => {}
        }
    }
    Ok(trials.totals)
}

struct Trials<'a> {
    compiler: &'a Compiler,
    spec: &'a FilterSpec,
    targets: &'a TargetSet,
    loaded: HashMap<(u32, Direction), Trial>,
    totals: TrialTotals,
}

impl Trials<'_> {
    fn packet(&mut self, link_type: u32, packet: Packet<'_>) -> Result<(), FileError> {
        let key = (link_type, packet.direction().unwrap_or(Direction::In));
        if !self.loaded.contains_key(&key) {
            let trial = self.trial(link_type, key.1)?;
            self.loaded.insert(key, trial);
        }
        if let Some(trial) = self.loaded.get(&key) {
            let decision = trial.decide(packet.data, packet.original_length as usize)?;
            self.totals.packets += 1;
            self.totals.matched += u64::from(decision.matched);
            self.totals.interpreted += u64::from(!decision.by_kernel);
        }
        Ok(())
    }

    fn trial(&self, link_type: u32, direction: Direction) -> Result<Trial, FileError> {
        let link_type = dlt(link_type)?;
        let program = self
            .compiler
            .compile_for(self.spec, &[link_type])?
            .filter_for(link_type, self.spec.targets)?
            .program(Epilogue {
                index: 0,
                direction,
            });
        let targets = if self.spec.targets == TargetKinds::default() {
            None
        } else {
            Some(TargetMaps::create(self.targets)?)
        };
        Ok(Trial::load(program, targets)?)
    }
}

/// libpcap's compiler number for a file's link type. Most numbers are the same, except raw IP.
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
