//! Loads a generated program into the kernel.

use std::os::fd::{BorrowedFd, OwnedFd};

use super::{
    program::{MapRef, Program},
    targets::TargetMaps,
};
use crate::kernel::prog_load::{LoadError, load_classifier};

/// The name of every filter program; all programs of the recorder begin with `captured`.
const PROGRAM_NAME: &str = "captured_filter";

/// The maps of the capture that a filter belongs to.
#[derive(Debug, Clone, Copy)]
pub struct FilterMaps<'a> {
    /// `SLOTS`: the counters of interfaces with a slot.
    pub slots: BorrowedFd<'a>,
    /// `COUNTERS`: the counters of other interfaces.
    pub counters: BorrowedFd<'a>,
    /// `PROGRAMS`: the capture programs that a match continues with.
    pub programs: BorrowedFd<'a>,
    /// The maps of the filter's targets, if it has any.
    pub targets: Option<&'a TargetMaps>,
}

impl<'a> FilterMaps<'a> {
    fn descriptor(&self, map: MapRef) -> Option<BorrowedFd<'a>> {
        match map {
            MapRef::Slots => Some(self.slots),
            MapRef::Counters => Some(self.counters),
            MapRef::Programs => Some(self.programs),
            map => self.targets?.descriptor(map),
        }
    }
}

/// Loads a filter. Nothing is attached.
///
/// # Errors
///
/// The kernel's error, with the verifier's last lines.
pub fn load(program: &Program, maps: &FilterMaps<'_>) -> Result<OwnedFd, LoadError> {
    let insns = program
        .link(|map| maps.descriptor(map))
        .map_err(|map| LoadError {
            name: PROGRAM_NAME.to_owned(),
            length: program.instructions().len(),
            source: std::io::Error::other(format!("it needs the map {}", map.name())),
            log: String::new(),
        })?;
    load_classifier(&insns, PROGRAM_NAME)
}
