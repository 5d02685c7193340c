//! The same packet on several interfaces: veth, bridge and NIC each show it. It is one packet of its
//! flow and not a retransmission.

use std::hash::Hash;

use ahash::RandomState;

/// Sightings that are remembered: a packet passes a host in far less time than it takes to fill them.
const SIGHTINGS: usize = 1 << 13;
/// A copy comes within this, in nanoseconds.
const WITHIN: u64 = 100_000_000;

#[derive(Clone, Copy, Default)]
struct Sighting {
    fingerprint: u64,
    time: u64,
    /// The interface plus one; 0 for none.
    interface: u32,
}

pub(crate) struct Copies {
    hasher: RandomState,
    /// Nothing is looked up while there is only one interface.
    sightings: Vec<Sighting>,
    first_interface: Option<u32>,
    pub(crate) found: u64,
}

impl Copies {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            sightings: Vec::new(),
            first_interface: None,
            found: 0,
        }
    }

    /// There are several interfaces: copies are searched for from now on.
    pub(crate) fn expect(&mut self) {
        if self.sightings.is_empty() {
            self.sightings = vec![Sighting::default(); SIGHTINGS];
        }
    }

    /// Whether a packet with the same `content` was just seen on another interface.
    #[inline]
    pub(crate) fn is_copy(&mut self, content: impl Hash, interface: u32, time: u64) -> bool {
        let first = *self.first_interface.get_or_insert(interface);
        if self.sightings.is_empty() {
            if interface == first {
                return false;
            }
            self.expect();
        }
        let fingerprint = self.hasher.hash_one(content);
        let place = &mut self.sightings[fingerprint as usize % SIGHTINGS];
        let copy = place.fingerprint == fingerprint
            && place.interface != 0
            && place.interface != interface + 1
            && time.abs_diff(place.time) < WITHIN;
        if copy {
            self.found += 1;
        } else {
            *place = Sighting {
                fingerprint,
                time,
                interface: interface + 1,
            };
        }
        copy
    }
}
