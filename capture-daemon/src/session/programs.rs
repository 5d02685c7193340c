//! The programs that a capture attaches: its capture programs, or filter programs that tail-call them.

use std::{
    collections::HashMap,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use capture_common::program_index;

use super::error::SessionError;
use crate::kernel::object::{CaptureObject, direction_number, link};
use capture_filter::{CompiledFilter, Epilogue, FilterMaps, TargetMaps, load};
use capture_types::{Direction, LinkType, TargetKinds, TargetSet};

/// The programs of one capture by link type and direction. A filter program is generated and loaded when
/// the first interface needs it.
pub(super) struct Programs {
    object: CaptureObject,
    filter: CompiledFilter,
    targets: TargetMaps,
    loaded: HashMap<(LinkType, Direction), OwnedFd>,
}

impl Programs {
    /// The kinds of targets that the filter looks up are those of `targets`.
    pub(super) fn new(
        object: CaptureObject,
        filter: CompiledFilter,
        targets: &TargetSet,
    ) -> Result<Self, SessionError> {
        Ok(Self {
            object,
            filter,
            targets: TargetMaps::create(targets)?,
            loaded: HashMap::new(),
        })
    }

    /// The program to attach.
    pub(super) fn program(
        &mut self,
        direction: Direction,
        link_type: LinkType,
    ) -> Result<BorrowedFd<'_>, SessionError> {
        let kinds = self.targets.kinds();
        if kinds == TargetKinds::default() && self.filter.is_empty() {
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
        let filter = self.filter.filter(link_type, self.targets.kinds())?;
        let program = filter.program(epilogue);
        let maps = FilterMaps {
            slots: self.object.slots(),
            counters: self.object.counters(),
            programs: self.object.programs(),
            targets: Some(&self.targets),
        };
        Ok(load(&program, &maps)?)
    }

    /// Replaces the filter and keeps the targets. Attached programs stay until they are replaced by what
    /// [`Programs::program`] returns from now on. Nothing changes if the filter cannot be loaded for any
    /// of `needed`.
    pub(super) fn set_filter(
        &mut self,
        filter: CompiledFilter,
        needed: &[(LinkType, Direction)],
    ) -> Result<(), SessionError> {
        let before = std::mem::replace(&mut self.filter, filter);
        let loaded = std::mem::take(&mut self.loaded);
        self.load_all(needed).inspect_err(|_| {
            self.filter = before;
            self.loaded = loaded;
        })
    }

    /// Replaces the targets. `true` if the attached programs have to be replaced, because the kinds of
    /// targets changed; otherwise the running programs see the new targets at once.
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
