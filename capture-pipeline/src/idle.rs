//! When the drain thread may sleep until a packet comes.

use std::time::{Duration, Instant};

use capture_kernel::reader::ReaderFlag;

/// How long no packet must come before the thread goes one step closer to sleep.
const ONE_WAIT: Duration = Duration::from_millis(100);

/// When the thread may sleep without a bound.
///
/// The programs do not wake the reader for each packet, so its waits are bounded while packets come. When
/// none have come during one whole wait, the programs are told to wake the reader for the next one. A
/// program that runs at that moment may not see this yet, so one more bounded wait follows: a program
/// takes microseconds. Then nothing can be missed.
pub(super) struct Idle {
    reader: ReaderFlag,
    /// Since when no packet has come.
    since: Option<Instant>,
    /// When the programs were asked to wake the reader.
    requested: Option<Instant>,
}

impl Idle {
    pub(super) const fn new(reader: ReaderFlag) -> Self {
        Self {
            reader,
            since: None,
            requested: None,
        }
    }

    /// Packets have come: ends the idle state.
    pub(super) fn end(&mut self) {
        if self.since.take().is_some() && self.requested.take().is_some() {
            // If this fails, the programs wake the reader more often than they have to.
            let _ = self.reader.set(false);
        }
    }

    /// Called when no packet has come since the last wait: whether the next wait may be unbounded.
    pub(super) fn may_sleep(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        match self.requested {
            Some(requested) => now.duration_since(requested) >= ONE_WAIT,
            None => {
                if now.duration_since(since) >= ONE_WAIT && self.reader.set(true).is_ok() {
                    self.requested = Some(now);
                }
                false
            }
        }
    }
}
