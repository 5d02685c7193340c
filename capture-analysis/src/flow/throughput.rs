//! How much a flow carries over time.

use std::ops::AddAssign;

use crate::{engine::Series, flow::Span};

/// Buckets of a flow.
const BUCKETS: u64 = 64;
/// Steps over which the bytes before the first bucket are spread.
const STEPS: u64 = 256;

/// Bytes each way.
#[derive(Debug, Clone, Copy, Default)]
struct Bytes([u64; 2]);

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Self) {
        self.0[0] += other.0[0];
        self.0[1] += other.0[1];
    }
}

/// Bytes each way over time.
#[derive(Debug, Clone, Default)]
pub struct Throughput(Series<Bytes, BUCKETS>);

impl Throughput {
    /// From the packets so far, which are taken for even over their time.
    pub(super) fn of(span: Span, bytes: [u64; 2]) -> Self {
        let mut throughput = Self::default();
        for step in 0..STEPS {
            let time = span.first + span.duration() / STEPS * step;
            for (way, bytes) in bytes.into_iter().enumerate() {
                let rest = if step == 0 { bytes % STEPS } else { 0 };
                throughput.add(time, way, bytes / STEPS + rest);
            }
        }
        throughput
    }

    #[inline]
    pub(super) fn add(&mut self, time: u64, way: usize, bytes: u64) {
        self.0.at(time).0[way] += bytes;
    }

    /// When the first bucket begins, nanoseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.0.start().unwrap_or(0)
    }

    /// Nanoseconds of a bucket.
    #[must_use]
    pub const fn width(&self) -> u64 {
        self.0.width()
    }

    /// Bytes one way, bucket by bucket.
    #[must_use]
    pub fn bytes(&self, way: usize) -> Vec<u64> {
        let buckets = self.0.buckets().iter();
        buckets.map(|bucket| bucket.0[way]).collect()
    }
}
