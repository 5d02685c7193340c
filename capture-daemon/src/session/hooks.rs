//! The programs that a capture attaches: its capture programs, or filters that go on to them.

use std::{
    collections::HashMap,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use capture_common::program_index;

use super::SessionError;
use crate::kernel::object::{CaptureObject, direction_number, link};
use capture_filter::{Epilogue, Filter, FilterMaps, TargetMaps, load};
use capture_types::{Direction, FilterSpec, LinkType, TargetSet};

/// The programs of one capture by link type and way. A filter is generated and loaded when the first
/// interface needs it.
pub(super) struct Hooks {
    object: CaptureObject,
    filter: FilterSpec,
    targets: TargetMaps,
    loaded: HashMap<(LinkType, Direction), OwnedFd>,
}

impl Hooks {
    /// Checks that the filter can be compiled, for whatever link type. Which kinds of targets it
    /// looks for is taken from `targets`.
    pub(super) fn new(
        object: CaptureObject,
        filter: &FilterSpec,
        targets: &TargetSet,
    ) -> Result<Self, SessionError> {
        let targets = TargetMaps::create(targets)?;
        let filter = FilterSpec {
            targets: targets.kinds(),
            ..filter.clone()
        };
        check(&filter)?;
        Ok(Self {
            object,
            filter,
            targets,
            loaded: HashMap::new(),
        })
    }

    /// The program to attach.
    pub(super) fn program(
        &mut self,
        direction: Direction,
        link_type: LinkType,
    ) -> Result<BorrowedFd<'_>, SessionError> {
        if self.filter.takes_everything() {
            return Ok(self.object.program(direction, link_type)?);
        }
        let key = (link_type, direction);
        if !self.loaded.contains_key(&key) {
            let program = self.load(direction, link_type)?;
            self.loaded.insert(key, program);
        }
        Ok(self.loaded[&key].as_fd())
    }

    fn load(&self, direction: Direction, link_type: LinkType) -> Result<OwnedFd, SessionError> {
        let epilogue = Epilogue {
            index: program_index(direction_number(direction), link(link_type)),
            direction,
        };
        let program = Filter::compile(&self.filter, link_type)?.program(epilogue);
        let maps = FilterMaps {
            slots: self.object.slots(),
            counters: self.object.counters(),
            programs: self.object.programs(),
            targets: Some(&self.targets),
        };
        Ok(load(&program, &maps)?)
    }

    /// Takes another filter, the targets beside it as they are. What is attached stays until it is
    /// exchanged for what [`Hooks::program`] gives from now on. If the filter cannot be loaded for
    /// any of `needed`, nothing changes.
    pub(super) fn set_filter(
        &mut self,
        filter: FilterSpec,
        needed: &[(LinkType, Direction)],
    ) -> Result<(), SessionError> {
        let filter = FilterSpec {
            targets: self.targets.kinds(),
            ..filter
        };
        check(&filter)?;
        let before = std::mem::replace(&mut self.filter, filter);
        let loaded = std::mem::take(&mut self.loaded);
        self.load_all(needed).inspect_err(|_| {
            self.filter = before;
            self.loaded = loaded;
        })
    }

    /// Takes other targets. `true` if what is attached has to be exchanged, because there are other
    /// kinds of targets than before; else the running programs see them at once.
    pub(super) fn set_targets(
        &mut self,
        targets: &TargetSet,
        needed: &[(LinkType, Direction)],
    ) -> Result<bool, SessionError> {
        if targets.kinds() == self.targets.kinds() {
            self.targets.update(targets)?;
            return Ok(false);
        }
        let maps_before = std::mem::replace(&mut self.targets, TargetMaps::create(targets)?);
        self.set_filter(self.filter.clone(), needed)
            .inspect_err(|_| self.targets = maps_before)?;
        Ok(true)
    }

    fn load_all(&mut self, needed: &[(LinkType, Direction)]) -> Result<(), SessionError> {
        for (link_type, direction) in needed {
            self.program(*direction, *link_type)?;
        }
        Ok(())
    }
}

fn check(filter: &FilterSpec) -> Result<(), SessionError> {
    Filter::compile(filter, LinkType::Ethernet)?;
    Ok(())
}
