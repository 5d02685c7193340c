//! How long a broken watch waits before the next attempt.

use std::time::Duration;

use kube::runtime::utils::Backoff;

const FIRST: Duration = Duration::from_millis(500);
/// After an absence of the API server the first lists are old, and one more attempt is needed: short, so that what
/// happened in the meantime is known within seconds. Two coordinators that ask this often are no load.
const LONGEST: Duration = Duration::from_secs(5);

/// Doubles from one failure to the next, until an attempt succeeds.
#[derive(Debug)]
pub(super) struct Pause {
    next: Duration,
}

impl Default for Pause {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Iterator for Pause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = self.next;
        self.next = (now * 2).min(LONGEST);
        Some(now)
    }
}

impl Backoff for Pause {
    fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_a_success() {
        let mut pause = Pause::default();
        let milliseconds: Vec<_> = pause.by_ref().take(6).map(|one| one.as_millis()).collect();
        assert_eq!(milliseconds, [500, 1000, 2000, 4000, 5000, 5000]);
        pause.reset();
        assert_eq!(pause.next(), Some(FIRST));
    }
}
