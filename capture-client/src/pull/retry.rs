//! How often and how soon a broken download is retried.

use std::time::Duration;

/// Counts attempts without progress; one that received bytes restarts the count.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Consecutive attempts that may make no progress.
    pub attempts: u32,
    /// The wait before the first; doubles with each attempt.
    pub first_wait: Duration,
    /// Upper bound of the wait.
    pub longest_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 10,
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(15),
        }
    }
}

impl Retry {
    /// The wait before the next attempt after `failed` consecutive failures; `None`: give up.
    #[must_use]
    pub fn wait(&self, failed: u32) -> Option<Duration> {
        (failed < self.attempts).then(|| {
            let doubled = 2_u32.saturating_pow(failed.saturating_sub(1));
            self.first_wait
                .saturating_mul(doubled)
                .min(self.longest_wait)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_end() {
        let retry = Retry {
            attempts: 40,
            ..Retry::default()
        };
        assert_eq!(retry.wait(1), Some(Duration::from_millis(200)));
        assert_eq!(retry.wait(3), Some(Duration::from_millis(800)));
        assert_eq!(retry.wait(39), Some(Duration::from_secs(15)));
        assert_eq!(retry.wait(40), None);
    }
}
