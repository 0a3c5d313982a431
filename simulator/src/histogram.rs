//! Percentiles of spans of time in little memory: buckets that grow by a hundredth or so.

/// Buckets for each doubling: the error is below 0.8 %.
const PARTS: u32 = 64;
const PART_BITS: u32 = PARTS.trailing_zeros();

/// How often spans of which length occurred.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum: u128,
    most: u64,
}

impl Histogram {
    /// Counts one span, in nanoseconds.
    pub fn record(&mut self, nanos: u64) {
        let bucket = bucket(nanos);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
        self.sum += u128::from(nanos);
        self.most = self.most.max(nanos);
    }

    /// How many were counted.
    pub const fn count(&self) -> u64 {
        self.total
    }

    /// The span that this share (0 to 1) does not exceed, in seconds; zero when none was counted.
    pub fn percentile(&self, share: f64) -> f64 {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return highest(bucket).min(self.most) as f64 / 1e9;
            }
        }
        0.0
    }

    /// The mean, in seconds.
    pub fn mean(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.sum as f64 / self.total as f64 / 1e9 }
    }

    /// The longest, in seconds.
    pub fn most(&self) -> f64 {
        self.most as f64 / 1e9
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < u64::from(PARTS) {
        return nanos as usize;
    }
    let shift = nanos.ilog2() - PART_BITS;
    let part = (nanos >> shift) as usize - PARTS as usize;
    (shift as usize + 1) * PARTS as usize + part
}

/// The highest number of a bucket.
fn highest(bucket: usize) -> u64 {
    let (group, part) = (bucket / PARTS as usize, (bucket % PARTS as usize) as u64);
    if group == 0 {
        return part;
    }
    let shift = group as u32 - 1;
    ((u64::from(PARTS) + part + 1) << shift).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentiles_are_close() {
        let mut histogram = Histogram::default();
        for millis in 1..=1000_u64 {
            histogram.record(millis * 1_000_000);
        }
        for (share, seconds) in [(0.5, 0.5), (0.99, 0.99), (1.0, 1.0)] {
            let found = histogram.percentile(share);
            assert!((found / seconds - 1.0).abs() < 0.02, "{share}: {found}");
        }
        assert!((histogram.mean() - 0.5005).abs() < 1e-9);
        assert_eq!(Histogram::default().percentile(0.5), 0.0);
    }

    proptest! {
        #[test]
        fn a_number_lies_in_its_bucket(nanos in any::<u64>()) {
            let found = bucket(nanos);
            prop_assert!(highest(found) >= nanos);
            prop_assert!(found == 0 || highest(found - 1) < nanos);
        }
    }
}
