//! From a load to a wanted count: the documented formula, in whole numbers.
//!
//! `desired = ceil(load / (target × proportion))`. The count of ready replicas cancels out, so what is
//! on its way is never asked for twice.

use std::time::Duration;

use tidegate_core::{Decimal, Replicas};

use crate::window::Fraction;

/// More calls a second than this is busy, for functions without a target.
pub const BUSY_RATE: u128 = 5;
/// Over this span.
pub const BUSY_SPAN: Duration = Duration::from_secs(10);

/// `ceil(load / (target × proportion))`, exact.
pub fn replicas_for(load: Fraction, target: Decimal, proportion: Decimal) -> Replicas {
    far_from_whole(load, target, proportion).unwrap_or_else(|| exactly(load, target, proportion))
}

/// The same where the quotient is too far from a whole number for rounding to matter, in a fraction of the
/// time: a tick does this many times for each function.
fn far_from_whole(load: Fraction, target: Decimal, proportion: Decimal) -> Option<Replicas> {
    /// Far more than what rounding loses of a quotient below `MOST`.
    const FAR: f64 = 1e-6;
    const MOST: f64 = 1e6;
    let (of, over) = (u64::try_from(load.of).ok()?, u64::try_from(load.over).ok()?);
    let each = target.millionths() as f64 * proportion.millionths() as f64;
    let quotient = of as f64 * 1e12 / (over as f64 * each);
    let whole = if quotient < MOST { quotient as u32 } else { return None };
    let rest = quotient - f64::from(whole);
    (FAR < rest && rest < 1.0 - FAR).then(|| Replicas::new(whole + 1))
}

fn exactly(load: Fraction, target: Decimal, proportion: Decimal) -> Replicas {
    if load.of == 0 {
        return Replicas::ZERO;
    }
    // A target in millionths times a proportion in millionths is in 10⁻¹²ths.
    const SCALE: u128 = 1_000_000_000_000;
    let each = u128::from(target.millionths()) * u128::from(proportion.millionths());
    let Some(each) = each.checked_mul(load.over).filter(|each| *each > 0) else {
        return Replicas::new(u32::MAX);
    };
    let Some(wanted) = load.of.checked_mul(SCALE) else { return Replicas::new(u32::MAX) };
    Replicas::new(u32::try_from(wanted.div_ceil(each)).unwrap_or(u32::MAX))
}

/// As many replicas of `limit` calls each as `demand` calls fill.
pub fn replicas_to_hold(demand: u64, limit: u32) -> Replicas {
    let wanted = demand.div_ceil(u64::from(limit.max(1)));
    Replicas::new(u32::try_from(wanted).unwrap_or(u32::MAX))
}

/// The step of the rule for functions without a target: `ceil(max × factor / 100)`.
pub fn step(max: Replicas, factor: u32) -> Replicas {
    let step = (u64::from(max.get()) * u64::from(factor)).div_ceil(100);
    Replicas::new(u32::try_from(step).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(target: &str, proportion: &str, load: &str) -> u32 {
        let number = |text: &str| text.parse::<Decimal>().expect("a decimal");
        let load = Fraction { of: u128::from(number(load).millionths()), over: 1_000_000 };
        replicas_for(load, number(target), number(proportion)).get()
    }

    #[test]
    fn the_documented_examples_come_out() {
        let examples = [
            ("5", "1.0", "15", 3),
            ("5", "1.0", "25", 5),
            ("5", "1.0", "0", 0),
            ("100", "0.7", "70", 1),
            ("100", "0.7", "90", 2),
            ("50", "0.9", "45", 1),
            ("50", "0.9", "45.1", 2),
            ("1", "0.95", "5", 6),
            ("1", "1", "30", 30),
        ];
        for (target, proportion, load, count) in examples {
            assert_eq!(
                wanted(target, proportion, load),
                count,
                "{load} at {target} × {proportion}"
            );
        }
    }

    #[test]
    fn a_boundary_is_exact_where_floats_are_not() {
        // In binary floats 90 × 0.7 is 62.99999999999999 and 12 × 0.7 is 8.399999999999999.
        assert_eq!(wanted("90", "0.7", "63"), 1);
        assert_eq!(wanted("12", "0.7", "42"), 5);
    }

    #[test]
    fn the_short_way_gives_what_the_exact_one_gives() {
        let (target, proportion) = (Decimal::whole(7), "0.9".parse().expect("a decimal"));
        for of in (0..10_000_000_u128).step_by(1237).chain((0..1000).map(|whole| whole * 63)) {
            for over in [1, 10, 977, 30_000_000_000] {
                let load = Fraction { of, over };
                let exact = exactly(load, target, proportion);
                assert_eq!(replicas_for(load, target, proportion), exact, "{of} over {over}");
            }
        }
    }

    #[test]
    fn the_step_is_a_share_of_the_maximum_rounded_up() {
        let steps = [(5, 10, 1), (5, 20, 1), (3, 50, 2), (5, 100, 5), (20, 50, 10), (20, 0, 0)];
        for (max, factor, wanted) in steps {
            assert_eq!(step(Replicas::new(max), factor).get(), wanted, "{factor} % of {max}");
        }
    }
}
