//! How long the manifest took to write, and how soon it is written again.

use std::time::Duration;

/// The time that a write of the manifest took.
#[derive(Debug, Clone, Copy)]
pub struct SaveCost {
    /// To make and write the text, which grows with the number of files.
    pub writing: Duration,
    /// To wait for the disk.
    pub syncing: Duration,
}

impl SaveCost {
    /// That of a write that failed after this long. A disk that fails late is not asked without a pause.
    #[must_use]
    pub fn of_failure(after: Duration) -> Self {
        Self {
            writing: Duration::ZERO,
            syncing: after,
        }
    }

    /// The pause before the next write. The manifest is written as a whole, so a twentieth of the time at most goes
    /// into writing. The wait for a slow disk counts twice only: meanwhile readers see files that retention has removed,
    /// and do not see the newest ones.
    #[must_use]
    pub fn pause(self) -> Duration {
        const SHARE: u32 = 20;
        const LEAST: Duration = Duration::from_millis(200);
        (self.writing * SHARE).max(self.syncing * 2).max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_disk_delays_the_next_manifest_less_than_a_long_one_does() {
        let pause = |writing, syncing| {
            let [writing, syncing] = [writing, syncing].map(Duration::from_millis);
            SaveCost { writing, syncing }.pause().as_millis()
        };
        assert_eq!(pause(1, 5), 200, "a short manifest on a fast disk");
        assert_eq!(pause(1, 3000), 6000, "on a slow one");
        assert_eq!(pause(500, 3000), 10_000, "a long manifest");
    }

    #[test]
    fn a_disk_that_fails_late_is_given_a_pause() {
        let pause = SaveCost::of_failure(Duration::from_secs(30)).pause();
        assert_eq!(pause, Duration::from_secs(60));
    }
}
