//! Quantiles of times in bounded memory, with a resolution of a sixteenth.

/// Sixteen steps for each power of two.
const STEPS: u32 = 4;

/// A histogram of nanoseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Quantiles {
    counts: Vec<u64>,
    total: u64,
}

impl Quantiles {
    pub(crate) fn add(&mut self, time: u64) {
        let bucket = bucket(time);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
    }

    /// The smallest time such that at least this share of all times is not above it.
    pub(crate) fn at(&self, share: f64) -> Option<u64> {
        let wanted = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut sum = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            sum += count;
            if sum >= wanted {
                return Some(middle(bucket));
            }
        }
        None
    }

    /// The median and the 95th percentile.
    pub(crate) fn median_and_95th(&self) -> Option<(u64, u64)> {
        Some((self.at(0.5)?, self.at(0.95)?))
    }
}

fn bucket(time: u64) -> usize {
    let power = time.max(1).ilog2();
    if power < STEPS {
        return time as usize;
    }
    let step = (time >> (power - STEPS)) & ((1 << STEPS) - 1);
    (((power - STEPS + 1) << STEPS) as u64 + step) as usize
}

fn middle(bucket: usize) -> u64 {
    let (power, step) = (
        (bucket >> STEPS) as u32,
        (bucket & ((1 << STEPS) - 1)) as u64,
    );
    if power == 0 {
        return step;
    }
    let width = 1u64 << (power - 1);
    ((1 << STEPS) + step) * width + width / 2
}

#[cfg(test)]
mod tests {
    use super::Quantiles;

    #[test]
    fn quantiles_are_exact_to_a_sixteenth() {
        let mut quantiles = Quantiles::default();
        assert_eq!(quantiles.at(0.5), None);
        for time in (1..=10_000).map(|time| time * 1_000) {
            quantiles.add(time);
        }
        for (share, exact) in [(0.5, 5_000_000.0), (0.95, 9_500_000.0), (1.0, 10_000_000.0)] {
            let found = quantiles.at(share).unwrap() as f64;
            assert!((found / exact - 1.0).abs() < 1.0 / 16.0, "{share}: {found}");
        }
    }
}
