//! Stepping the system clock and restoring it.

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

const SECOND: i64 = 1_000_000_000;

/// UTC, in nanoseconds since 1970.
#[must_use]
pub fn now() -> u64 {
    u64::try_from(read(ClockId::Realtime)).unwrap_or(0)
}

/// Keeps the system clock wrong; dropping this restores it from the monotonic clock.
#[derive(Debug)]
pub struct Stepped {
    offset: i64,
}

impl Stepped {
    /// Steps the clock forward.
    pub fn by_seconds(seconds: i64) -> Result<Self> {
        let offset = read(ClockId::Realtime) - read(ClockId::Monotonic);
        let stepped = Self { offset };
        set(offset + seconds * SECOND)?;
        Ok(stepped)
    }
}

impl Drop for Stepped {
    fn drop(&mut self) {
        if let Err(error) = set(self.offset) {
            eprintln!("the system clock stays wrong: {error:#}");
        }
    }
}

fn read(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * SECOND + time.tv_nsec
}

/// Sets the clock ahead of the monotonic one by this much.
fn set(offset: i64) -> Result<()> {
    let time = read(ClockId::Monotonic) + offset;
    let time = Timespec {
        tv_sec: time / SECOND,
        tv_nsec: time % SECOND,
    };
    clock_settime(ClockId::Realtime, time).context("setting the system clock")
}
