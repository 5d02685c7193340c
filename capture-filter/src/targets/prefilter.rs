//! Rejects most packets before the hash lookup, which is the most expensive part: a bitmap indexed by a
//! multiplicative hash of the address (a Bloom filter with one hash function).

use std::collections::BTreeMap;

use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_ARRAY;
use ipnet::IpNet;

use super::{TargetError, create, failed};
use crate::{
    builder::{Builder, Label},
    insn::Alu,
    kernel::map::RawMap,
    program::{MapRef, Side, TargetMap},
};

/// Bits of an index: 32 KiB in all, so that with 10,000 addresses one in 26 of their neighbours
/// passes.
const INDEX_BITS: u32 = 18;
/// 2^32 divided by the golden ratio: neighbouring numbers are hashed far apart (Knuth, TAOCP 6.4).
const FACTOR: u32 = 0x9e37_79b9;

/// The bits of the single addresses among the targets, by the last four bytes of each.
#[derive(Debug)]
pub(super) struct Prefilter {
    name: MapRef,
    map: RawMap,
    words: BTreeMap<u32, u64>,
}

impl Prefilter {
    /// An empty prefilter, which rejects every address; `used` if a program reads it.
    pub(super) fn create(side: Side, used: bool) -> Result<Self, TargetError> {
        let name = MapRef::Target(side, TargetMap::Prefilter);
        let words = if used { 1 << (INDEX_BITS - 6) } else { 1 };
        Ok(Self {
            name,
            map: create(name, BPF_MAP_TYPE_ARRAY, 4, 8, words)?,
            words: BTreeMap::new(),
        })
    }

    pub(super) const fn map(&self) -> &RawMap {
        &self.map
    }

    /// Replaces the addresses that pass; others pass only if they share a bit with one of them. The bit of
    /// an address that stays is never cleared in between.
    pub(super) fn set<'a>(
        &mut self,
        hosts: impl Iterator<Item = &'a IpNet>,
    ) -> Result<(), TargetError> {
        // Words with none of the new bits have to become 0.
        let mut words: BTreeMap<u32, u64> = self.words.keys().map(|word| (*word, 0)).collect();
        for bit in hosts.filter_map(bit) {
            *words.entry(bit / 64).or_default() |= 1 << (bit % 64);
        }
        for (word, bits) in words {
            if self.words.get(&word) == Some(&bits) {
                continue;
            }
            self.map
                .set(&word.to_ne_bytes(), &bits.to_ne_bytes())
                .map_err(|source| failed(self.name, "filled", source))?;
            self.words.insert(word, bits);
        }
        self.words.retain(|_, bits| *bits != 0);
        Ok(())
    }
}

/// The bit of a single address; prefixes have none.
fn bit(host: &IpNet) -> Option<u32> {
    let address = match host {
        IpNet::V4(net) if net.prefix_len() == 32 => net.addr().to_bits(),
        IpNet::V6(net) if net.prefix_len() == 128 => net.addr().to_bits() as u32,
        _ => return None,
    };
    Some(address.wrapping_mul(FACTOR) >> (32 - INDEX_BITS))
}

/// Continues if an address that ends in A may be a target, else jumps to `none`.
pub(super) fn pass(builder: &mut Builder, side: Side, none: Label) {
    let perhaps = builder.label();
    builder.alu(Alu::Mul, FACTOR);
    builder.alu(Alu::Rsh, 32 - INDEX_BITS);
    builder.bit(MapRef::Target(side, TargetMap::Prefilter), perhaps);
    builder.jump(none);
    builder.bind(perhaps);
}
