//! Counters over time in a bounded number of buckets: when the time outgrows them, buckets are
//! merged in pairs.

use std::ops::AddAssign;

const NARROWEST: u64 = 1_000_000;

/// Counters over time, in at most this many buckets; at least half of them stay in use once all were.
#[derive(Debug, Clone)]
pub(crate) struct Series<T, const BUCKETS: u64 = 512> {
    start: Option<u64>,
    /// Nanoseconds of a bucket.
    width: u64,
    buckets: Vec<T>,
}

impl<T, const BUCKETS: u64> Default for Series<T, BUCKETS> {
    fn default() -> Self {
        Self {
            start: None,
            width: NARROWEST,
            buckets: Vec::new(),
        }
    }
}

impl<T: Clone + Default + AddAssign, const BUCKETS: u64> Series<T, BUCKETS> {
    /// The bucket of a time. Times before the first bucket count in it.
    #[inline]
    pub(crate) fn at(&mut self, time: u64) -> &mut T {
        let start = *self.start.get_or_insert(time);
        let since = time.saturating_sub(start);
        while since / self.width >= BUCKETS {
            self.widen();
        }
        let bucket = (since / self.width) as usize;
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, T::default());
        }
        &mut self.buckets[bucket]
    }

    fn widen(&mut self) {
        self.width *= 2;
        let old = std::mem::take(&mut self.buckets);
        for pair in old.chunks(2) {
            let mut sum = T::default();
            for bucket in pair {
                sum += bucket.clone();
            }
            self.buckets.push(sum);
        }
    }

    /// When the first bucket begins.
    #[must_use]
    pub(crate) const fn start(&self) -> Option<u64> {
        self.start
    }

    /// Nanoseconds of a bucket.
    #[must_use]
    pub(crate) const fn width(&self) -> u64 {
        self.width
    }

    /// The buckets.
    #[must_use]
    pub(crate) fn buckets(&self) -> &[T] {
        &self.buckets
    }
}
