//! Metrics and health over HTTP, for Prometheus and for liveness probes.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State as Shared,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{gauge::Gauge, info::Info},
    registry::Registry,
};
use tokio::{
    net::TcpListener,
    time::{MissedTickBehavior, interval},
};

use self::{
    connections::Limited,
    numbers::{ByState, Numbers, signed},
};
use super::watchdog::Watchdog;
use crate::manager::{BudgetUsage, Manager, State};

mod connections;
mod numbers;

/// How often drain threads are checked.
const LOOK: Duration = Duration::from_secs(1);

/// The state behind the pages.
#[derive(Clone)]
struct Pages {
    manager: Manager,
    watchdog: Arc<Mutex<Watchdog>>,
}

impl Pages {
    fn watchdog(&self) -> MutexGuard<'_, Watchdog> {
        // Entries are added and removed whole.
        self.watchdog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn watch(self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let running = self.manager.ticks();
            self.watchdog().look(running, Instant::now());
        }
    }
}

/// Serves `/metrics`, `/healthz` and `/readyz` until the manager closes.
pub(super) async fn serve(address: SocketAddr, manager: Manager) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let pages = Pages {
        manager: manager.clone(),
        watchdog: Arc::default(),
    };
    let connections = Limited::new(listener, super::descriptors::METRICS as usize);
    let watch = tokio::spawn(pages.clone().watch());
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(pages);
    let served = axum::serve(connections, router)
        .with_graceful_shutdown(async move { manager.closing().await })
        .await;
    watch.abort();
    served
}

/// Healthy: no drain thread is stuck. If this fails, the daemon should be restarted.
async fn healthz(Shared(pages): Shared<Pages>) -> (StatusCode, String) {
    let stuck = pages.watchdog().stuck(Instant::now());
    if stuck.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        let message = format!(
            "the drain threads of these captures are stuck: {}\n",
            stuck.join(", ")
        );
        (StatusCode::SERVICE_UNAVAILABLE, message)
    }
}

/// Ready: a capture can be started.
async fn readyz(Shared(pages): Shared<Pages>) -> (StatusCode, String) {
    match pages.manager.has_room() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

async fn metrics(Shared(pages): Shared<Pages>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let mut text = String::new();
    match encode(&mut text, &pages.registry()) {
        Ok(()) => (StatusCode::OK, [(CONTENT_TYPE, kind)], text),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(CONTENT_TYPE, "text/plain")],
            error.to_string(),
        ),
    }
}

impl Pages {
    /// All metrics with their current values.
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("captured");
        let build = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "Version of the daemon", Info::new(build));
        let numbers = Numbers::default();
        for state in State::ALL {
            let labels = ByState {
                state: state.to_string(),
            };
            numbers.states.get_or_create(&labels).set(0);
        }
        for capture in self.manager.list() {
            numbers.add(&capture);
        }
        numbers.register(&mut registry);
        self.budget(&mut registry);
        registry
    }

    fn budget(&self, registry: &mut Registry) {
        let limits = self.manager.budget().limits();
        let BudgetUsage {
            active_captures,
            ring_bytes,
            disk_bytes,
            disk_free_bytes: _,
            packet_readers,
            descriptors,
        } = self.manager.budget().usage();
        for (name, help, value) in [
            (
                "active_captures",
                "Captures that are pending, running or stopping",
                u64::from(active_captures),
            ),
            (
                "active_captures_limit",
                "Limit of active captures",
                limits.active_captures.into(),
            ),
            ("ring_bytes", "Memory of all ring buffers", ring_bytes),
            (
                "ring_bytes_limit",
                "Limit of the memory of all ring buffers",
                limits.ring_bytes,
            ),
            ("disk_bytes", "Bytes of all capture files", disk_bytes),
            (
                "disk_bytes_limit",
                "Limit of the bytes of all capture files; 0: no limit",
                limits.disk_bytes,
            ),
            (
                "descriptors",
                "File descriptors reserved for captures",
                descriptors,
            ),
            (
                "descriptors_limit",
                "Limit of file descriptors reserved for captures",
                limits.descriptors,
            ),
            (
                "recovering_captures",
                "Captures of an earlier daemon whose files are still being recovered",
                self.manager.recovering().into(),
            ),
            (
                "packet_readers",
                "Clients that stream packets",
                packet_readers.into(),
            ),
        ] {
            let gauge = Gauge::<i64>::default();
            gauge.set(signed(value));
            registry.register(name, help, gauge);
        }
    }
}
