//! The URLs of a cluster, one after the other; one that fails rests.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// The first rest of a URL that failed.
const SHORTEST_REST: Duration = Duration::from_secs(1);
/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Several URLs of one cluster.
#[derive(Debug)]
pub(super) struct Endpoints {
    all: Vec<Endpoint>,
    next: AtomicUsize,
}

#[derive(Debug)]
struct Endpoint {
    /// Without a slash at the end.
    url: String,
    rest: Mutex<Rest>,
}

#[derive(Debug, Default)]
struct Rest {
    until: Option<Instant>,
    failures: u32,
}

impl Endpoint {
    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoints {
    /// At least one URL.
    pub(super) fn new(urls: &[String]) -> Self {
        let all = urls.iter().map(|url| Endpoint {
            url: url.trim_end_matches('/').to_owned(),
            rest: Mutex::default(),
        });
        Self {
            all: all.collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// The next URL that does not rest, and its number; if all do, the one whose rest ends first.
    pub(super) fn next(&self) -> (usize, &str) {
        let start = self.next.fetch_add(1, Relaxed);
        let now = Instant::now();
        let count = self.all.len();
        let until = |at: usize| self.all[at].rest().until.filter(|until| *until > now);
        let order = (0..count).map(|at| start.wrapping_add(at) % count);
        let best = order.min_by_key(|at| until(*at)).unwrap_or_default();
        (best, &self.all[best].url)
    }

    /// A request to this URL was answered.
    pub(super) fn works(&self, number: usize) {
        *self.all[number].rest() = Rest::default();
    }

    /// A request to this URL was not answered.
    pub(super) fn failed(&self, number: usize) {
        let mut rest = self.all[number].rest();
        let length = SHORTEST_REST.saturating_mul(1 << rest.failures.min(10));
        rest.failures = rest.failures.saturating_add(1);
        rest.until = Some(Instant::now() + length.min(LONGEST_REST));
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoints;

    #[test]
    fn urls_take_turns_and_one_that_fails_rests_until_it_works() {
        let endpoints = Endpoints::new(&["http://a/", "http://b", "http://c"].map(str::to_owned));
        let turns = |count: usize| Vec::from_iter((0..count).map(|_| endpoints.next().1));
        assert_eq!(turns(4), ["http://a", "http://b", "http://c", "http://a"]);
        endpoints.failed(1);
        assert!(!turns(6).contains(&"http://b"));
        endpoints.works(1);
        assert!(turns(3).contains(&"http://b"));
        // If all rest, the first one that failed is tried.
        for number in [2, 0, 1] {
            endpoints.failed(number);
        }
        assert_eq!(endpoints.next().1, "http://c");
    }
}
