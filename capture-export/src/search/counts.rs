//! What became of documents, over all files: documents = accepted + duplicate + rejected + waiting.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::documents::Traffic;

/// Traffic is told by these.
const PROTOCOLS: [&str; 3] = ["tcp", "udp", "other"];

/// What became of the documents of one file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DocumentTotals {
    /// In the index since this delivery.
    pub accepted: u64,
    /// In the index already: a repeat.
    pub duplicate: u64,
    /// Never taken; in the dead letters.
    pub rejected: u64,
}

impl DocumentTotals {
    /// All of them.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.accepted + self.duplicate + self.rejected
    }
}

/// Metrics of all search sinks of the program together. The names are those that users of packet exporters
/// know, and our own.
#[derive(Debug, Clone, Default)]
pub struct SearchMetrics {
    packets: Family<ByProtocol, Counter>,
    bytes: Family<ByProtocol, Counter>,
    writes: Family<ByStatus, Counter>,
    documents: Family<ByOutcome, Counter>,
    waiting: Gauge<i64, AtomicI64>,
    retried: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByProtocol {
    protocol: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

impl SearchMetrics {
    /// Registers them. Each is there from the beginning, with 0: a rate begins with the first document.
    pub fn register(&self, registry: &mut Registry) {
        for protocol in PROTOCOLS {
            drop(self.packets.get_or_create(&ByProtocol { protocol }));
            drop(self.bytes.get_or_create(&ByProtocol { protocol }));
        }
        for status in ["success", "partial", "busy", "failed"] {
            drop(self.writes.get_or_create(&ByStatus { status }));
        }
        for outcome in ["accepted", "duplicate", "rejected"] {
            drop(self.documents.get_or_create(&ByOutcome { outcome }));
        }
        registry.register(
            "pcap_packets",
            "Packets of files whose documents were delivered to search clusters",
            self.packets.clone(),
        );
        registry.register(
            "pcap_bytes",
            "Bytes on the wire of packets of files whose documents were delivered to search clusters",
            self.bytes.clone(),
        );
        registry.register(
            "pcap_elastic_write",
            "Bulk requests to search clusters by status: success, partial, busy, failed",
            self.writes.clone(),
        );
        registry.register(
            "capture_export_documents",
            "Documents by outcome: accepted, duplicate, rejected",
            self.documents.clone(),
        );
        registry.register(
            "capture_export_documents_waiting",
            "Documents that were read and have no outcome yet",
            self.waiting.clone(),
        );
        registry.register(
            "capture_export_documents_retried",
            "Documents that were sent again, each time",
            self.retried.clone(),
        );
    }

    /// A file was delivered: packets and bytes of TCP, UDP and everything else.
    pub(super) fn traffic(&self, traffic: [Traffic; 3]) {
        for (protocol, traffic) in PROTOCOLS.into_iter().zip(traffic) {
            let label = ByProtocol { protocol };
            self.packets.get_or_create(&label).inc_by(traffic.packets);
            self.bytes.get_or_create(&label).inc_by(traffic.bytes);
        }
    }

    /// A bulk request has ended.
    pub(super) fn write(&self, status: &'static str) {
        self.writes.get_or_create(&ByStatus { status }).inc();
    }

    /// Documents are sent again.
    pub(super) fn again(&self, documents: usize) {
        self.retried.inc_by(documents as u64);
    }
}

/// The documents of a delivery. Those without an outcome are waiting, until it ends or is given up.
#[derive(Debug)]
pub(super) struct Counts {
    metrics: SearchMetrics,
    read: AtomicU64,
    accepted: AtomicU64,
    duplicate: AtomicU64,
    rejected: AtomicU64,
}

impl Counts {
    pub(super) fn new(metrics: SearchMetrics) -> Arc<Self> {
        Arc::new(Self {
            metrics,
            read: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            duplicate: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
        })
    }

    pub(super) const fn metrics(&self) -> &SearchMetrics {
        &self.metrics
    }

    pub(super) fn read(&self, documents: usize) {
        self.read.fetch_add(documents as u64, Relaxed);
        self.metrics.waiting.inc_by(documents as i64);
    }

    pub(super) fn accepted(&self) {
        self.outcome(&self.accepted, "accepted");
    }

    pub(super) fn duplicate(&self) {
        self.outcome(&self.duplicate, "duplicate");
    }

    pub(super) fn rejected(&self) {
        self.outcome(&self.rejected, "rejected");
    }

    fn outcome(&self, count: &AtomicU64, outcome: &'static str) {
        count.fetch_add(1, Relaxed);
        let label = ByOutcome { outcome };
        self.metrics.documents.get_or_create(&label).inc();
        self.metrics.waiting.dec();
    }

    pub(super) fn totals(&self) -> DocumentTotals {
        DocumentTotals {
            accepted: self.accepted.load(Relaxed),
            duplicate: self.duplicate.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
        }
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        let rest = self
            .read
            .load(Relaxed)
            .saturating_sub(self.totals().total());
        self.metrics.waiting.dec_by(rest as i64);
    }
}
