//! The audit log: who did what, and why. Its lines have the target `audit` and are written at every log
//! level.
//!
//! A client cannot flood the log: each field is truncated, and above a rate the lines of a client are
//! only counted and summarized.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::cut::cut;

/// The target of audit lines.
pub const TARGET: &str = "audit";

/// How often [`summarize`] should be called.
pub const SUMMARY_INTERVAL: Duration = Duration::from_secs(10);

/// The largest number of bytes of each field.
const MOST_NAME: usize = 200;
const MOST_TEXT: usize = 400;

/// Lines that a client may cause at once, and how many more per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Rate {
    /// Performed actions: more than anyone does by hand or from a controller.
    Done,
    /// Rejections and failures.
    Refused,
}

impl Rate {
    const fn burst(self) -> u32 {
        match self {
            Self::Done => 500,
            Self::Refused => 20,
        }
    }

    const fn per_second(self) -> u32 {
        match self {
            Self::Done => 50,
            Self::Refused => 1,
        }
    }

    const fn summary(self) -> &'static str {
        match self {
            Self::Done => "more actions were performed",
            Self::Refused => "more requests or connections were refused or failed",
        }
    }
}

/// Clients with a separate limit; all others share one.
const MOST_CLIENTS: usize = 256;
const OTHERS: &str = "others";

/// Logs an action that was performed, or failed.
pub fn done(who: &str, action: &str, object: &str, reason: &str, outcome: Result<(), &str>) {
    let Err(error) = outcome else {
        if !may_write(who, Rate::Done) {
            return;
        }
        tracing::info!(
            target: TARGET,
            who = &*cut(who, MOST_NAME),
            action = &*cut(action, MOST_NAME),
            object = &*cut(object, MOST_NAME),
            reason = &*cut(reason, MOST_TEXT),
            outcome = "done",
            "audit"
        );
        return;
    };
    if may_write(who, Rate::Refused) {
        tracing::info!(
            target: TARGET,
            who = &*cut(who, MOST_NAME),
            action = &*cut(action, MOST_NAME),
            object = &*cut(object, MOST_NAME),
            reason = &*cut(reason, MOST_TEXT),
            outcome = "failed",
            error = &*cut(error, MOST_TEXT),
            "audit"
        );
    }
}

/// Logs a rejected client.
pub fn refused(who: &str, action: &str, why: &str) {
    if may_write(who, Rate::Refused) {
        tracing::warn!(
            target: TARGET,
            who = &*cut(who, MOST_NAME),
            action = &*cut(action, MOST_NAME),
            outcome = "refused",
            error = &*cut(why, MOST_TEXT),
            "audit"
        );
    }
}

/// Writes one line for each client whose lines were only counted.
pub fn summarize() {
    for (who, rate, count) in with_limits(|limits| limits.summary(Instant::now())) {
        let summary = rate.summary();
        tracing::warn!(target: TARGET, who, summary = %format_args!("{count} {summary}"), "audit");
    }
}

fn may_write(who: &str, rate: Rate) -> bool {
    with_limits(|limits| limits.may_write(&cut(who, MOST_NAME), rate, Instant::now()))
}

static LIMITS: Mutex<Option<Limits>> = Mutex::new(None);

fn with_limits<T>(with: impl FnOnce(&mut Limits) -> T) -> T {
    let mut limits = LIMITS.lock().unwrap_or_else(PoisonError::into_inner);
    with(limits.get_or_insert_default())
}

/// How many more lines each client may cause.
#[derive(Debug, Default)]
struct Limits(HashMap<(String, Rate), Bucket>);

#[derive(Debug)]
struct Bucket {
    left: u32,
    filled: Instant,
    counted: u64,
}

impl Limits {
    fn may_write(&mut self, who: &str, rate: Rate, now: Instant) -> bool {
        let mut key = (who.to_owned(), rate);
        if self.0.len() >= MOST_CLIENTS && !self.0.contains_key(&key) {
            OTHERS.clone_into(&mut key.0);
        }
        let bucket = self.0.entry(key).or_insert(Bucket {
            left: rate.burst(),
            filled: now,
            counted: 0,
        });
        bucket.fill(rate, now);
        if bucket.left == 0 {
            bucket.counted += 1;
            return false;
        }
        bucket.left -= 1;
        true
    }

    /// The numbers of lines that were only counted, by client. Quiet clients are removed.
    fn summary(&mut self, now: Instant) -> Vec<(String, Rate, u64)> {
        let mut counted = Vec::new();
        self.0.retain(|(who, rate), bucket| {
            bucket.fill(*rate, now);
            let count = std::mem::take(&mut bucket.counted);
            if count > 0 {
                counted.push((who.clone(), *rate, count));
            }
            bucket.left < rate.burst()
        });
        counted.sort_by(|one, other| one.0.cmp(&other.0));
        counted
    }
}

impl Bucket {
    fn fill(&mut self, rate: Rate, now: Instant) {
        let seconds = now.saturating_duration_since(self.filled).as_secs();
        if seconds > 0 {
            let more = u32::try_from(seconds).unwrap_or(u32::MAX);
            let more = more.saturating_mul(rate.per_second());
            self.left = self.left.saturating_add(more).min(rate.burst());
            self.filled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_client_is_summed_up_and_another_client_is_still_written() {
        let start = Instant::now();
        let mut limits = Limits::default();
        for rate in [Rate::Done, Rate::Refused] {
            let lines = (0..1000).filter(|_| limits.may_write("eve", rate, start));
            let written = lines.count();
            assert_eq!(written, rate.burst() as usize);
            assert!(limits.may_write("alice", rate, start));
            let counted = 1000 - u64::from(rate.burst());
            assert_eq!(limits.summary(start), [("eve".to_owned(), rate, counted)]);
            assert_eq!(limits.summary(start), []);
            for second in 1..100 {
                let now = start + Duration::from_secs(second);
                assert!(limits.may_write("eve", rate, now), "{second}");
            }
            limits.summary(start + Duration::from_secs(1000));
            assert!(limits.0.is_empty(), "quiet clients are forgotten");
        }
    }

    #[test]
    fn many_clients_cost_bounded_memory_and_lines() {
        let start = Instant::now();
        let mut limits = Limits::default();
        let clients = (0..10_000).map(|number| format!("client {number}"));
        let lines = clients.filter(|who| limits.may_write(who, Rate::Refused, start));
        let written = lines.count();
        assert_eq!(written, MOST_CLIENTS + Rate::Refused.burst() as usize);
        assert_eq!(limits.0.len(), MOST_CLIENTS + 1);
    }
}
