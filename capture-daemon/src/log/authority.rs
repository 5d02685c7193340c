//! Logs the reason when HTTP/2 rejects a request for its `:authority`.
//!
//! gRPC's C library, which Python, C++, Ruby and PHP use, sends the path of a unix socket as `:authority`.
//! h2 resets the stream with PROTOCOL_ERROR before any service sees it, and logs the reason only in its
//! own debug events.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, filter::Targets, layer::Context, registry::LookupSpan};

/// The log target of h2 for rejected headers.
const TARGET: &str = "h2::server";

/// Minimum time between two reports, for clients that retry.
const PAUSE: Duration = Duration::from_secs(60);

/// Watches for rejected authorities, at any log level.
pub(super) fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    Refusals::default().with_filter(Targets::new().with_target(TARGET, Level::DEBUG))
}

#[derive(Debug, Default)]
struct Refusals {
    last: Mutex<Option<Instant>>,
}

impl<S: Subscriber> Layer<S> for Refusals {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        if !message.0.contains("malformed authority") {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        *last = Some(Instant::now());
        drop(last);
        // Logging is not possible within another event.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async { report() });
        }
    }
}

fn report() {
    tracing::warn!(
        "a request was refused with PROTOCOL_ERROR because its :authority is not valid: clients on \
             gRPC's C library (Python, C++, Ruby, PHP) send the path of the unix socket; set the channel \
             option grpc.default_authority to localhost, or connect to unix-abstract:captured"
    );
}

/// The message of an event.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
