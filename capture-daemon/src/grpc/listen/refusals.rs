//! Refused clients in the audit log: each one, but no flood of them.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::audit;

/// So many are told at once; then one more per [`REFILL`].
const BURST: u32 = 20;
const REFILL: Duration = Duration::from_secs(1);

/// How many of a listener may still be told.
#[derive(Debug)]
pub(super) struct Refusals(Mutex<Bucket>);

#[derive(Debug)]
struct Bucket {
    left: u32,
    filled: Instant,
    untold: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self(Mutex::new(Bucket {
            left: BURST,
            filled: Instant::now(),
            untold: 0,
        }))
    }
}

impl Refusals {
    /// Tells of one, or counts it.
    pub(super) fn report(&self, who: &str, why: &str) {
        let may = self.bucket(|bucket| bucket.take(Instant::now()));
        if may {
            audit::refused(who, "connect", why);
        }
    }

    /// Tells how many were only counted.
    pub(super) fn summarise(&self) {
        let untold = self.bucket(|bucket| std::mem::take(&mut bucket.untold));
        if untold > 0 {
            audit::refused(
                "many",
                "connect",
                &format!("{untold} more clients were refused"),
            );
        }
    }

    fn bucket<T>(&self, with: impl FnOnce(&mut Bucket) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.filled);
        let more = u32::try_from(since.as_secs() / REFILL.as_secs()).unwrap_or(BURST);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(BURST);
            self.filled = now;
        }
        if self.left == 0 {
            self.untold += 1;
            return false;
        }
        self.left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_a_trickle_told() {
        let start = Instant::now();
        let mut bucket = Bucket {
            left: BURST,
            filled: start,
            untold: 0,
        };
        let told = (0..1000).filter(|_| bucket.take(start)).count();
        assert_eq!(
            (told, bucket.untold),
            (BURST as usize, 1000 - u64::from(BURST))
        );
        for second in 1..100 {
            assert!(bucket.take(start + REFILL * second), "{second}");
        }
    }
}
