//! From values to places on the picture, and where the axis has its marks.

/// A straight or logarithmic axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    log: bool,
    pub(super) ticks: Vec<f64>,
}

impl Scale {
    /// From 0 to a round number at or above `most`, with about `count` marks.
    pub(super) fn linear(most: f64, count: usize) -> Self {
        let most = if most > 0.0 && most.is_finite() { most } else { 1.0 };
        let step = round_step(most / count.max(1) as f64);
        let steps = (most / step - 1e-9).ceil().max(1.0);
        let ticks = (0..=steps as usize).map(|n| n as f64 * step).collect();
        Self { low: 0.0, high: steps * step, log: false, ticks }
    }

    /// Whole numbers only: replicas, errors.
    pub(super) fn counts(most: f64, count: usize) -> Self {
        let mut scale = Self::linear(most.max(1.0), count);
        if scale.ticks.get(1).is_some_and(|step| *step < 1.0) {
            let high = most.ceil().max(1.0);
            scale = Self {
                low: 0.0,
                high,
                log: false,
                ticks: (0..=high as usize).map(|n| n as f64).collect(),
            };
        }
        scale
    }

    /// From just below `least` to just above `most`, marks at 1, 2 and 5 of each decade (1 when there are many).
    pub(super) fn log(least: f64, most: f64) -> Self {
        let least = if least > 0.0 && least.is_finite() { least } else { 1e-3 };
        let most = most.max(least * 2.0);
        let decades = (least.log10().floor() as i32)..=(most.log10().ceil() as i32);
        let few = most / least < 2_000.0;
        let all = decades.flat_map(|exponent| [1.0, 2.0, 5.0].map(|n| n * 10_f64.powi(exponent)));
        let all: Vec<f64> = all.filter(|tick| few || mantissa_is_one(*tick)).collect();
        let low =
            all.iter().copied().filter(|tick| *tick <= least * 1.000_001).fold(f64::NAN, f64::max);
        let high =
            all.iter().copied().filter(|tick| *tick >= most * 0.999_999).fold(f64::NAN, f64::min);
        let low = if low.is_nan() { least } else { low };
        let high = if high.is_nan() { most } else { high };
        let ticks = all
            .into_iter()
            .filter(|tick| *tick >= low * 0.999_999 && *tick <= high * 1.000_001)
            .collect();
        Self { low, high, log: true, ticks }
    }

    /// A time axis that ends exactly where the run did.
    pub(super) fn time(seconds: f64) -> Self {
        let high = if seconds > 0.0 && seconds.is_finite() { seconds } else { 1.0 };
        const STEPS: [f64; 17] = [
            0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0,
            3600.0, 14_400.0, 86_400.0,
        ];
        let step = STEPS.into_iter().find(|step| high / step <= 12.0).unwrap_or(high / 10.0);
        let ticks = (0..)
            .map(|n| f64::from(n) * step)
            .take_while(|tick| *tick <= high * 1.000_001)
            .collect();
        Self { low: 0.0, high, log: false, ticks }
    }

    /// 0 at the lower end, 1 at the upper.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }
}

fn mantissa_is_one(tick: f64) -> bool {
    let exponent = tick.log10();
    (exponent - exponent.round()).abs() < 1e-6
}

/// 1, 2 or 5 times a power of ten, at or above `step`.
fn round_step(step: f64) -> f64 {
    let decade = 10_f64.powf(step.log10().floor());
    let found = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|n| n * decade)
        .find(|round| *round >= step * 0.999_999);
    found.unwrap_or(decade * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_reach_over_the_most() {
        assert_eq!(Scale::linear(187.0, 4).ticks, [0.0, 50.0, 100.0, 150.0, 200.0]);
        assert_eq!(Scale::linear(0.0, 4).ticks.last(), Some(&1.0));
        assert_eq!(Scale::counts(3.0, 4).ticks, [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(Scale::counts(0.0, 4).ticks, [0.0, 1.0]);
        assert_eq!(Scale::time(65.0).ticks, [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        let log = Scale::log(0.003, 0.9);
        assert!(
            (log.ticks[0] - 0.002).abs() < 1e-9 && (log.ticks.last().unwrap() - 1.0).abs() < 1e-9,
            "{log:?}"
        );
    }

    proptest::proptest! {
        #[test]
        fn every_value_has_a_place(least in 1e-6_f64..10.0, factor in 1.0_f64..1e6, value in -1.0_f64..1e9) {
            for scale in [Scale::linear(least * factor, 4), Scale::counts(factor, 4), Scale::log(least, least * factor), Scale::time(factor)] {
                proptest::prop_assert!((0.0..=1.0).contains(&scale.place(value)));
                proptest::prop_assert!(scale.ticks.len() < 60, "{scale:?}");
                proptest::prop_assert!(scale.ticks.windows(2).all(|pair| pair[0] < pair[1]));
            }
        }
    }
}
