//! Targets: sets of addresses and ports besides the expression, in maps that change while the
//! capture runs.
//!
//! A host target means the same as `host` and `net` in an expression, a port target the same as `port`
//! (TCP, UDP and SCTP; not fragments past the first), also after up to two VLAN tags in the bytes or one
//! in the metadata. Unlike `port`, port targets are also found after IPv6 extension headers. A packet
//! matches if it has one of the hosts and one of the ports, and none of the excluded hosts and ports.

use capture_types::{MAX_TARGETS, PodAddresses, TargetKinds, TargetSet};
use std::{collections::BTreeSet, io, os::fd::AsFd as _, os::fd::BorrowedFd};

use aya_obj::generated::bpf_map_type::{
    self, BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LPM_TRIE,
};
use ipnet::IpNet;

use super::{
    interpret::{Fault, Maps},
    program::{MapRef, Side, TargetMap},
};
use crate::kernel::map::{MapSpec, RawMap};

mod lookup;
mod pods;
mod prefilter;

pub(super) use self::lookup::{exclusion, inclusion, pods};
use self::{pods::PodMaps, prefilter::Prefilter};

/// Bits of the flags: which prefix tries are not empty.
const HAS_NETWORKS4: u32 = 1;
const HAS_NETWORKS6: u32 = 2;
const BPF_F_NO_PREALLOC: u32 = 1;

/// The targets' maps.
#[derive(Debug)]
pub struct TargetMaps {
    kinds: TargetKinds,
    included: SideMaps,
    excluded: SideMaps,
    /// `None` for a capture without pods.
    pods: Option<PodMaps>,
}

/// The maps of one side's targets.
#[derive(Debug)]
struct SideMaps {
    side: Side,
    hosts: BTreeSet<IpNet>,
    ports: BTreeSet<u16>,
    prefilter: Prefilter,
    hosts4: RawMap,
    hosts6: RawMap,
    networks4: RawMap,
    networks6: RawMap,
    bitmap: RawMap,
    flags: RawMap,
}

/// Targets could not be put into their maps.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The kernel rejected an operation.
    #[error("the targets' map {} could not be {doing}: {source}", .map.name())]
    Map {
        /// The map.
        map: MapRef,
        /// The operation.
        doing: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
    /// There are too many targets.
    #[error("host {0}: there are {MAX_TARGETS} targets of its kind already, which is the limit")]
    Full(IpNet),
    /// Hosts or ports where the filter has none, or the reverse.
    #[error(
        "the running filter {} targets for {what}, the new set {}; start a new capture",
        has(*.running), has(!*.running)
    )]
    Kinds {
        /// Hosts or ports.
        what: &'static str,
        /// Whether the filter has them.
        running: bool,
    },
}

const fn has(has: bool) -> &'static str {
    if has { "has" } else { "has no" }
}

impl TargetMaps {
    /// Creates the maps. The kinds of targets cannot change afterwards. Needs CAP_BPF.
    ///
    /// # Errors
    ///
    /// The kernel's error, or a set that is too large.
    pub fn create(set: &TargetSet) -> Result<Self, TargetError> {
        let kinds = set.kinds();
        let mut maps = Self {
            kinds,
            included: SideMaps::create(Side::Included, kinds.hosts)?,
            excluded: SideMaps::create(Side::Excluded, kinds.not_hosts)?,
            pods: None,
        };
        maps.update(set)?;
        Ok(maps)
    }

    /// Creates empty maps of pods' addresses as well.
    ///
    /// # Errors
    ///
    /// The kernel's error.
    pub fn with_pods(mut self) -> Result<Self, TargetError> {
        self.pods = Some(PodMaps::create()?);
        Ok(self)
    }

    /// Takes over the maps of pods' addresses from maps that are being replaced.
    #[must_use]
    pub fn with_pods_of(mut self, other: &mut Self) -> Self {
        self.pods = other.pods.take();
        self
    }

    /// Replaces the addresses of pods. The new ones are inserted before the old ones are removed.
    ///
    /// # Errors
    ///
    /// The kernel's error.
    pub fn set_pods(&mut self, addresses: &PodAddresses) -> Result<(), TargetError> {
        match &mut self.pods {
            Some(pods) => pods.update(addresses),
            None => Ok(()),
        }
    }

