//! Metrics of captures.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric, counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::manager::{Capture, State};
use capture_pipeline::{WRITE_BOUNDS, Writes};
use capture_types::Ledger;

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
pub(super) struct ByState {
    pub(super) state: String,
}

/// Metrics of all captures.
#[derive(Default)]
pub(super) struct Numbers {
    pub(super) states: Family<ByState, Gauge>,
    packets: Family<ByPackets, Counter>,
    bytes: Family<ByCapture, Counter>,
    files: Family<ByCapture, Counter>,
    unexported: Family<ByCapture, Counter>,
    warnings: Family<ByCapture, Gauge>,
    queued: Family<ByCapture, Gauge>,
    ring_used: Family<ByCapture, Gauge>,
    ring_size: Family<ByCapture, Gauge>,
    writes: Family<ByCapture, WriteTimes>,
}

impl Numbers {
    /// Adds the metrics of a capture.
    pub(super) fn add(&self, capture: &Capture) {
        let record = capture.counts();
        let state = record.state.to_string();
        self.states.get_or_create(&ByState { state }).inc();
        let labels = ByCapture {
            capture: record.name.to_string(),
        };
        let totals = &record.totals;
        self.bytes.get_or_create(&labels).inc_by(totals.bytes);
        self.files.get_or_create(&labels).inc_by(totals.files);
        self.warnings
            .get_or_create(&labels)
            .set(signed(record.warnings));
        for interface in &totals.interfaces {
            for (outcome, count) in outcomes(&interface.ledger) {
                let labels = ByPackets {
                    capture: labels.capture.clone(),
                    interface: interface.name.clone(),
                    outcome,
                };
                self.packets.get_or_create(&labels).inc_by(count);
            }
        }
        let Some(monitor) = capture.monitor().filter(|_| record.state == State::Running) else {
            return;
        };
        let (progress, ring) = (monitor.progress(), monitor.ring());
        let gauges = [
            (&self.queued, progress.queued() as u64),
            (&self.ring_used, ring.used()),
            (&self.ring_size, ring.size()),
        ];
        self.unexported
            .get_or_create(&labels)
            .inc_by(progress.unexported());
        for (gauge, value) in gauges {
            gauge.get_or_create(&labels).set(signed(value));
        }
        self.writes.get_or_create(&labels).set(progress.writes());
    }

    /// Registers the metrics under their names.
    pub(super) fn register(self, registry: &mut Registry) {
        registry.register(
            "packets",
            "The ledger: packets by capture, interface and outcome",
            self.packets,
        );
        registry.register_with_unit(
            "written",
            "Bytes that captures have written",
            Unit::Bytes,
            self.bytes,
        );
        registry.register(
            "warnings",
            "Number of warnings of a capture; GetCapture returns their texts",
            self.warnings,
        );
        registry.register("files", "Files that captures have finished", self.files);
        registry.register(
            "unexported_removed_files",
            "Files that retention removed although the sink of retain_until_exported did not have them",
            self.unexported,
        );
        registry.register(
            "queued_blocks",
            "Blocks that wait to be compressed or written",
            self.queued,
        );
        registry.register_with_unit(
            "ring_used",
            "Bytes that wait in the ring buffer of a running capture",
            Unit::Bytes,
            self.ring_used,
        );
        registry.register_with_unit(
            "ring_size",
            "Size of the ring buffer of a running capture",
            Unit::Bytes,
            self.ring_size,
        );
        registry.register_with_unit(
            "write",
            "Time that writing a block of a running capture took",
            Unit::Seconds,
            self.writes,
        );
        registry.register("captures", "Captures by state", self.states);
    }
}

/// The ledger's lines as labels.
fn outcomes(ledger: &Ledger) -> [(&'static str, u64); 13] {
    [
        ("seen", ledger.seen),
        ("filtered", ledger.filtered),
        ("matched", ledger.matched),
        ("submitted", ledger.submitted),
        ("ring_full", ledger.ring_full),
        ("unreadable", ledger.unreadable),
        ("duplicate", ledger.duplicate),
        ("written", ledger.written),
        ("queue_full", ledger.discarded.queue_full),
        ("disk_full", ledger.discarded.disk_full),
        ("write_error", ledger.discarded.write_error),
        ("stopped", ledger.discarded.stopped),
        ("truncated", ledger.truncated),
    ]
}

pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A histogram filled by the pipeline: total seconds, and the number of writes by upper bound.
#[derive(Debug, Default)]
struct WriteTimes(Mutex<(f64, Vec<(f64, u64)>)>);

const MICROSECONDS: f64 = 1e6;

impl WriteTimes {
    fn set(&self, writes: &Writes) {
        let bounds = WRITE_BOUNDS.map(|bound| bound as f64 / MICROSECONDS);
        let buckets = bounds
            .into_iter()
            .chain([f64::INFINITY])
            .zip(writes.counts());
        let total = writes.total() as f64 / MICROSECONDS;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (total, buckets.collect());
    }
}

impl TypedMetric for WriteTimes {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for WriteTimes {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, buckets) = &*numbers;
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(*total, count, buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
