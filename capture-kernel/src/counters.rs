//! The kernel's half of the ledger, read from its per-CPU maps.

use capture_types::Ledger;
use std::collections::HashMap;

use aya::maps::{MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues};
use capture_common::{Counters, Slot, UNKNOWN_INTERFACE, slot_index};

/// The counters of every interface that a capture is attached to: in the slot for the interface's
/// index, or in the hash table if another interface uses that slot.
pub struct KernelCounters {
    slots: PerCpuArray<MapData, Slot>,
    /// The interfaces that have a slot.
    owners: HashMap<u32, u32>,
    map: PerCpuHashMap<MapData, u32, Counters>,
    cpus: usize,
}

/// How often the allocation of an entry is tried: the kernel keeps a small stock of entries and reports
/// ENOMEM until it has refilled the stock (`bpf_mem_alloc`, Linux 6.1).
const TRIES: usize = 100;

/// The counters' map could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CountersError {
    /// Every entry is in use.
    #[error(
        "interface index {ifindex} cannot be counted: the capture is on {} interfaces or more \
         already, narrow it with --interface",
        capture_common::INTERFACES - 1
    )]
    Full {
        /// The interface without an entry.
        ifindex: u32,
    },
    /// The kernel rejected the call.
    #[error("the counters of interface index {ifindex} could not be {doing}: {source}")]
    Map {
        /// The interface.
        ifindex: u32,
        /// The operation.
        doing: &'static str,
        /// Why it failed.
        source: MapError,
    },
}

impl KernelCounters {
    /// Takes over the maps and creates the entry that counts packets of unknown interfaces.
    pub fn new(
        slots: PerCpuArray<MapData, Slot>,
        map: PerCpuHashMap<MapData, u32, Counters>,
    ) -> Result<Self, CountersError> {
        let cpus = aya::util::nr_cpus()
            .map_err(|(_, error)| failed(UNKNOWN_INTERFACE, "created")(MapError::IoError(error)))?;
        let mut counters = Self {
            slots,
            owners: HashMap::new(),
            map,
            cpus,
        };
        counters.open_without_slot(UNKNOWN_INTERFACE)?;
        Ok(counters)
    }

    /// Starts an interface's counters at 0. Call this before a program is attached to the interface.
    pub fn open(&mut self, ifindex: u32) -> Result<(), CountersError> {
        if self.owners.contains_key(&slot_index(ifindex)) {
            return self.open_without_slot(ifindex);
        }
        let slot = Slot {
            ifindex,
            ..Slot::default()
        };
        self.set_slot(ifindex, slot)
            .map_err(failed(ifindex, "created"))?;
        self.owners.insert(slot_index(ifindex), ifindex);
        Ok(())
    }

    fn open_without_slot(&mut self, ifindex: u32) -> Result<(), CountersError> {
        let mut tries = TRIES;
        loop {
            let zero = self.on_each_cpu(Counters::default());
            let made = zero.and_then(|zero| self.map.insert(ifindex, zero, 0));
            let Err(source) = made else { return Ok(()) };
            match error_number(&source) {
                Some(libc::E2BIG) => return Err(CountersError::Full { ifindex }),
                Some(libc::ENOMEM) if tries > 1 => {
                    tries -= 1;
                    std::thread::yield_now();
                }
                _ => return Err(failed(ifindex, "created")(source)),
            }
        }
    }

    fn set_slot(&mut self, ifindex: u32, slot: Slot) -> Result<(), MapError> {
        let values = self.on_each_cpu(slot)?;
        self.slots.set(slot_index(ifindex), values, 0)
    }

    fn on_each_cpu<T: aya::Pod>(&self, value: T) -> Result<PerCpuValues<T>, MapError> {
        PerCpuValues::try_from(vec![value; self.cpus]).map_err(MapError::IoError)
    }

    fn has_slot(&self, ifindex: u32) -> bool {
        self.owners.get(&slot_index(ifindex)) == Some(&ifindex)
    }

