//! The programs that a capture attaches: its capture programs, or filters that go on to them.

use std::{
    collections::HashMap,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use capture_common::program_index;

use super::SessionError;
use crate::{
    filter::{Counting, Epilogue, Filter, FilterMaps, FilterSpec, load},
    kernel::object::{CaptureObject, direction, link},
    pipeline::packet::{LinkType, Way},
};

/// The programs of one capture by link type and way. A filter is generated and loaded when the first
/// interface needs it.
pub(super) struct Hooks {
    object: CaptureObject,
    filter: FilterSpec,
    loaded: HashMap<(LinkType, Way), OwnedFd>,
}

impl Hooks {
    /// Checks that the filter can be compiled, for whatever link type.
    pub(super) fn new(object: CaptureObject, filter: FilterSpec) -> Result<Self, SessionError> {
        check(&filter)?;
        Ok(Self {
            object,
            filter,
            loaded: HashMap::new(),
        })
    }

    /// The program to attach.
    pub(super) fn program(
        &mut self,
        way: Way,
        link_type: LinkType,
    ) -> Result<BorrowedFd<'_>, SessionError> {
        if self.filter.takes_everything() {
            return Ok(self.object.program(way, link_type)?);
        }
        let key = (link_type, way);
        if !self.loaded.contains_key(&key) {
            let program = self.load(way, link_type)?;
            self.loaded.insert(key, program);
        }
        Ok(self.loaded[&key].as_fd())
    }

    fn load(&self, way: Way, link_type: LinkType) -> Result<OwnedFd, SessionError> {
        let epilogue = Epilogue {
            counting: Counting::ByInterface,
            index: program_index(direction(way), link(link_type)),
            way,
        };
        let program = Filter::compile(&self.filter, link_type)?.program(epilogue);
        let maps = FilterMaps {
            counters: self.object.counters(),
            programs: self.object.programs(),
            targets: None,
        };
        Ok(load(&program, &maps)?)
    }

    /// Takes another filter. What is attached stays as it is until it is exchanged for what
    /// [`Hooks::program`] gives from now on. If the filter cannot be loaded for any of `needed`,
    /// nothing changes.
    pub(super) fn set_filter(
        &mut self,
        filter: FilterSpec,
        needed: impl Iterator<Item = (LinkType, Way)>,
    ) -> Result<(), SessionError> {
        check(&filter)?;
        let filter_before = std::mem::replace(&mut self.filter, filter);
        let loaded_before = std::mem::take(&mut self.loaded);
        for (link_type, way) in needed {
            if let Err(error) = self.program(way, link_type).map(drop) {
                self.filter = filter_before;
                self.loaded = loaded_before;
                return Err(error);
            }
        }
        Ok(())
    }
}

fn check(filter: &FilterSpec) -> Result<(), SessionError> {
    Filter::compile(filter, LinkType::Ethernet)?;
    Ok(())
}
