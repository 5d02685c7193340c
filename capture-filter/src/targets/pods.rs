//! The addresses of a capture's pods, in maps that change while the capture runs.

use std::{collections::BTreeSet, net::IpAddr};

use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_HASH;
use capture_types::{
    PodAddresses,
    pod::{MAX_POD_ADDRESSES, MAX_PODS},
};
use ipnet::IpNet;

use super::{TargetError, create, failed, key, prefilter::Prefilter};
use crate::{
    kernel::map::RawMap,
    program::{MapRef, Side, TargetMap},
};

/// Maximum addresses of each IP version.
const MOST: u32 = (MAX_PODS * MAX_POD_ADDRESSES) as u32;

/// The maps of every kind of pods.
#[derive(Debug)]
pub(super) struct PodMaps([PodMap; 3]);

/// The addresses of one kind of pods.
#[derive(Debug)]
struct PodMap {
    side: Side,
    addresses: BTreeSet<IpNet>,
    prefilter: Prefilter,
    hosts4: RawMap,
    hosts6: RawMap,
}

impl PodMaps {
    /// Empty maps.
    pub(super) fn create() -> Result<Self, TargetError> {
        let [first, second, third] = Side::PODS;
        Ok(Self([
            PodMap::create(first)?,
            PodMap::create(second)?,
            PodMap::create(third)?,
        ]))
    }

    /// Replaces the addresses.
    pub(super) fn update(&mut self, new: &PodAddresses) -> Result<(), TargetError> {
        for map in &mut self.0 {
            map.update(match map.side {
                Side::PodsAtInterfaces => &new.at_interfaces,
                Side::PodsByAddress => &new.by_address,
                Side::Pods | Side::Included | Side::Excluded => &new.all,
            })?;
        }
        Ok(())
    }

    /// One of the maps, if pods have a map of this kind.
    pub(super) fn map(&self, side: Side, map: TargetMap) -> Option<&RawMap> {
        let one = self.0.iter().find(|one| one.side == side)?;
        match map {
            TargetMap::Prefilter => Some(one.prefilter.map()),
            TargetMap::Hosts4 => Some(&one.hosts4),
            TargetMap::Hosts6 => Some(&one.hosts6),
            TargetMap::Networks4 | TargetMap::Networks6 | TargetMap::Ports | TargetMap::Flags => {
                None
            }
        }
    }
}

impl PodMap {
    fn create(side: Side) -> Result<Self, TargetError> {
        let create = |map, key_size| {
            let map = MapRef::Target(side, map);
            create(map, BPF_MAP_TYPE_HASH, key_size, 1, MOST)
        };
        Ok(Self {
            side,
            addresses: BTreeSet::new(),
            prefilter: Prefilter::create(side, true)?,
            hosts4: create(TargetMap::Hosts4, 4)?,
            hosts6: create(TargetMap::Hosts6, 16)?,
        })
    }

    /// The bit of the prefilter is set before an address is inserted, and cleared after it is removed, so
    /// that an address that stays is always found.
    fn update(&mut self, new: &BTreeSet<IpAddr>) -> Result<(), TargetError> {
        let new: BTreeSet<IpNet> = new.iter().copied().map(IpNet::from).collect();
        if new == self.addresses {
            return Ok(());
        }
        self.prefilter.set(new.union(&self.addresses))?;
        for address in new.difference(&self.addresses) {
            let (map, key) = key(address);
            self.map_of(map)
                .set(&key, &[1])
                .map_err(|source| failed(MapRef::Target(self.side, map), "filled", source))?;
        }
        for address in self.addresses.difference(&new) {
            let (map, key) = key(address);
            match self.map_of(map).remove(&key) {
                Err(error) if error.raw_os_error() != Some(libc::ENOENT) => {
                    return Err(failed(MapRef::Target(self.side, map), "emptied", error));
                }
                _ => {}
            }
        }
        self.prefilter.set(new.iter())?;
        self.addresses = new;
        Ok(())
    }

    const fn map_of(&self, map: TargetMap) -> &RawMap {
        match map {
            TargetMap::Hosts6 => &self.hosts6,
            _ => &self.hosts4,
        }
    }
}

#[cfg(test)]
mod tests;
