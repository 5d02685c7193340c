//! Converts the timestamps of the eBPF programs to UTC in nanoseconds since 1970.

use rustix::time::{ClockId, DynamicClockId, Timespec, clock_gettime, clock_gettime_dynamic};

/// Converts the timestamps of one capture's records.
///
/// With `CLOCK_TAI` (kernel 6.1) the kernel's clock is UTC plus a whole number of seconds and follows
/// every step of the system clock. A packet therefore has the time that the system clock showed when it
/// passed, before or after a step. Only the whole number can change, when a time daemon sets it.
///
/// With `CLOCK_MONOTONIC` the difference to UTC is measured at each [`PacketClock::update`]. A packet that
/// passed within one round of the drain thread before a step has the time after the step.
#[derive(Debug, Clone, Copy)]
pub struct PacketClock {
    tai: bool,
    /// Subtracted from a record's timestamp to get UTC.
    offset: i64,
    /// The offset before its latest change, for older records.
    previous: i64,
    /// UTC at the latest update.
    now: i64,
}

impl PacketClock {
    /// A clock for programs that stamp packets with `CLOCK_TAI`, or else with `CLOCK_MONOTONIC`.
    #[must_use]
    pub fn new(tai: bool) -> Self {
        let mut new = Self {
            tai,
            offset: 0,
            previous: 0,
            now: 0,
        };
        new.update();
        new.previous = new.offset;
        new
    }

    /// Reads the clocks. To be called at least once in each round of the drain thread, before that
    /// round's records are taken.
    pub fn update(&mut self) {
        // The clocks cannot be read at the same moment: the middle of two readings is closest.
        let before = realtime();
        let kernel = kernel_clock(self.tai);
        let after = realtime();
        let utc = before + (after - before) / 2;
        let difference = kernel - utc;
        let offset = if self.tai {
            whole_seconds(difference)
        } else {
            difference
        };
        self.now = after;
        if offset != self.offset {
            self.previous = self.offset;
            self.offset = offset;
        }
    }

    /// UTC now, in nanoseconds since 1970, as of the latest update.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.now.cast_unsigned()
    }

    /// UTC of a record, in nanoseconds since 1970.
    #[must_use]
    #[inline(always)]
    pub fn utc(&self, timestamp: u64) -> u64 {
        let timestamp = timestamp.cast_signed();
        let utc = timestamp - self.offset;
        if self.tai && self.previous != self.offset {
            // The program read the clock before the offset changed if that puts the packet closer to
            // now: an offset changes by a second at least, and no packet waits that long.
            let before = timestamp - self.previous;
            if (self.now - before).abs() < (self.now - utc).abs() {
                return before.cast_unsigned();
            }
        }
        utc.cast_unsigned()
    }
}

const SECOND: i64 = 1_000_000_000;

fn whole_seconds(nanoseconds: i64) -> i64 {
    (nanoseconds + SECOND / 2).div_euclid(SECOND) * SECOND
}

fn realtime() -> i64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

/// The clock with which the programs stamp packets.
fn kernel_clock(tai: bool) -> i64 {
    match tai.then(|| clock_gettime_dynamic(DynamicClockId::Tai)) {
        Some(Ok(time)) => nanoseconds(time),
        // Where programs can read this clock, so can user space; at worst the offset is 0.
        Some(Err(_)) => realtime(),
        None => nanoseconds(clock_gettime(ClockId::Monotonic)),
    }
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec * SECOND + time.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::{PacketClock, SECOND, kernel_clock, realtime};

    #[test]
    fn either_clock_gives_utc() {
        for tai in [true, false] {
            let clock = PacketClock::new(tai);
            let utc = clock.utc(kernel_clock(tai).cast_unsigned()).cast_signed();
            let difference = (utc - realtime()).abs();
            assert!(difference < SECOND / 2, "TAI {tai}: off by {difference} ns");
        }
    }

    #[test]
    fn a_packet_from_before_a_change_of_the_tai_offset_keeps_its_time() {
        let now = 1_700_000_000 * SECOND;
        let clock = PacketClock {
            tai: true,
            offset: 37 * SECOND,
            previous: 0,
            now,
        };
        let before_change = (now - SECOND / 4).cast_unsigned();
        assert_eq!(clock.utc(before_change), before_change);
        let after_change = (now + 37 * SECOND - 5).cast_unsigned();
        assert_eq!(clock.utc(after_change), (now - 5).cast_unsigned());
    }
}
