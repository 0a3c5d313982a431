//! How calls of one function ended: counts and durations by status code, and how long calls waited.
//!
//! Nothing is allocated until a code is first seen, so a function that is never called costs a few
//! words. A code's buckets are sharded as the meter is.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::meter::ShardIndex;

/// Upper bounds of `gateway_functions_seconds`, in nanoseconds: the Prometheus clients' default.
pub(crate) const CALL_BOUNDS: [u64; 11] = [
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Upper bounds of waits, in nanoseconds.
pub(crate) const WAIT_BOUNDS: [u64; 11] = [
    1_000_000,
    5_000_000,
    15_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
    2_500_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
];

/// Different codes kept apart; a function that answers with more has the rest counted as one.
const CODES: usize = 12;

/// Stands for all codes beyond the first [`CODES`].
pub(crate) const OTHER_CODES: u16 = 0;

/// Ends of calls by code.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    codes: [OnceLock<Box<CodeSeries>>; CODES],
}

/// Ends of calls with one code.
#[derive(Debug)]
pub(crate) struct CodeSeries {
    code: u16,
    shards: Box<[Histogram]>,
}

/// Counts by upper bound and the sum.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Histogram {
    counts: [AtomicU64; 12],
    sum_nanos: AtomicU64,
}

/// A histogram at one moment.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) counts: [u64; 12],
    pub(crate) sum_nanos: u64,
}

impl Outcomes {
    /// Counts a call that ended with `code` after `span`.
    pub(crate) fn record(&self, code: u16, span: Duration, shard: ShardIndex, shards: usize) {
        let series = self.series(code, shards);
        series.shards[shard.get() & (series.shards.len() - 1)].record(&CALL_BOUNDS, span);
    }

    /// All codes seen so far.
    pub(crate) fn seen(&self) -> impl Iterator<Item = &CodeSeries> {
        self.codes.iter().map_while(|slot| slot.get()).map(|series| &**series)
    }

    fn series(&self, code: u16, shards: usize) -> &CodeSeries {
        let (last, first) = self.codes.split_last().expect("there are twelve");
        for slot in first {
            // Whoever fills the slot first decides its code; the loser looks at the next slot.
            let series = slot.get_or_init(|| Box::new(CodeSeries::new(code, shards)));
            if series.code == code {
                return series;
            }
        }
        last.get_or_init(|| Box::new(CodeSeries::new(OTHER_CODES, shards)))
    }
}

impl CodeSeries {
    fn new(code: u16, shards: usize) -> Self {
        Self { code, shards: (0..shards).map(|_| Histogram::default()).collect() }
    }

    /// The status code, or [`OTHER_CODES`].
    pub(crate) fn code(&self) -> u16 {
        self.code
    }

    /// Counts of all shards.
    pub(crate) fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for shard in &self.shards {
            shard.add_to(&mut sum);
        }
        sum
    }
}

impl Histogram {
    /// Counts one span; `bounds` are those of this histogram.
    pub(crate) fn record(&self, bounds: &[u64; 11], span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let bucket = bounds.iter().position(|bound| nanos <= *bound).unwrap_or(bounds.len());
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        self.add_to(&mut sum);
        sum
    }

    fn add_to(&self, sum: &mut Counts) {
        for (to, from) in sum.counts.iter_mut().zip(&self.counts) {
            *to += from.load(Ordering::Relaxed);
        }
        sum.sum_nanos += self.sum_nanos.load(Ordering::Relaxed);
    }
}

impl Counts {
    /// Adds those of another histogram with the same bounds.
    pub(crate) fn add(&mut self, other: &Self) {
        for (to, from) in self.counts.iter_mut().zip(&other.counts) {
            *to += from;
        }
        self.sum_nanos += other.sum_nanos;
    }

    /// How many were counted.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.sum_nanos as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Meter;
    use tidegate_core::Moment;

    #[test]
    fn codes_beyond_the_twelfth_are_counted_as_one() {
        let outcomes = Outcomes::default();
        let shard = Meter::new(1).enter(Moment::ZERO);
        for code in 200..220 {
            outcomes.record(code, Duration::from_millis(30), shard, 1);
        }
        let seen: Vec<_> = outcomes.seen().map(|one| (one.code(), one.counts().total())).collect();
        assert_eq!(seen.len(), 12);
        assert_eq!(seen[0], (200, 1));
        assert_eq!(seen[11], (OTHER_CODES, 9));
    }

    #[test]
    fn a_span_on_a_bound_is_within_it() {
        let histogram = Histogram::default();
        histogram.record(&CALL_BOUNDS, Duration::from_millis(5));
        histogram.record(&CALL_BOUNDS, Duration::from_secs(100));
        let counts = histogram.counts();
        assert_eq!((counts.counts[0], counts.counts[11], counts.total()), (1, 1, 2));
    }
}
