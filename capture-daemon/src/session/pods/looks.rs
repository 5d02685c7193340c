//! When to look for pods: soon after something has changed, for a while again and again, as the kernel tells
//! nobody here of an address in another namespace, and then no more.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Changes come many at a time.
const FIRST: Duration = Duration::from_millis(20);
/// A pod that appears is joined within 2 seconds.
const LONGEST_PAUSE: Duration = Duration::from_millis(1500);
/// A network plug-in gives a pod its address within this after it made the interface.
const LOOKED_FOR: Duration = Duration::from_secs(60);
/// Looking takes a tenth of a core at most.
const SHARE: u32 = 10;

/// When to look next.
#[derive(Debug)]
pub(in crate::session) struct Looks {
    next: Option<Instant>,
    /// When something changed last.
    changed: Instant,
    pause: Duration,
    /// When the next look may be, by how long the last one took.
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

    /// Something has changed: look soon.
    pub(super) fn something_changed(&mut self, now: Instant) {
        self.changed = now;
        self.pause = FIRST;
        let soon = (now + FIRST).max(self.earliest);
        self.next = Some(self.next.map_or(soon, |next| next.min(soon)));
    }

    /// A look that began then is over. `waits`: something was not found; `settles`: when that means
    /// something.
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

    /// Waits until it is time to look. Cancel safe.
    pub(in crate::session) async fn due(&self) {
        match self.next {
            Some(next) => sleep_until(next).await,
            None => std::future::pending().await,
        }
    }

    /// How long until the next look, for tests.
    #[cfg(test)]
    pub(super) fn until_next(&self, now: Instant) -> Option<Duration> {
        self.next.map(|next| next.saturating_duration_since(now))
    }
}
