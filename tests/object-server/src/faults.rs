//! Faults that a test switches on, and the requests that have arrived.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Requests that are remembered; older ones are forgotten.
const REMEMBERED: usize = 10_000;

/// A request that has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its path, with the bucket first, as it was sent: percent-encoded.
    pub path: String,
    /// Its query; empty if there is none.
    pub query: String,
    /// The status of the answer; 0 where the connection was cut.
    pub status: u16,
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is served.
    Serve,
    /// It is answered with this status, and nothing is done.
    Refuse(u16),
    /// It is served, and the connection is cut in the middle of the answer.
    Cut,
}

/// The faults of a server. Requests that are not counted down are served.
#[derive(Debug, Default)]
pub struct Faults {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    refuse: u64,
    status: u16,
    cut: u64,
    each: u64,
    served: u64,
    delay: Duration,
    requests: VecDeque<Request>,
}

impl Faults {
    /// Answers the next `number` requests with this status, for example 503, without doing anything.
    pub fn refuse_next(&self, number: u64, status: u16) {
        let mut state = self.state();
        (state.refuse, state.status) = (number, status);
    }

    /// Serves the next `number` requests, and cuts the connection before the client has the whole answer.
    pub fn cut_next(&self, number: u64) {
        self.state().cut = number;
    }

    /// Answers each `nth` request with 503; 0 ends this.
    pub fn refuse_each(&self, nth: u64) {
        self.state().each = nth;
    }

    /// Answers every request this much later.
    pub fn delay(&self, by: Duration) {
        self.state().delay = by;
    }

    /// Serves every request again.
    pub fn none(&self) {
        let mut state = self.state();
        (state.refuse, state.cut, state.each) = (0, 0, 0);
        state.delay = Duration::ZERO;
    }

    /// The latest requests, the oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.iter().cloned().collect()
    }

    /// How many requests have arrived so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.state().served
    }

    /// Decides about the next request, and how much later it is answered.
    pub(crate) fn decide(&self) -> (Fate, Duration) {
        let mut state = self.state();
        state.served += 1;
        let fate = if state.refuse > 0 {
            state.refuse -= 1;
            Fate::Refuse(state.status)
        } else if state.each > 0 && state.served.is_multiple_of(state.each) {
            Fate::Refuse(503)
        } else if state.cut > 0 {
            state.cut -= 1;
            Fate::Cut
        } else {
            Fate::Serve
        };
        (fate, state.delay)
    }

    pub(crate) fn remember(&self, request: Request) {
        let mut state = self.state();
        if state.requests.len() == REMEMBERED {
            state.requests.pop_front();
        }
        state.requests.push_back(request);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
