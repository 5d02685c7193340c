//! The ring buffers of a capture: a small front ring, and a large spill ring.
//!
//! A ring buffer is written and read from end to end, so a large one is never in the CPU's caches, and
//! with pages of 4 KiB its addresses are not in the TLB either. Cache and TLB misses cost more per packet
//! than the copy. Packets therefore go through the small ring as long as the reader keeps up, and into
//! the large one when it does not. The records contain their order ([`SPILL_HEAD`]).
//!
//! [`SPILL_HEAD`]: capture_common::SPILL_HEAD

use std::os::fd::OwnedFd;

/// Bytes of the front ring: 512 pages, which fit the second level TLB and mostly the second level cache
/// of current machines. On two otherwise idle cores of an AMD EPYC (1 MiB of second level cache) a ring
/// of 1 MiB lost 0.3 % of 400,000 packets of 1,514 bytes per second, one of 2 MiB next to none. A ring of
/// 2 MiB added 190 to 195 ns to the path of each packet, one of 4 MiB 244 to 256, one of 64 MiB 284 to 303.
const FRONT: u32 = 2 << 20;

/// The sizes of a capture's rings in bytes, each a power of two and a multiple of the page size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingSizes {
    /// The front ring.
    pub front: u32,
    /// The spill ring; `None` if the requested size is no larger than a front ring.
    pub spill: Option<u32>,
}

impl RingSizes {
    /// Rings of at least `ring_size` bytes, which is a power of two and a multiple of the page size.
    #[must_use]
    pub const fn new(ring_size: u32) -> Self {
        if ring_size <= FRONT {
            Self {
                front: ring_size,
                spill: None,
            }
        } else {
            Self {
                front: FRONT,
                spill: Some(ring_size),
            }
        }
    }

    /// Bytes of both rings.
    #[must_use]
    pub const fn total(self) -> u64 {
        let spill = match self.spill {
            Some(size) => size as u64,
            None => 0,
        };
        self.front as u64 + spill
    }

    /// The reader is woken once per this many bytes of the front ring: often enough that the ring is far
    /// from full by then, seldom enough that the cost of a wake-up, several microseconds, does not matter.
    #[must_use]
    pub const fn wakeup_distance(self) -> u32 {
        self.front / 4
    }
}

/// A ring buffer's map.
#[derive(Debug)]
pub struct RingMap {
    /// The map.
    pub descriptor: OwnedFd,
    /// Its capacity in bytes, a power of two and a multiple of the page size.
    pub size: u32,
}

/// The maps of a capture's ring buffers.
#[derive(Debug)]
pub struct RingMaps {
    /// The front ring.
    pub front: RingMap,
    /// The spill ring, if there is one.
    pub spill: Option<RingMap>,
}

impl RingMaps {
    /// All maps.
    pub fn iter(&self) -> impl Iterator<Item = &RingMap> {
        [&self.front].into_iter().chain(&self.spill)
    }
}

#[cfg(test)]
mod tests {
    use super::RingSizes;

    #[test]
    fn the_rings_hold_at_least_the_requested_size() {
        for power in 17..=31 {
            let asked = 1_u32 << power;
            let sizes = RingSizes::new(asked);
            assert_eq!(sizes.spill.unwrap_or(sizes.front), asked);
            assert!(sizes.total() >= u64::from(asked));
            for size in [sizes.front, sizes.wakeup_distance()] {
                assert!(size.is_power_of_two() && size >= 4096, "{sizes:?}");
            }
        }
    }
}
