//! Metrics and health over HTTP, on an address of their own.

use std::{fmt, sync::Arc, time::Duration};

use axum::http::StatusCode;
use capture_metrics::Source;
use futures_util::future::BoxFuture;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

/// Bounds of the buckets of analysis times, seconds.
const TIMES: [f64; 10] = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0];

/// The server's metrics.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    requests: Family<ByStatus, Counter>,
    uploads: Family<ByResult, Counter>,
    upload_bytes: Counter,
    analyses: Family<ByResult, Counter>,
    analysed_packets: Counter,
    analysis_seconds: Histogram,
    logins: Family<ByResult, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    /// Of few: the class of the status, as 2xx.
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

/// Gauges that are computed on request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Current {
    /// Tasks that wait; absent if the database does not answer.
    pub queue: Option<(u64, u64)>,
    /// Bytes free for files.
    pub free_bytes: Option<u64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(Counters {
            requests: Family::default(),
            uploads: Family::default(),
            upload_bytes: Counter::default(),
            analyses: Family::default(),
            analysed_packets: Counter::default(),
            analysis_seconds: Histogram::new(TIMES),
            logins: Family::default(),
        }))
    }
}

impl Metrics {
    /// A request was answered.
    pub fn answered(&self, status: StatusCode) {
        let status = match status.as_u16() / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        self.0.requests.get_or_create(&ByStatus { status }).inc();
    }

    /// An upload has ended.
    pub fn uploaded(&self, bytes: Option<u64>) {
        let result = if bytes.is_some() {
            "accepted"
        } else {
            "refused"
        };
        self.0.uploads.get_or_create(&ByResult { result }).inc();
        self.0.upload_bytes.inc_by(bytes.unwrap_or(0));
    }

    /// A report is ready.
    pub fn analysed(&self, time: Duration, packets: u64) {
        self.0
            .analyses
            .get_or_create(&ByResult { result: "done" })
            .inc();
        self.0.analysed_packets.inc_by(packets);
        self.0.analysis_seconds.observe(time.as_secs_f64());
    }

    /// An analysis ended without a report.
    pub fn failed(&self) {
        self.0
            .analyses
            .get_or_create(&ByResult { result: "failed" })
            .inc();
    }

    /// A worker ended without an answer.
    pub fn lost_worker(&self) {
        self.0
            .analyses
            .get_or_create(&ByResult { result: "lost" })
            .inc();
    }

    /// Somebody logged in, or tried to.
    pub fn login(&self, succeeded: bool) {
        let result = if succeeded { "ok" } else { "refused" };
        self.0.logins.get_or_create(&ByResult { result }).inc();
    }

    fn text(&self, current: Current) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("capture_web");
        let build = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "Version of the server", Info::new(build));
        let counters = &self.0;
        registry.register(
            "requests",
            "Requests answered, by class of status",
            counters.requests.clone(),
        );
        registry.register("uploads", "Uploads, by result", counters.uploads.clone());
        registry.register(
            "upload_bytes",
            "Bytes of accepted uploads",
            counters.upload_bytes.clone(),
        );
        registry.register(
            "analyses",
            "Analyses, by result; lost: the worker ended without an answer",
            counters.analyses.clone(),
        );
        registry.register(
            "analysed_packets",
            "Packets in reports",
            counters.analysed_packets.clone(),
        );
        registry.register(
            "analysis_seconds",
            "Time from a claim to its report",
            counters.analysis_seconds.clone(),
        );
        registry.register("logins", "Logins, by result", counters.logins.clone());
        let mut gauge = |name, help, value: Option<u64>| {
            if let Some(value) = value {
                let gauge = Gauge::<i64>::default();
                gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
                registry.register(name, help, gauge);
            }
        };
        gauge(
            "queue_waiting",
            "Tasks that wait, over all replicas",
            current.queue.map(|queue| queue.0),
        );
        gauge(
            "queue_running",
            "Tasks that run, over all replicas",
            current.queue.map(|queue| queue.1),
        );
        gauge(
            "disk_free_bytes",
            "Bytes free in the data directory",
            current.free_bytes,
        );
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// What the pages show.
#[derive(Clone)]
pub(crate) struct Pages {
    /// The counters.
    pub metrics: Metrics,
    /// Computes the gauges.
    pub current: Arc<dyn Fn() -> BoxFuture<'static, Current> + Send + Sync>,
    /// Why the server cannot take work; nothing if it can.
    pub not_ready: Arc<dyn Fn() -> BoxFuture<'static, Vec<String>> + Send + Sync>,
}

impl Source for Pages {
    async fn metrics(&self) -> Result<String, fmt::Error> {
        self.metrics.text((self.current)().await)
    }

    async fn not_ready(&self) -> Option<String> {
        let problems = (self.not_ready)().await;
        (!problems.is_empty()).then(|| problems.join("\n"))
    }
}
