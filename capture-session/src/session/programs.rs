//! The programs that a capture attaches: its capture programs, or filter programs that tail-call them.

use std::{
    collections::HashMap,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use capture_common::program_index;

use super::error::SessionError;
use capture_filter::{CompiledFilter, Epilogue, FilterMaps, TargetMaps, load};
use capture_kernel::object::{CaptureObject, direction_number, link};
use capture_types::{Direction, LinkType, PodAddresses, PodStage, TargetKinds, TargetSet};

/// The programs of one capture by their kinds. A filter program is generated and loaded when
/// the first interface needs it.
pub(super) struct Programs {
    object: CaptureObject,
    filter: CompiledFilter,
    targets: TargetMaps,
    loaded: HashMap<ProgramKind, OwnedFd>,
}

/// The properties in which the programs of a capture differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ProgramKind {
    /// The link type of the interface.
    pub(super) link_type: LinkType,
    /// The direction of the hook.
    pub(super) direction: Direction,
    /// What the addresses of pods decide.
    pub(super) pods: Option<PodStage>,
}

impl Programs {
    /// The filter looks up the kinds of targets in `targets`; with `with_pods` it may look up pods as
    /// well.
    pub(super) fn new(
        object: CaptureObject,
        filter: CompiledFilter,
        targets: &TargetSet,
        with_pods: bool,
    ) -> Result<Self, SessionError> {
        let mut maps = TargetMaps::create(targets)?;
        if with_pods {
            maps = maps.with_pods()?;
        }
        Ok(Self {
            object,
            filter,
            targets: maps,
            loaded: HashMap::new(),
        })
    }

    /// The program to attach.
    pub(super) fn program(&mut self, kind: ProgramKind) -> Result<BorrowedFd<'_>, SessionError> {
        if self.targets_of(kind) == TargetKinds::default() && self.filter.is_empty() {
            return Ok(self.object.program(kind.direction, kind.link_type)?);
        }
        if !self.loaded.contains_key(&kind) {
            let program = self.load(kind)?;
            self.loaded.insert(kind, program);
        }
        Ok(self.loaded[&kind].as_fd())
    }

    const fn targets_of(&self, kind: ProgramKind) -> TargetKinds {
        TargetKinds {
            pods: kind.pods,
            ..self.targets.kinds()
        }
    }

    fn load(&self, kind: ProgramKind) -> Result<OwnedFd, SessionError> {
        let ProgramKind {
            link_type,
            direction,
            ..
        } = kind;
        let epilogue = Epilogue {
            index: program_index(direction_number(direction), link(link_type)),
            direction,
        };
        let filter = self.filter.filter(link_type, self.targets_of(kind))?;
        let program = filter.program(epilogue);
        let maps = FilterMaps {
            slots: self.object.slots(),
            counters: self.object.counters(),
            programs: self.object.programs(),
            targets: Some(&self.targets),
        };
        Ok(load(&program, &maps)?)
    }

    /// Replaces the filter and keeps the targets. Attached programs stay until they are replaced by the
    /// programs that [`Programs::program`] returns from now on. Nothing changes if the filter cannot be
    /// loaded for any of `needed`.
    pub(super) fn set_filter(
        &mut self,
        filter: CompiledFilter,
        needed: &[ProgramKind],
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
        needed: &[ProgramKind],
    ) -> Result<bool, SessionError> {
        if targets.kinds() == self.targets.kinds() {
            self.targets.update(targets)?;
            return Ok(false);
        }
        let maps = TargetMaps::create(targets)?.with_pods_of(&mut self.targets);
        let before = std::mem::replace(&mut self.targets, maps);
        if let Err(error) = self.set_filter(self.filter.clone(), needed) {
            self.targets = before.with_pods_of(&mut self.targets);
            return Err(error);
        }
        Ok(true)
    }

    /// Replaces the addresses of pods, which running programs see at once.
    pub(super) fn set_pods(&mut self, addresses: &PodAddresses) -> Result<(), SessionError> {
        Ok(self.targets.set_pods(addresses)?)
    }

    fn load_all(&mut self, needed: &[ProgramKind]) -> Result<(), SessionError> {
        for kind in needed {
            self.program(*kind)?;
        }
        Ok(())
    }
}
