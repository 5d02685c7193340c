//! How long to wait after failures: twice as long each time, up to a limit, with jitter.

use std::time::Duration;

/// A series of failures.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits about `first` after the first failure, and never much longer than `most`.
    #[must_use]
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            failures: 0,
        }
    }

    /// Failures in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Something has succeeded.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after one more failure: at least what the other side asked for, within an hour, and with up
    /// to half of it added at random, so that many clients do not come back at once.
    pub fn next(&mut self, asked: Option<Duration>) -> Duration {
        const LONGEST_ASKED: Duration = Duration::from_secs(3600);
        let doubled = self.first.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let wait = doubled
            .min(self.most)
            .max(asked.unwrap_or_default().min(LONGEST_ASKED));
        wait + wait.mul_f64(jitter() / 2.0)
    }
}

/// A random number from 0 to 1; 1 without a source of randomness.
fn jitter() -> f64 {
    getrandom::u32().map_or(1.0, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Backoff;

    #[test]
    fn waits_double_up_to_a_limit_and_start_again_after_a_success() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, second * 10);
        for expected in [1, 2, 4, 8, 10, 10] {
            let wait = backoff.next(None);
            let expected = second * expected;
            assert!(
                wait >= expected && wait <= expected * 3 / 2,
                "{wait:?} {expected:?}"
            );
        }
        backoff.reset();
        assert!(backoff.next(None) < second * 2);
        assert!(backoff.next(Some(second * 30)) >= second * 30);
        assert!(backoff.next(Some(second * 1_000_000)) <= second * 5400);
        for _ in 0..100 {
            backoff.next(None);
        }
    }
}
