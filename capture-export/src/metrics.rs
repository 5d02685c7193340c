//! Metrics and health over HTTP.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use capture_metrics::Source;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};

use crate::search::SearchMetrics;

type Unsigned = Gauge<u64, AtomicU64>;

/// The exporter's metrics.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    files: Family<ByResult, Counter>,
    bytes: Family<BySink, Counter>,
    packets: Family<BySink, Counter>,
    missed: Family<BySink, Unsigned>,
    waiting_files: Family<BySink, Unsigned>,
    waiting_bytes: Family<BySink, Unsigned>,
    aside: Family<BySink, Unsigned>,
    oldest: Family<BySink, Unsigned>,
    up: Family<BySink, Gauge>,
    last: Family<BySink, Unsigned>,
    scanned: Arc<AtomicBool>,
    search: SearchMetrics,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BySink {
    sink: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    sink: String,
    result: &'static str,
}

/// What waits for a sink.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// How long ago the latest packet of the oldest one was recorded, in seconds; 0 if nothing waits.
    pub age: u64,
    /// Files that were put aside.
    pub aside: u64,
    /// Files that were removed before they were delivered.
    pub missed: u64,
}

/// How an attempt to deliver a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The sink has it.
    Delivered,
    /// It is tried again.
    Retried,
    /// It was put aside.
    Rejected,
    /// It was removed or replaced meanwhile.
    Gone,
}

impl Metrics {
    /// An attempt has ended.
    pub fn attempted(&self, sink: &str, attempt: Attempt) {
        let result = match attempt {
            Attempt::Delivered => "delivered",
            Attempt::Retried => "retried",
            Attempt::Rejected => "rejected",
            Attempt::Gone => "gone",
        };
        let sink = sink.to_owned();
        self.files.get_or_create(&ByResult { sink, result }).inc();
    }

    /// A file was delivered, at this time in seconds since 1970.
    pub fn delivered(&self, sink: &str, bytes: u64, packets: u64, at: u64) {
        let label = by(sink);
        self.bytes.get_or_create(&label).inc_by(bytes);
        self.packets.get_or_create(&label).inc_by(packets);
        self.last.get_or_create(&label).set(at);
    }

    /// Whether the sink takes files at present.
    pub fn set_up(&self, sink: &str, up: bool) {
        self.up.get_or_create(&by(sink)).set(i64::from(up));
    }

    /// What waits.
    pub fn set_backlog(&self, sink: &str, backlog: Backlog) {
        let label = by(sink);
        self.waiting_files.get_or_create(&label).set(backlog.files);
        self.waiting_bytes.get_or_create(&label).set(backlog.bytes);
        self.oldest.get_or_create(&label).set(backlog.age);
        self.aside.get_or_create(&label).set(backlog.aside);
        self.missed.get_or_create(&label).set(backlog.missed);
    }

    /// Those of search clusters.
    #[must_use]
    pub fn search(&self) -> SearchMetrics {
        self.search.clone()
    }

    /// The data directory was read.
    pub fn set_scanned(&self, scanned: bool) {
        self.scanned.store(scanned, Relaxed);
    }

    /// All metrics as text.
    ///
    /// # Errors
    /// None in practice: text is written to memory.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut all = Registry::default();
        self.search.register(&mut all);
        let registry = all.sub_registry_with_prefix("capture_export");
        let build = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "Version of the exporter", Info::new(build));
        registry.register(
            "files",
            "Attempts to deliver a file, by result",
            self.files.clone(),
        );
        registry.register("bytes", "Bytes of delivered files", self.bytes.clone());
        registry.register(
            "packets",
            "Packets in delivered files, where known",
            self.packets.clone(),
        );
        registry.register(
            "waiting_files",
            "Files that wait",
            self.waiting_files.clone(),
        );
        registry.register(
            "waiting_bytes",
            "Bytes of files that wait",
            self.waiting_bytes.clone(),
        );
        registry.register(
            "oldest_waiting_seconds",
            "Age of the latest packet of the oldest file that waits; 0 if none does",
            self.oldest.clone(),
        );
        registry.register(
            "aside_files",
            "Files that were put aside",
            self.aside.clone(),
        );
        registry.register(
            "missed_files",
            "Files that retention removed before they were delivered",
            self.missed.clone(),
        );
        registry.register("sink_up", "1 if the sink takes files", self.up.clone());
        registry.register(
            "last_delivery_timestamp_seconds",
            "When the latest file was delivered",
            self.last.clone(),
        );
        let mut text = String::new();
        encode(&mut text, &all)?;
        Ok(text)
    }
}

fn by(sink: &str) -> BySink {
    BySink {
        sink: sink.to_owned(),
    }
}

impl Source for Metrics {
    async fn metrics(&self) -> Result<String, fmt::Error> {
        self.text()
    }

    async fn not_ready(&self) -> Option<String> {
        let text = "the data directory could not be read yet";
        (!self.scanned.load(Relaxed)).then(|| text.to_owned())
    }
}
