use core::mem::size_of;

/// Nanoseconds for which the first sight of a packet is remembered.
///
/// A host passes a packet from one interface to the next within microseconds, and within milliseconds where a
/// traffic shaper holds it back. The shortest time after which TCP on Linux sends a segment again is 200 ms
/// (`TCP_RTO_MIN`): what comes after that over another way is a packet of its own.
pub const SIGHT_WINDOW: u64 = 100_000_000;

/// Nanoseconds, as a power of two, of the unit in which a sight's time is kept: 66 us, so that 32 bits
/// repeat after 78 hours.
const TICK_SHIFT: u32 = 16;
const WINDOW_TICKS: u32 = (SIGHT_WINDOW >> TICK_SHIFT) as u32;

/// Sights in a bucket: those of packets whose keys lead to the same bucket.
pub const SIGHTS: usize = 4;

/// The number of buckets, a power of two: 1 MiB for each capture that records each packet once. 65,536
/// sights are enough for the packets that are between two interfaces at the same time.
pub const BUCKETS: u32 = 1 << 14;

const _: () = assert!(BUCKETS.is_power_of_two());

/// Where and when a packet was seen first.
///
/// CPUs read and write sights without a lock. The two words belong together only if their exclusive or is the
/// packet's key, so that a sight of which two CPUs have written one half each is the sight of no packet.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// The packet's key, exclusive or `place`.
    pub check: u64,
    /// The interface's index, the direction and the time; see [`place`].
    pub place: u64,
}

/// The sights of a few packets: a cache line.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// In any order; 0 for none.
    pub sights: [Sight; SIGHTS],
}

const _: () = {
    assert!(size_of::<Sight>() == 16);
    assert!(size_of::<Bucket>() == 64);
};

/// What a sight says about a packet that is seen now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is the sight of another packet; the larger the number, the longer ago it was.
    Other(u32),
    /// The packet was seen at another place a moment ago: it is the same one, farther on its way.
    Elsewhere,
    /// The packet was seen here, or long ago: it was sent again.
    Here,
}

/// The bucket of a key.
#[must_use]
#[inline(always)]
pub const fn bucket_index(key: u64) -> u32 {
    key as u32 & (BUCKETS - 1)
}

/// Interface, direction and time of a sight. An index of an interface is positive and has 31 bits.
#[must_use]
#[inline(always)]
pub const fn place(ifindex: u32, direction: u8, timestamp: u64) -> u64 {
    let at = (ifindex << 1) | (direction & 1) as u32;
    (at as u64) << 32 | (timestamp >> TICK_SHIFT) as u32 as u64
}

impl Sight {
    /// A packet at its [`place`].
    #[must_use]
    #[inline(always)]
    pub const fn new(key: u64, place: u64) -> Self {
        Self {
            check: key ^ place,
            place,
        }
    }

    /// Compares this sight with a packet at a [`place`].
    #[must_use]
    #[inline(always)]
    pub const fn compare(self, key: u64, place: u64) -> Seen {
        // Clocks of CPUs differ, and a sight may be written after this packet's time was read: the time
        // since then can be a little less than 0.
        let age = (place as u32)
            .wrapping_sub(self.place as u32)
            .wrapping_add(WINDOW_TICKS);
        if self.check ^ self.place != key {
            Seen::Other(age)
        } else if self.place >> 32 == place >> 32 || age > 2 * WINDOW_TICKS {
            Seen::Here
        } else {
            Seen::Elsewhere
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SIGHT_WINDOW, Seen, Sight, place};

    const KEY: u64 = 0x0123_4567_89ab_cdef;
    const NOW: u64 = 1_800_000_000_000_000_000;
    const MILLISECOND: u64 = 1_000_000;

    fn seen_after(nanoseconds: u64, ifindex: u32, direction: u8) -> Seen {
        let first = Sight::new(KEY, place(2, 0, NOW));
        first.compare(KEY, place(ifindex, direction, NOW + nanoseconds))
    }

    #[test]
    fn the_same_packet_at_another_place_is_the_same_packet_for_a_moment() {
        assert_eq!(seen_after(0, 3, 0), Seen::Elsewhere, "another interface");
        assert_eq!(seen_after(0, 2, 1), Seen::Elsewhere, "the other direction");
        assert_eq!(seen_after(99 * MILLISECOND, 3, 0), Seen::Elsewhere);
        assert_eq!(seen_after(101 * MILLISECOND, 3, 0), Seen::Here);
        assert_eq!(seen_after(0, 2, 0), Seen::Here, "sent again");
        assert_eq!(seen_after(1000 * MILLISECOND, 2, 0), Seen::Here);
    }

    #[test]
    fn a_sight_of_a_cpu_whose_clock_is_ahead_counts() {
        let first = Sight::new(KEY, place(2, 0, NOW + 70_000));
        assert_eq!(first.compare(KEY, place(3, 0, NOW)), Seen::Elsewhere);
        let stepped = Sight::new(KEY, place(2, 0, NOW + SIGHT_WINDOW + MILLISECOND));
        assert_eq!(stepped.compare(KEY, place(3, 0, NOW)), Seen::Here);
    }

    #[test]
    fn halves_of_two_sights_are_the_sight_of_no_packet() {
        let one = Sight::new(KEY, place(2, 0, NOW));
        let other = Sight::new(KEY ^ 1, place(3, 1, NOW));
        for torn in [
            Sight {
                check: one.check,
                place: other.place,
            },
            Sight {
                check: other.check,
                place: one.place,
            },
        ] {
            for key in [KEY, KEY ^ 1] {
                let seen = torn.compare(key, place(7, 0, NOW));
                assert!(matches!(seen, Seen::Other(_)), "{seen:?}");
            }
        }
        let empty = Sight::default().compare(KEY, place(7, 0, NOW));
        assert!(matches!(empty, Seen::Other(_)), "{empty:?}");
    }

    #[test]
    fn the_oldest_sight_is_told_from_the_newest() {
        let age = |at: u64| match Sight::new(1, place(2, 0, at)).compare(KEY, place(3, 0, NOW)) {
            Seen::Other(age) => age,
            seen => panic!("{seen:?}"),
        };
        let second = 1000 * MILLISECOND;
        assert!(age(NOW - second) > age(NOW - MILLISECOND));
        assert!(age(NOW - MILLISECOND) > age(NOW + MILLISECOND), "ahead");
    }
}
