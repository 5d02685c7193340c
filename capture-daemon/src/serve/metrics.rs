//! Metrics and health over HTTP, for Prometheus and for whoever restarts daemons.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
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
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};
use tokio::net::TcpListener;

use crate::{
    ledger::Ledger,
    manager::{Manager, State, Usage},
};

/// A drain thread makes a tick at least every 200 ms; one that has made none for this long is stuck.
const STUCK: Duration = Duration::from_secs(5);

/// What the pages are made from.
#[derive(Clone)]
struct Pages {
    manager: Manager,
    /// By capture: its ticks when they last changed, and when that was.
    ticks: Arc<Mutex<BTreeMap<String, (u64, Instant)>>>,
}

/// Serves `/metrics`, `/healthz` and `/readyz` until the manager closes.
pub(super) async fn serve(address: SocketAddr, manager: Manager) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let pages = Pages {
        manager: manager.clone(),
        ticks: Arc::default(),
    };
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(pages);
    axum::serve(listener, router)
        .with_graceful_shutdown(async move { manager.closing().await })
        .await
}

/// Healthy: no drain thread is stuck. Whoever sees this fail should restart the daemon.
async fn healthz(Shared(pages): Shared<Pages>) -> (StatusCode, String) {
    let stuck = pages.stuck();
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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPackets {
    capture: String,
    interface: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCapture {
    capture: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: String,
}

impl Pages {
    /// Captures whose drain thread has stood still.
    fn stuck(&self) -> Vec<String> {
        let mut ticks = self.ticks.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let running = self.manager.ticks();
        ticks.retain(|name, _| running.iter().any(|(running, _)| running == name));
        let mut stuck = Vec::new();
        for (name, count) in running {
            let entry = ticks.entry(name.clone()).or_insert((count, now));
            if entry.0 != count {
                *entry = (count, now);
            } else if now - entry.1 >= STUCK {
                stuck.push(name);
            }
        }
        stuck
    }

    /// All numbers as they are now.
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("captured");
        let build = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The program", Info::new(build));
        let packets = Family::<ByPackets, Gauge>::default();
        let bytes = Family::<ByCapture, Gauge>::default();
        let queue = Family::<ByCapture, Gauge>::default();
        let states = Family::<ByState, Gauge>::default();
        for state in State::ALL {
            states
                .get_or_create(&ByState {
                    state: state.to_string(),
                })
                .set(0);
        }
        for capture in self.manager.list() {
            let record = capture.snapshot().record;
            states
                .get_or_create(&ByState {
                    state: record.state.to_string(),
                })
                .inc();
            let capture_name = record.name.to_string();
            let labels = ByCapture {
                capture: capture_name.clone(),
            };
            bytes.get_or_create(&labels).set(signed(record.tally.bytes));
            if let Some(blocks) = capture.queued() {
                queue.get_or_create(&labels).set(signed(blocks as u64));
            }
            for interface in &record.tally.interfaces {
                for (outcome, count) in outcomes(&interface.ledger) {
                    let labels = ByPackets {
                        capture: capture_name.clone(),
                        interface: interface.name.clone(),
                        outcome,
                    };
                    packets.get_or_create(&labels).inc_by(signed(count));
                }
            }
        }
        registry.register(
            "packets",
            "Packets by capture, interface and what became of them: the ledger",
            packets,
        );
        registry.register_with_unit("written", "What captures have written", Unit::Bytes, bytes);
        registry.register(
            "queued_blocks",
            "Blocks that wait to be compressed or written",
            queue,
        );
        registry.register("captures", "Captures by state", states);
        self.budget(&mut registry);
        registry
    }

    fn budget(&self, registry: &mut Registry) {
        let limits = self.manager.budget().limits();
        let Usage {
            active_captures,
            ring_bytes,
            disk_bytes,
            packet_readers,
        } = self.manager.budget().usage();
        for (name, help, value) in [
            (
                "active_captures",
                "Captures that are not over",
                u64::from(active_captures),
            ),
            (
                "active_captures_limit",
                "How many there may be",
                limits.active_captures.into(),
            ),
            ("ring_bytes", "Memory of ring buffers", ring_bytes),
            (
                "ring_bytes_limit",
                "How much there may be",
                limits.ring_bytes,
            ),
            ("disk_bytes", "Bytes of capture files", disk_bytes),
            (
                "disk_bytes_limit",
                "How many there may be; 0 for no limit",
                limits.disk_bytes,
            ),
            (
                "packet_readers",
                "Readers of packets",
                packet_readers.into(),
            ),
        ] {
            let gauge = Gauge::<i64>::default();
            gauge.set(signed(value));
            registry.register(name, help, gauge);
        }
    }
}

/// The ledger's lines as labels.
fn outcomes(ledger: &Ledger) -> [(&'static str, u64); 12] {
    [
        ("seen", ledger.seen),
        ("filtered", ledger.filtered),
        ("matched", ledger.matched),
        ("submitted", ledger.submitted),
        ("ring_full", ledger.ring_full),
        ("unreadable", ledger.unreadable),
        ("written", ledger.written),
        ("queue_full", ledger.discarded.queue_full),
        ("disk_full", ledger.discarded.disk_full),
        ("write_error", ledger.discarded.write_error),
        ("stopped", ledger.discarded.stopped),
        ("truncated", ledger.truncated),
    ]
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
