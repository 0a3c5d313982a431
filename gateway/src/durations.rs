//! How long the calls of one function took, as counts by upper bound: what a percentile is read from.

use crate::outcomes::{CALL_BOUNDS, Counts};

/// Calls that have ended, by how long they took.
#[derive(Copy, Clone, Debug, Default)]
pub struct Durations(pub(crate) Counts);

impl Durations {
    /// Those that ended after `earlier` was read.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.0;
        for (count, before) in counts.counts.iter_mut().zip(&earlier.0.counts) {
            *count = count.saturating_sub(*before);
        }
        counts.sum_nanos = counts.sum_nanos.saturating_sub(earlier.0.sum_nanos);
        Self(counts)
    }

    /// How many they are.
    pub fn count(&self) -> u64 {
        self.0.total()
    }

    /// The time in seconds that `percent` (0 to 100) of them kept, interpolated between the bounds of the
    /// histogram `gateway_functions_seconds`. Beyond the last bound it is the mean of the calls there, by the
    /// sum of all. `None` without a call.
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        let rank = percent / 100.0 * total as f64;
        let mut below = 0;
        for (at, count) in self.0.counts.iter().enumerate() {
            if *count > 0 && (below + count) as f64 >= rank {
                let Some(upper) = CALL_BOUNDS.get(at) else { break };
                let lower = lower_bound(at);
                let share = (rank - below as f64).max(0.0) / *count as f64;
                return Some(seconds(lower) + (seconds(*upper) - seconds(lower)) * share);
            }
            below += count;
        }
        Some(self.mean_beyond())
    }

    /// Of the calls beyond the last bound, if all others took as long as the middle of their buckets.
    fn mean_beyond(&self) -> f64 {
        let last = seconds(CALL_BOUNDS[CALL_BOUNDS.len() - 1]);
        let (beyond, within) = self.0.counts.split_last().expect("there are twelve");
        let middle = |at: usize| seconds(lower_bound(at) + CALL_BOUNDS[at]) / 2.0;
        let others: f64 =
            within.iter().enumerate().map(|(at, count)| *count as f64 * middle(at)).sum();
        ((seconds(self.0.sum_nanos) - others) / (*beyond).max(1) as f64).max(last)
    }
}

fn lower_bound(at: usize) -> u64 {
    at.checked_sub(1).map_or(0, |before| CALL_BOUNDS[before])
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcomes::Histogram;

    fn of(millis: impl IntoIterator<Item = u64>) -> Durations {
        let histogram = Histogram::default();
        for millis in millis {
            histogram.record(&CALL_BOUNDS, Duration::from_millis(millis));
        }
        Durations(histogram.counts())
    }

    #[test]
    fn a_percentile_is_interpolated_within_its_bucket() {
        // A hundred evenly from 101 to 200 ms fall into the bucket from 100 to 250 ms.
        let even = of(101..=200);
        assert_eq!(even.percentile(50.0), Some(0.175));
        assert_eq!(even.percentile(100.0), Some(0.25));
        let two = of((0..90).map(|_| 3).chain((0..10).map(|_| 700)));
        assert_eq!(two.percentile(90.0), Some(0.005));
        assert_eq!(two.percentile(95.0), Some(0.75));
        assert_eq!(of([]).percentile(95.0), None);
    }

    #[test]
    fn beyond_the_last_bound_the_sum_tells() {
        let slow = of([40_000; 5]);
        assert_eq!(slow.percentile(50.0), Some(40.0));
        let mixed = of([75, 75, 75, 75, 30_000]);
        assert_eq!(mixed.percentile(99.0), Some(30.0));
        assert_eq!(mixed.percentile(80.0), Some(0.1));
    }

    #[test]
    fn only_what_ended_since_counts() {
        let (first, all) = (of([3; 50]), of([3; 50].into_iter().chain([700; 50])));
        let lately = all.since(&first);
        assert_eq!((lately.count(), lately.percentile(50.0)), (50, Some(0.75)));
        assert_eq!(all.since(&all).percentile(50.0), None);
    }
}
