//! Detects stuck drain threads.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// A drain thread makes a tick at least every 200 ms; one that has made none for this long is stuck.
const STUCK: Duration = Duration::from_secs(5);

/// Checks the ticks of drain threads.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    /// By capture: its ticks when they last changed, and when that was.
    ticks: BTreeMap<String, (u64, Instant)>,
}

impl Watchdog {
    /// Records the ticks of all running captures.
    pub(super) fn look(&mut self, running: Vec<(String, u64)>, now: Instant) {
        self.ticks
            .retain(|name, _| running.iter().any(|(running, _)| running == name));
        for (name, count) in running {
            let entry = self.ticks.entry(name).or_insert((count, now));
            if entry.0 != count {
                *entry = (count, now);
            }
        }
    }

    /// Captures whose drain thread is stuck.
    pub(super) fn stuck(&self, now: Instant) -> Vec<String> {
        self.ticks
            .iter()
            .filter(|(_, (_, since))| now.saturating_duration_since(*since) >= STUCK)
            .map(|(name, _)| name.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{STUCK, Watchdog};

    #[test]
    fn a_thread_that_stands_still_is_stuck_until_it_goes_on_or_its_capture_ends() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let running = |lively, lazy| vec![("lively".to_owned(), lively), ("lazy".to_owned(), lazy)];
        let mut watchdog = Watchdog::default();
        for second in 0..=4 {
            watchdog.look(running(second, 7), at(second));
            assert!(watchdog.stuck(at(second)).is_empty(), "{second}");
        }
        watchdog.look(running(5, 7), begin + STUCK);
        assert_eq!(watchdog.stuck(begin + STUCK), ["lazy"]);
        watchdog.look(running(6, 8), at(6));
        assert!(watchdog.stuck(at(6)).is_empty(), "it went on");
        for second in 7..=20 {
            watchdog.look(running(second, 8), at(second));
        }
        assert_eq!(watchdog.stuck(at(20)), ["lazy"]);
        watchdog.look(vec![("lively".to_owned(), 21)], at(21));
        assert!(watchdog.stuck(at(21)).is_empty(), "its capture has ended");
        // Another one of the same name begins anew.
        watchdog.look(running(22, 8), at(22));
        assert!(watchdog.stuck(at(22)).is_empty());
    }
}
