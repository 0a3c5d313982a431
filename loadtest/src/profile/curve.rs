//! From a rate to moments: the inverse of the rate's integral, and Poisson arrivals.
//!
//! Seconds are `f64` here: at 30 days their grain is below a nanosecond, and every moment is computed
//! from the start, not from the one before.

use std::f64::consts::TAU;
use std::time::Duration;

use super::Shape;
use crate::schedule::Random;

/// Moments at which calls are due; see [`super::Profile::dues`].
#[derive(Clone, Debug)]
pub struct Dues {
    kind: Kind,
    next: u64,
    end: Option<Duration>,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Straight pieces one after another, and the one that is being used.
    Pieces {
        pieces: Vec<Piece>,
        current: usize,
    },
    Sine {
        mean: f64,
        swing: f64,
        period: f64,
    },
    /// `passed` counts picoseconds: whole numbers do not lose what floats would.
    Poisson {
        rate: f64,
        random: Random,
        passed: u128,
    },
}

/// A straight piece of the rate: from `begin` on, `from` to `to` calls a second in `lasts` seconds.
#[derive(Copy, Clone, Debug)]
struct Piece {
    begin: f64,
    lasts: f64,
    from: f64,
    to: f64,
    /// Integral of all before.
    before: f64,
}

impl Piece {
    fn area(&self) -> f64 {
        // An endless piece has one rate; 0 for ever adds nothing.
        if self.lasts.is_infinite() && self.from == 0.0 {
            0.0
        } else {
            (self.from + self.to) / 2.0 * self.lasts
        }
    }

    /// When the integral reaches `mark`.
    fn reach(&self, mark: f64) -> f64 {
        let area = mark - self.before;
        if self.from == self.to {
            return self.begin + area / self.from;
        }
        // a·t + (b−a)/(2d)·t² = area, solved in the form that does not subtract near equals.
        let slope = (self.to - self.from) / self.lasts;
        let root = (self.from * self.from + 2.0 * slope * area).max(0.0).sqrt();
        self.begin + (2.0 * area / (self.from + root)).min(self.lasts)
    }
}

impl Dues {
    pub(super) fn new(shape: &Shape, end: Option<Duration>, seed: u64) -> Self {
        let flat = |parts: &[(f64, f64)]| {
            let parts: Vec<_> = parts.iter().map(|&(rate, lasts)| (rate, rate, lasts)).collect();
            pieces(&parts)
        };
        let kind = match shape {
            Shape::Constant { rate, .. } => flat(&[(rate.per_second(), f64::INFINITY)]),
            Shape::Steps(steps) => {
                let parts: Vec<_> = steps
                    .iter()
                    .map(|(rate, hold)| (rate.per_second(), hold.as_secs_f64()))
                    .collect();
                flat(&parts)
            }
            Shape::Ramp { from, to, length } => {
                pieces(&[(from.per_second(), to.per_second(), length.as_secs_f64())])
            }
            Shape::Spike { base, peak, at, lasts, .. } => flat(&[
                (base.per_second(), at.as_secs_f64()),
                (peak.per_second(), lasts.as_secs_f64()),
                (base.per_second(), f64::INFINITY),
            ]),
            Shape::Sine { mean, swing, period, .. } => Kind::Sine {
                mean: mean.per_second(),
                swing: swing.per_second(),
                period: period.as_secs_f64(),
            },
            Shape::Poisson { rate, .. } => {
                Kind::Poisson { rate: rate.per_second(), random: Random::new(seed), passed: 0 }
            }
        };
        Self { kind, next: 0, end }
    }
}

fn pieces(parts: &[(f64, f64, f64)]) -> Kind {
    let (mut begin, mut before) = (0.0, 0.0);
    let mut pieces = Vec::with_capacity(parts.len());
    for &(from, to, lasts) in parts {
        let piece = Piece { begin, lasts, from, to, before };
        begin += lasts;
        before += piece.area();
        pieces.push(piece);
    }
    Kind::Pieces { pieces, current: 0 }
}

/// When mean·t + swing·P/τ·(1 − cos(τt/P)) reaches `mark`: whole periods at once, the rest by bisection
/// that Newton's steps hurry along.
fn sine_reach(mean: f64, swing: f64, period: f64, mark: f64) -> f64 {
    let whole = (mark / (mean * period)).floor();
    let rest = mark - whole * mean * period;
    let (mut low, mut high) = (0.0, period);
    let mut at = rest / mean;
    for _ in 0..60 {
        let angle = TAU * at / period;
        let over = mean * at + swing * period / TAU * (1.0 - angle.cos()) - rest;
        if over > 0.0 {
            high = at
        } else {
            low = at
        }
        let rate = mean + swing * angle.sin();
        let newton = at - over / rate;
        let better =
            if rate > 0.0 && newton > low && newton < high { newton } else { (low + high) / 2.0 };
        if (better - at).abs() < 1e-11 {
            at = better;
            break;
        }
        at = better;
    }
    whole * period + at
}

impl Iterator for Dues {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let mark = self.next as f64 + 0.5;
        let at = match &mut self.kind {
            Kind::Pieces { pieces, current } => {
                while pieces.get(*current).is_some_and(|piece| mark >= piece.before + piece.area())
                {
                    *current += 1;
                }
                from_seconds(pieces.get(*current)?.reach(mark))
            }
            Kind::Sine { mean, swing, period } => {
                from_seconds(sine_reach(*mean, *swing, *period, mark))
            }
            Kind::Poisson { rate, random, passed } => {
                let gap = -random.above_zero().ln() / *rate;
                *passed += (gap * 1e12) as u128;
                u64::try_from(*passed / 1000).map_or(Duration::MAX, Duration::from_nanos)
            }
        };
        if self.end.is_some_and(|end| at >= end) {
            return None;
        }
        self.next += 1;
        Some(at)
    }
}

fn from_seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}
