//! From counts to results: percentiles, hey's histogram, seconds.

use crate::record::{Counts, PHASES, Plain, Spread};
use crate::results::{Latency, Phase, Second, Tally};

/// Percentiles of every [`Latency`].
const PERCENTILES: [f64; 9] = [10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99];
/// Steps of hey's histogram; it has a row more.
const STEPS: usize = 10;

const NANOS: f64 = 1e9;

/// Counts as they are shown.
pub(crate) fn tally(name: &str, counts: &Counts, open_loop: bool) -> Tally {
    let uncorrected = latency(&counts.uncorrected);
    Tally {
        name: name.to_owned(),
        calls: counts.calls,
        answered: counts.answered,
        errors: counts.errors,
        bytes: counts.bytes,
        corrected: if open_loop { latency(&counts.corrected) } else { uncorrected.clone() },
        uncorrected,
        phases: PHASES.iter().zip(&counts.phases).map(|(name, plain)| phase(name, plain)).collect(),
        statuses: counts.statuses.clone(),
        failures: counts.failures.iter().map(|(text, count)| (text.to_string(), *count)).collect(),
    }
}

fn phase(name: &'static str, plain: &Plain) -> Phase {
    if plain.count == 0 {
        return Phase { name, ..Phase::default() };
    }
    let mean = plain.sum as f64 / plain.count as f64 / NANOS;
    Phase { name, mean, min: plain.min as f64 / NANOS, max: plain.max as f64 / NANOS }
}

/// A distribution as it is shown. Percentiles are within 0.1 % (three digits); mean, least and most are exact.
pub(crate) fn latency(spread: &Spread) -> Latency {
    let plain = &spread.plain;
    if plain.count == 0 {
        return Latency::default();
    }
    Latency {
        count: plain.count,
        min: plain.min as f64 / NANOS,
        mean: plain.sum as f64 / plain.count as f64 / NANOS,
        max: plain.max as f64 / NANOS,
        percentiles: PERCENTILES
            .iter()
            .map(|percent| (*percent, percentile(spread, *percent)))
            .collect(),
        histogram: histogram(spread),
    }
}

/// Seconds within which so many percent lie. Never outside what was seen, though a bucket may reach further.
fn percentile(spread: &Spread, percent: f64) -> f64 {
    let plain = &spread.plain;
    spread.histogram.value_at_percentile(percent).clamp(plain.min, plain.max) as f64 / NANOS
}

/// hey's rows: the least, then ten even steps up to the most; each counts what is above the row before.
fn histogram(spread: &Spread) -> Vec<(f64, u64)> {
    let Plain { min, max, .. } = spread.plain;
    let step = (max - min) as f64 / STEPS as f64;
    let bound = |row: usize| if row == STEPS { max as f64 } else { min as f64 + step * row as f64 };
    let mut rows: Vec<(f64, u64)> = (0..=STEPS).map(|row| (bound(row) / NANOS, 0)).collect();
    let mut row = 0;
    for bucket in spread.histogram.iter_recorded() {
        let value = bucket.value_iterated_to().clamp(min, max);
        // A value in the bucket of the least is the least.
        let value = if spread.histogram.equivalent(value, min) { min } else { value };
        while row < STEPS && value as f64 > bound(row) {
            row += 1;
        }
        rows[row].1 += bucket.count_since_last_iteration();
    }
    rows
}

/// A second as it is shown.
pub(crate) fn second(at: u32, due: u64, sent: u64, counts: &Counts, open_loop: bool) -> Second {
    let spread = if open_loop { &counts.corrected } else { &counts.uncorrected };
    let mut second = Second {
        at,
        due,
        sent,
        answered: counts.answered,
        errors: counts.errors,
        ..Second::default()
    };
    if spread.plain.count > 0 {
        [second.p50, second.p90, second.p99] =
            [50.0, 90.0, 99.0].map(|percent| percentile(spread, percent));
        second.max = spread.plain.max as f64 / NANOS;
    }
    second
}
