//! Metrics and health over HTTP.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use capture_metrics::Source;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};

/// The coordinator's metrics.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    reconciles: Family<ByResult, Counter>,
    actions: Family<ByAction, Counter>,
    statuses: Counter,
    leads: Arc<AtomicBool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByAction {
    action: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByLink {
    link: &'static str,
}

/// Gauges that are computed on request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Current {
    /// Number of resources.
    pub resources: usize,
    /// Number of pods.
    pub pods: usize,
    /// Connected daemons.
    pub connected: usize,
    /// Daemons that are not connected.
    pub not_connected: usize,
}

const fn result(is_ok: bool) -> &'static str {
    if is_ok { "ok" } else { "error" }
}

impl Metrics {
    /// A resource was looked at.
    pub fn reconciled(&self, is_ok: bool) {
        let labels = ByResult {
            result: result(is_ok),
        };
        self.reconciles.get_or_create(&labels).inc();
    }

    /// A node was asked for something.
    pub fn acted(&self, action: &'static str, is_ok: bool) {
        let labels = ByAction {
            action,
            result: result(is_ok),
        };
        self.actions.get_or_create(&labels).inc();
    }

    /// A status was written.
    pub fn wrote_status(&self) {
        self.statuses.inc();
    }

    /// Whether this process leads.
    pub fn set_leads(&self, leads: bool) {
        self.leads.store(leads, Relaxed);
    }

    /// All metrics as text.
    ///
    /// # Errors
    /// None in practice: text is written to memory.
    pub fn text(&self, current: Current) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("capture_coordinator");
        let build = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "Version of the coordinator", Info::new(build));
        registry.register(
            "reconciles",
            "Looks at resources, by result",
            self.reconciles.clone(),
        );
        registry.register(
            "node_actions",
            "What was asked of nodes, by action and result",
            self.actions.clone(),
        );
        registry.register(
            "status_writes",
            "Statuses written to the API server",
            self.statuses.clone(),
        );
        let gauge = |value: usize| {
            let gauge = Gauge::<i64>::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            gauge
        };
        let leads = usize::from(self.leads.load(Relaxed));
        registry.register("leader", "1 where this process leads", gauge(leads));
        registry.register(
            "resources",
            "PacketCaptureConfigs that are known",
            gauge(current.resources),
        );
        registry.register("pods", "Pods that are known", gauge(current.pods));
        let daemons = Family::<ByLink, Gauge>::default();
        for (link, number) in [
            ("connected", current.connected),
            ("not_connected", current.not_connected),
        ] {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            daemons.get_or_create(&ByLink { link }).set(number);
        }
        registry.register("daemons", "Daemons, by connection", daemons);
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// The state behind the pages.
#[derive(Clone)]
struct Pages {
    metrics: Metrics,
    current: Arc<dyn Fn() -> Current + Send + Sync>,
    ready: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// Serves `/metrics`, `/healthz` and `/readyz`.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(
    address: SocketAddr,
    metrics: Metrics,
    current: impl Fn() -> Current + Send + Sync + 'static,
    ready: impl Fn() -> bool + Send + Sync + 'static,
) -> std::io::Result<()> {
    let pages = Pages {
        metrics,
        current: Arc::new(current),
        ready: Arc::new(ready),
    };
    capture_metrics::serve(address, pages, std::future::pending()).await
}

impl Source for Pages {
    async fn metrics(&self) -> Result<String, fmt::Error> {
        self.metrics.text((self.current)())
    }

    /// Ready: everything has been listed once.
    async fn not_ready(&self) -> Option<String> {
        let text = "the lists of resources, pods and nodes are still being read";
        (!(self.ready)()).then(|| text.to_owned())
    }
}
