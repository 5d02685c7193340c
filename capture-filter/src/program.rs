//! A generated program: instructions, the maps they name, and the origin of each.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use super::insn::{BpfInsn, Reg};
use capture_types::Direction;

/// A map that a generated program uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MapRef {
    /// `capture_common::Slot`, per CPU: the counters of the interface that has the slot.
    Slots,
    /// `capture_common::Counters`, per CPU, by interface: the counters of interfaces without a
    /// slot.
    Counters,
    /// The capture programs, by direction and link type.
    Programs,
    /// One of the targets' maps.
    Target(Side, TargetMap),
}

/// The purpose of an address lookup: targets that select packets, targets that exclude packets, and the
/// pods of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Only packets of these targets match.
    Included,
    /// Packets of these targets do not match.
    Excluded,
    /// Pods captured at their interfaces.
    PodsAtInterfaces,
    /// Pods that are captured by address.
    PodsByAddress,
    /// All pods.
    Pods,
}

/// A map of one side. Pods have single addresses only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetMap {
    /// A bitmap over hashes of the single addresses, which rejects most others before a hash lookup.
    Prefilter,
    /// Single IPv4 addresses.
    Hosts4,
    /// Single IPv6 addresses.
    Hosts6,
    /// IPv4 prefixes.
    Networks4,
    /// IPv6 prefixes.
    Networks6,
    /// The port bitmap.
    Ports,
    /// Flags: which prefix tries are not empty; see `targets`.
    Flags,
}

impl TargetMap {
    /// All maps.
    pub const ALL: [Self; 7] = [
        Self::Prefilter,
        Self::Hosts4,
        Self::Hosts6,
        Self::Networks4,
        Self::Networks6,
        Self::Ports,
        Self::Flags,
    ];

    /// The maps of single addresses.
    pub const OF_PODS: [Self; 3] = [Self::Prefilter, Self::Hosts4, Self::Hosts6];
}

impl Side {
    /// The sides of pods.
    pub const PODS: [Self; 3] = [Self::PodsAtInterfaces, Self::PodsByAddress, Self::Pods];
}

impl MapRef {
    /// All possible maps.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let target = |side| TargetMap::ALL.map(|map| Self::Target(side, map));
        [Self::Slots, Self::Counters, Self::Programs]
            .into_iter()
            .chain(target(Side::Included))
            .chain(target(Side::Excluded))
            .chain(
                Side::PODS
                    .into_iter()
                    .flat_map(|side| TargetMap::OF_PODS.map(|map| Self::Target(side, map))),
            )
    }

    /// The name, as `explain` prints it; at most 15 bytes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slots => "SLOTS",
            Self::Counters => "COUNTERS",
            Self::Programs => "PROGRAMS",
            Self::Target(Side::Included, map) => match map {
                TargetMap::Prefilter => "PREFILTER",
                TargetMap::Hosts4 => "HOSTS4",
                TargetMap::Hosts6 => "HOSTS6",
                TargetMap::Networks4 => "NETWORKS4",
                TargetMap::Networks6 => "NETWORKS6",
                TargetMap::Ports => "PORTS",
                TargetMap::Flags => "TARGET_FLAGS",
            },
            Self::Target(Side::Excluded, map) => match map {
                TargetMap::Prefilter => "NOT_PREFILTER",
                TargetMap::Hosts4 => "NOT_HOSTS4",
                TargetMap::Hosts6 => "NOT_HOSTS6",
                TargetMap::Networks4 => "NOT_NETWORKS4",
                TargetMap::Networks6 => "NOT_NETWORKS6",
                TargetMap::Ports => "NOT_PORTS",
                TargetMap::Flags => "NOT_FLAGS",
            },
            Self::Target(Side::PodsAtInterfaces, map) => match map {
                TargetMap::Hosts4 => "OWN_PODS4",
                TargetMap::Hosts6 => "OWN_PODS6",
                _ => "OWN_PODS",
            },
            Self::Target(Side::PodsByAddress, map) => match map {
                TargetMap::Hosts4 => "ADDRESS_PODS4",
                TargetMap::Hosts6 => "ADDRESS_PODS6",
                _ => "ADDRESS_PODS",
            },
            Self::Target(Side::Pods, map) => match map {
                TargetMap::Hosts4 => "PODS4",
                TargetMap::Hosts6 => "PODS6",
                _ => "PODS",
            },
        }
    }
}

/// What a program does after the filter's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epilogue {
    /// The entry of the program array to call on a match.
    pub index: u32,
    /// The direction it is attached to: at egress, `outbound` holds for every packet.
    pub direction: Direction,
}

/// Which part of the generated program an instruction belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Set-up.
    Start,
    /// A stage of the filter: its number, and the operation in it.
    Stage(u16, u32),
    /// A load outside the linear part of the packet: no match, or continue on the slow path.
    Short,
    /// Counting a packet that does not match.
    NoMatch,
    /// Passing on a packet that matches.
    Match,
    /// Counting a packet of an interface that has no slot.
    NoSlot,
    /// A branch island: an intermediate target of jumps too long for 16 bits.
    Island,
}

/// The location of a packet's outer VLAN tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagPlace {
    /// It has none.
    None,
    /// In the metadata (`skb->vlan_tci`).
    Metadata,
    /// In the bytes only.
    Bytes,
}

/// The origin of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The variant, by the location of the outer VLAN tag.
    pub tag: TagPlace,
    /// The slow path, with a helper call for each load.
    pub slow: bool,
    /// The part.
    pub part: Part,
}

/// A program whose maps are names, not yet file descriptors.
#[derive(Debug, Clone)]
pub struct Program {
    pub(super) insns: Vec<BpfInsn>,
    pub(super) origins: Vec<Origin>,
    pub(super) maps: Vec<(usize, MapRef)>,
}

/// Source register of a 64-bit load whose constant is a map's file descriptor.
const MAP_FD: Reg = Reg(super::insn::PSEUDO_MAP_FD);

impl Program {
    /// The instructions; map constants are 0.
    #[must_use]
    pub fn instructions(&self) -> &[BpfInsn] {
        &self.insns
    }

    /// The origin of each instruction.
    #[must_use]
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// The map that the instruction at `index` names.
    #[must_use]
    pub fn map_at(&self, index: usize) -> Option<MapRef> {
        let found = self.maps.binary_search_by_key(&index, |(at, _)| *at).ok()?;
        Some(self.maps[found].1)
    }

    /// Every map that the program uses, each once.
    #[must_use]
    pub fn maps(&self) -> Vec<MapRef> {
        let mut maps = Vec::new();
        for (_, map) in &self.maps {
            if !maps.contains(map) {
                maps.push(*map);
            }
        }
        maps
    }

    /// The instructions with the maps' file descriptors, ready for the kernel.
    ///
    /// # Errors
    ///
    /// The first map that is missing from `descriptors`.
    pub fn link<'fd>(
        &self,
        descriptors: impl Fn(MapRef) -> Option<BorrowedFd<'fd>>,
    ) -> Result<Vec<BpfInsn>, MapRef> {
        let mut insns = self.insns.clone();
        for (index, map) in &self.maps {
            let descriptor = descriptors(*map).ok_or(*map)?.as_raw_fd();
            let insn = &mut insns[*index];
            *insn = BpfInsn::new(insn.code, insn.dst(), MAP_FD, 0, descriptor);
        }
        Ok(insns)
    }
}
