//! The kernel's half of the ledger, read out of its per-CPU map.

use aya::maps::{MapData, MapError, PerCpuHashMap, PerCpuValues};
use capture_common::{Counters, UNKNOWN_INTERFACE};

/// The counters of every interface that a capture is attached to.
pub struct KernelCounters {
    map: PerCpuHashMap<MapData, u32, Counters>,
    cpus: usize,
}

/// The counters' map could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CountersError {
    /// Every entry is taken.
    #[error(
        "interface index {ifindex} cannot be counted: the capture is on {} interfaces already, \
         narrow it with --interface",
        capture_common::INTERFACES - 1
    )]
    Full {
        /// The interface that found no entry.
        ifindex: u32,
    },
    /// The kernel refused.
    #[error("the counters of interface index {ifindex} could not be {doing}: {source}")]
    Map {
        /// The interface.
        ifindex: u32,
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: MapError,
    },
}

impl KernelCounters {
    /// Takes the map over and makes the entry for packets of interfaces that have none, so that they
    /// are not lost.
    pub(crate) fn new(map: PerCpuHashMap<MapData, u32, Counters>) -> Result<Self, CountersError> {
        let cpus = aya::util::nr_cpus().map_err(|(_, error)| CountersError::Map {
            ifindex: UNKNOWN_INTERFACE,
            doing: "made",
            source: MapError::IoError(error),
        })?;
        let mut counters = Self { map, cpus };
        counters.open(UNKNOWN_INTERFACE)?;
        Ok(counters)
    }

    /// Starts an interface's counters at 0; to be called before the programs are attached to it.
    pub fn open(&mut self, ifindex: u32) -> Result<(), CountersError> {
        let zero =
            PerCpuValues::try_from(vec![Counters::default(); self.cpus]).map_err(|error| {
                CountersError::Map {
                    ifindex,
                    doing: "made",
                    source: MapError::IoError(error),
                }
            })?;
        self.map
            .insert(ifindex, zero, 0)
            .map_err(|source| match source {
                MapError::SyscallError(ref error)
                    if error.io_error.raw_os_error() == Some(libc::E2BIG) =>
                {
                    CountersError::Full { ifindex }
                }
                source => CountersError::Map {
                    ifindex,
                    doing: "made",
                    source,
                },
            })
    }

    /// Sums an interface's counters over all CPUs.
    pub fn read(&self, ifindex: u32) -> Result<Counters, CountersError> {
        let values = self
            .map
            .get(&ifindex, 0)
            .map_err(|source| CountersError::Map {
                ifindex,
                doing: "read",
                source,
            })?;
        Ok(values
            .iter()
            .fold(Counters::default(), |sum, cpu| Counters {
                filtered: sum.filtered + cpu.filtered,
                submitted: sum.submitted + cpu.submitted,
                ring_full: sum.ring_full + cpu.ring_full,
                unreadable: sum.unreadable + cpu.unreadable,
                truncated: sum.truncated + cpu.truncated,
            }))
    }

    /// Frees an interface's entry; to be called once nothing is attached to it.
    pub fn close(&mut self, ifindex: u32) -> Result<(), CountersError> {
        self.map
            .remove(&ifindex)
            .map_err(|source| CountersError::Map {
                ifindex,
                doing: "freed",
                source,
            })
    }
}