    /// The kinds of targets that the filter looks up.
    #[must_use]
    pub const fn kinds(&self) -> TargetKinds {
        self.kinds
    }

    /// Replaces the targets. The new ones are inserted before the old ones are removed, so that a packet of
    /// a target that stays is never missed.
    ///
    /// # Errors
    ///
    /// The kernel's error, or a set that is too large or of other kinds. After an error some of the
    /// new targets may be present besides all of the old ones.
    pub fn update(&mut self, set: &TargetSet) -> Result<(), TargetError> {
        let new = set.kinds();
        for (what, running, new) in [
            ("hosts", self.kinds.hosts, new.hosts),
            ("ports", self.kinds.ports, new.ports),
            ("excluded hosts", self.kinds.not_hosts, new.not_hosts),
            ("excluded ports", self.kinds.not_ports, new.not_ports),
        ] {
            if running != new {
                return Err(TargetError::Kinds { what, running });
            }
        }
        self.included
            .update(set.hosts.as_deref(), set.ports.as_deref())?;
        self.excluded
            .update(set.not_hosts.as_deref(), set.not_ports.as_deref())
    }

    fn map(&self, side: Side, map: TargetMap) -> Option<&RawMap> {
        match side {
            Side::Included => Some(self.included.map(map)),
            Side::Excluded => Some(self.excluded.map(map)),
            Side::PodsAtInterfaces | Side::PodsByAddress | Side::Pods => {
                self.pods.as_ref()?.map(side, map)
            }
        }
    }

    /// The map's descriptor; `None` if the map does not belong to the targets.
    pub(super) fn descriptor(&self, map: MapRef) -> Option<BorrowedFd<'_>> {
        match map {
            MapRef::Slots | MapRef::Counters | MapRef::Programs => None,
            MapRef::Target(side, map) => Some(self.map(side, map)?.as_fd()),
        }
    }
}

impl SideMaps {
    /// Empty maps; `hosts` if there are hosts to look up.
    fn create(side: Side, hosts: bool) -> Result<Self, TargetError> {
        // A map that no program reads can be minimal.
        let most = if hosts { MAX_TARGETS } else { 1 };
        let create = |map, kind, key_size, value_size, max_entries| {
            let map = MapRef::Target(side, map);
            create(map, kind, key_size, value_size, max_entries)
        };
        Ok(Self {
            side,
            hosts: BTreeSet::new(),
            ports: BTreeSet::new(),
            prefilter: Prefilter::create(side, hosts)?,
            hosts4: create(TargetMap::Hosts4, BPF_MAP_TYPE_HASH, 4, 1, most)?,
            hosts6: create(TargetMap::Hosts6, BPF_MAP_TYPE_HASH, 16, 1, most)?,
            networks4: create(TargetMap::Networks4, BPF_MAP_TYPE_LPM_TRIE, 8, 1, most)?,
            networks6: create(TargetMap::Networks6, BPF_MAP_TYPE_LPM_TRIE, 20, 1, most)?,
            bitmap: create(TargetMap::Ports, BPF_MAP_TYPE_ARRAY, 4, 8, 1024)?,
            flags: create(TargetMap::Flags, BPF_MAP_TYPE_ARRAY, 4, 4, 1)?,
        })
    }

    fn update(
        &mut self,
        hosts: Option<&[IpNet]>,
        ports: Option<&[u16]>,
    ) -> Result<(), TargetError> {
        let hosts = hosts.unwrap_or_default().iter().map(IpNet::trunc).collect();
        self.update_hosts(hosts)?;
        self.update_ports(ports.unwrap_or_default().iter().copied().collect())
    }

    fn update_hosts(&mut self, hosts: BTreeSet<IpNet>) -> Result<(), TargetError> {
        self.set_flags(prefix_flags(&hosts) | prefix_flags(&self.hosts))?;
        self.prefilter.set(hosts.union(&self.hosts))?;
        for host in hosts.difference(&self.hosts) {
            let (map, key) = key(host);
            self.map(map)
                .set(&key, &[1])
                .map_err(|source| match source.raw_os_error() {
                    Some(libc::E2BIG | libc::ENOSPC) => TargetError::Full(*host),
                    _ => self.failed(map, "filled", source),
                })?;
        }
        for host in self.hosts.difference(&hosts) {
            let (map, key) = key(host);
            match self.map(map).remove(&key) {
                Err(error) if error.raw_os_error() != Some(libc::ENOENT) => {
                    return Err(self.failed(map, "emptied", error));
                }
                _ => {}
            }
        }
        self.prefilter.set(hosts.iter())?;
        self.set_flags(prefix_flags(&hosts))?;
        self.hosts = hosts;
        Ok(())
    }