    /// Sums an interface's counters over all CPUs.
    pub fn read(&self, ifindex: u32) -> Result<Counters, CountersError> {
        let sum = if self.has_slot(ifindex) {
            let slots = self.slots.get(&slot_index(ifindex), 0);
            slots.map(|slots| sum(slots.iter().map(|slot| &slot.counters)))
        } else {
            let counters = self.map.get(&ifindex, 0);
            counters.map(|counters| sum(counters.iter()))
        };
        sum.map_err(failed(ifindex, "read"))
    }

    /// Frees an interface's counters. Call this when nothing is attached to the interface any more.
    pub fn close(&mut self, ifindex: u32) -> Result<(), CountersError> {
        if self.has_slot(ifindex) {
            self.set_slot(ifindex, Slot::default())
                .map_err(failed(ifindex, "freed"))?;
            self.owners.remove(&slot_index(ifindex));
            return Ok(());
        }
        self.map.remove(&ifindex).map_err(failed(ifindex, "freed"))
    }
}

fn sum<'a>(cpus: impl Iterator<Item = &'a Counters>) -> Counters {
    cpus.fold(Counters::default(), |sum, cpu| Counters {
        filtered: sum.filtered + cpu.filtered,
        submitted: sum.submitted + cpu.submitted,
        ring_full: sum.ring_full + cpu.ring_full,
        unreadable: sum.unreadable + cpu.unreadable,
        duplicate: sum.duplicate + cpu.duplicate,
        truncated: sum.truncated + cpu.truncated,
        own: sum.own + cpu.own,
    })
}

fn error_number(error: &MapError) -> Option<i32> {
    match error {
        MapError::SyscallError(error) => error.io_error.raw_os_error(),
        _ => None,
    }
}

fn failed(ifindex: u32, doing: &'static str) -> impl Fn(MapError) -> CountersError {
    move |source| CountersError::Map {
        ifindex,
        doing,
        source,
    }
}

/// The kernel's half of a ledger; its counts of written and discarded packets are 0.
#[must_use]
pub fn ledger(counters: Counters) -> Ledger {
    let matched =
        counters.submitted + counters.ring_full + counters.unreadable + counters.duplicate;
    Ledger {
        seen: counters.filtered + matched,
        filtered: counters.filtered,
        matched,
        submitted: counters.submitted,
        ring_full: counters.ring_full,
        unreadable: counters.unreadable,
        duplicate: counters.duplicate,
        truncated: counters.truncated,
        ..Ledger::default()
    }
}

#[cfg(test)]
mod tests {
    use capture_common::{Counters, SLOTS_LENGTH};
    use capture_tests::gate;

    use crate::{
        features::Features,
        object::{CaptureObject, ObjectConfig},
        own_traffic::OwnEndpoints,
        rings::RingSizes,
    };

    #[test]
    fn thousands_of_interfaces_are_counted_at_once_and_their_entries_reused() {
        if !gate::may_load_bpf().unwrap() {
            return;
        }
        let features = Features::probe().unwrap();
        let config = ObjectConfig {
            snaplen: 96,
            rings: RingSizes::new(1 << 20),
            own: OwnEndpoints::default(),
            include_own: false,
            each_packet_once: false,
            log: false,
        };
        let (_object, maps) = CaptureObject::load(&config, &features).unwrap();
        let mut counters = maps.counters;
        for round in 0..5 {
            let interfaces = 1 + round * 7000..5000 + round * 7000;
            for ifindex in interfaces.clone() {
                counters.open(ifindex).unwrap();
            }
            let in_slots = interfaces.clone().filter(|one| counters.has_slot(*one));
            assert_eq!(in_slots.count(), SLOTS_LENGTH as usize);
            for ifindex in interfaces {
                assert_eq!(counters.read(ifindex).unwrap(), Counters::default());
                counters.close(ifindex).unwrap();
                assert!(
                    counters.read(ifindex).is_err(),
                    "interface {ifindex} is gone"
                );
            }
        }
    }
}
