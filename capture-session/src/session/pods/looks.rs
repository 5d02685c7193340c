//! When to search for pods: soon after a change, then repeatedly for a while, because the kernel does not
//! report addresses in other namespaces, and then no more.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Changes come in bursts.
const FIRST: Duration = Duration::from_millis(20);
/// A pod that appears is joined within 2 seconds.
const LONGEST_PAUSE: Duration = Duration::from_millis(1500);
/// A network plug-in assigns a pod's address within this time after creating the interface.
const LOOKED_FOR: Duration = Duration::from_secs(60);
/// A search uses at most a tenth of a core.
const SHARE: u32 = 10;

/// The schedule of searches.
#[derive(Debug)]
pub(in crate::session) struct Looks {
    next: Option<Instant>,
    /// When the last change was.
    changed: Instant,
    pause: Duration,
    /// The earliest time of the next search, by the duration of the last one.
    earliest: Instant,
}

impl Looks {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            next: None,
            changed: now,
            pause: FIRST,
            earliest: now,
        }
    }

    /// Something has changed: search soon.
    pub(super) fn something_changed(&mut self, now: Instant) {
        self.changed = now;
        self.pause = FIRST;
        let soon = (now + FIRST).max(self.earliest);
        self.next = Some(self.next.map_or(soon, |next| next.min(soon)));
    }

    /// A search that began at this time has ended. `waits`: something was not found; `settles`:
    /// when that becomes final.
    pub(super) fn looked(
        &mut self,
        began: Instant,
        now: Instant,
        waits: bool,
        settles: Option<Instant>,
    ) {
        self.earliest = now + now.duration_since(began) * SHARE;
        let again = (waits && now < self.changed + LOOKED_FOR).then(|| now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        let settles = settles.filter(|settles| *settles > now);
        let next = [again, settles].into_iter().flatten().min();
        self.next = next.map(|next| next.max(self.earliest));
    }

    /// Waits until the next search is due. Cancel safe.
    pub(in crate::session) async fn due(&self) {
        match self.next {
            Some(next) => sleep_until(next).await,
            None => std::future::pending().await,
        }
    }

    /// The time until the next search, for tests.
    #[cfg(test)]
    pub(super) fn until_next(&self, now: Instant) -> Option<Duration> {
        self.next.map(|next| next.saturating_duration_since(now))
    }
}
