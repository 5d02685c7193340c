//! Metrics and health over HTTP, for Prometheus and for liveness probes.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use capture_metrics::Source;
use prometheus_client::{
    encoding::text::encode,
    metrics::{gauge::Gauge, info::Info},
    registry::Registry,
};
use tokio::time::{MissedTickBehavior, interval};

use self::numbers::{ByState, Numbers, signed};
use super::watchdog::Watchdog;
use crate::manager::{BudgetUsage, Manager, State};

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
    let pages = Pages {
        manager: manager.clone(),
        watchdog: Arc::default(),
    };
    let watch = tokio::spawn(pages.clone().watch());
    let closing = async move { manager.closing().await };
    let served = capture_metrics::serve(address, pages, closing).await;
    watch.abort();
    served
}

impl Source for Pages {
    async fn metrics(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry())?;
        Ok(text)
    }

    /// A capture can be started, or why not.
    async fn not_ready(&self) -> Option<String> {
        self.manager.has_room().err().map(|error| error.to_string())
    }

    /// Drain threads that are stuck.
    fn unhealthy(&self) -> Option<String> {
        let stuck = self.watchdog().stuck(Instant::now());
        (!stuck.is_empty()).then(|| {
            format!(
                "the drain threads of these captures are stuck: {}",
                stuck.join(", ")
            )
        })
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