    fn update_ports(&mut self, ports: BTreeSet<u16>) -> Result<(), TargetError> {
        let changed: BTreeSet<u16> = ports
            .symmetric_difference(&self.ports)
            .map(|port| port / 64)
            .collect();
        for word in changed {
            let bits = ports
                .range(word * 64..=word * 64 + 63)
                .fold(0_u64, |bits, port| bits | 1 << (port % 64));
            self.bitmap
                .set(&u32::from(word).to_ne_bytes(), &bits.to_ne_bytes())
                .map_err(|source| self.failed(TargetMap::Ports, "filled", source))?;
        }
        self.ports = ports;
        Ok(())
    }

    fn set_flags(&self, flags: u32) -> Result<(), TargetError> {
        self.flags
            .set(&0_u32.to_ne_bytes(), &flags.to_ne_bytes())
            .map_err(|source| self.failed(TargetMap::Flags, "filled", source))
    }

    const fn failed(&self, map: TargetMap, doing: &'static str, source: io::Error) -> TargetError {
        failed(MapRef::Target(self.side, map), doing, source)
    }

    const fn map(&self, map: TargetMap) -> &RawMap {
        match map {
            TargetMap::Prefilter => self.prefilter.map(),
            TargetMap::Hosts4 => &self.hosts4,
            TargetMap::Hosts6 => &self.hosts6,
            TargetMap::Networks4 => &self.networks4,
            TargetMap::Networks6 => &self.networks6,
            TargetMap::Ports => &self.bitmap,
            TargetMap::Flags => &self.flags,
        }
    }
}

impl Maps for TargetMaps {
    fn lookup(&self, map: MapRef, key: &[u8; 20]) -> Result<Option<u64>, Fault> {
        let MapRef::Target(side, target) = map else {
            return Err(Fault::Map(map));
        };
        let map_of = self.map(side, target).ok_or(Fault::Map(map))?;
        match map_of.get(&key[..map_of.key_size()]) {
            Ok(value) => {
                let mut bytes = [0; 8];
                bytes[..value.len()].copy_from_slice(&value);
                Ok(Some(u64::from_le_bytes(bytes)))
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(_) => Err(Fault::Map(map)),
        }
    }
}

fn create(
    map: MapRef,
    kind: bpf_map_type,
    key_size: usize,
    value_size: usize,
    max_entries: u32,
) -> Result<RawMap, TargetError> {
    let flags = if matches!(kind, BPF_MAP_TYPE_ARRAY) {
        0
    } else {
        BPF_F_NO_PREALLOC
    };
    RawMap::create(MapSpec {
        name: map.name(),
        kind,
        key_size,
        value_size,
        max_entries,
        flags,
    })
    .map_err(|source| failed(map, "made", source))
}

const fn failed(map: MapRef, doing: &'static str, source: io::Error) -> TargetError {
    TargetError::Map { map, doing, source }
}

/// Single addresses go into hash maps, whose lookup time does not depend on their size.
fn key(host: &IpNet) -> (TargetMap, Vec<u8>) {
    let prefix = u32::from(host.prefix_len()).to_ne_bytes();
    let with_prefix = |address: &[u8]| [&prefix[..], address].concat();
    match host {
        IpNet::V4(net) if net.prefix_len() == 32 => (TargetMap::Hosts4, net.addr().octets().into()),
        IpNet::V6(net) if net.prefix_len() == 128 => {
            (TargetMap::Hosts6, net.addr().octets().into())
        }
        IpNet::V4(net) => (TargetMap::Networks4, with_prefix(&net.addr().octets())),
        IpNet::V6(net) => (TargetMap::Networks6, with_prefix(&net.addr().octets())),
    }
}

fn prefix_flags(hosts: &BTreeSet<IpNet>) -> u32 {
    hosts.iter().fold(0, |flags, host| match key(host).0 {
        TargetMap::Networks4 => flags | HAS_NETWORKS4,
        TargetMap::Networks6 => flags | HAS_NETWORKS6,
        _ => flags,
    })
}

#[cfg(test)]
mod tests;
