//! Calls by a rate that changes over time: at random moments (Poisson), or at even distances.

use std::f64::consts::TAU;
use std::time::Duration;

use super::spec::{BadSpec, Spec};
use crate::random::Random;
use crate::span::Span;
use crate::trace::{Call, Make, Stream};

const DAY: f64 = 86_400.0;

/// A rate over time.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    curve: Curve,
    /// Share by which the rate wavers, anew each second.
    noise: f64,
    /// At even distances, not at random moments.
    even: bool,
}

/// Rates in calls a second, times in seconds.
#[derive(Clone, Debug)]
enum Curve {
    Constant(f64),
    Step { from: f64, to: f64, at: f64 },
    Ramp { from: f64, to: f64, end: f64 },
    Square { low: f64, high: f64, period: f64 },
    Sine { low: f64, high: f64, period: f64 },
    Spikes { low: f64, high: f64, period: f64, width: f64 },
    Diurnal { rate: f64, swing: f64, weekend: f64, shift: f64, shift_at: f64 },
}

/// The calls of one function.
#[derive(Clone, Debug)]
pub(super) struct Rated {
    pub shape: Shape,
    pub end: u64,
    pub takes: Span,
    pub seed: u64,
}

impl Shape {
    pub(super) const fn constant(rate: f64) -> Self {
        Self { curve: Curve::Constant(rate), noise: 0.0, even: false }
    }

    /// A day's swing about this rate.
    pub(super) const fn daily(rate: f64) -> Self {
        let curve =
            Curve::Diurnal { rate, swing: 0.8, weekend: 0.4, shift: 1.0, shift_at: f64::INFINITY };
        Self { curve, noise: 0.0, even: false }
    }

    pub(super) fn read(spec: &mut Spec, end: u64) -> Result<Self, BadSpec> {
        let end = end as f64 / 1e9;
        let half = Duration::try_from_secs_f64(end / 2.0).unwrap_or_default();
        let kind = spec.kind.clone();
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let curve = match kind.as_str() {
            "long-calls" => Curve::Constant(spec.rate("rate", 0.2)?),
            "step" => {
                let (from, to) = (spec.rate("from", 1.0)?, spec.rate("to", 20.0)?);
                Curve::Step { from, to, at: spec.duration("at", half)?.as_secs_f64() }
            }
            "ramp" => {
                Curve::Ramp { from: spec.rate("from", 1.0)?, to: spec.rate("to", 20.0)?, end }
            }
            "square" | "sine" => {
                let (low, high) = (spec.rate("low", 1.0)?, spec.rate("high", 20.0)?);
                let default = if kind == "square" { minutes(10) } else { minutes(60) };
                let period = spec.duration("period", default)?.as_secs_f64();
                match kind.as_str() {
                    "square" => Curve::Square { low, high, period },
                    _ => Curve::Sine { low, high, period },
                }
            }
            "spikes" => Curve::Spikes {
                low: spec.rate("low", 1.0)?,
                high: spec.rate("high", 100.0)?,
                period: spec.duration("period", minutes(10))?.as_secs_f64(),
                width: spec.duration("width", Duration::from_secs(10))?.as_secs_f64(),
            },
            "diurnal" => Curve::Diurnal {
                rate: spec.rate("rate", 5.0)?,
                swing: spec.share("swing", 0.8)?,
                weekend: spec.factor("weekend", 0.4)?,
                shift: spec.factor("shift", 1.5)?,
                shift_at: spec.duration("shift-at", half)?.as_secs_f64(),
            },
            _ => Curve::Constant(spec.rate("rate", 5.0)?),
        };
        Ok(Self { curve, noise: spec.share("noise", 0.0)?, even: kind == "even" })
    }

    /// Calls a second, `at` seconds after the start.
    fn rate(&self, at: f64) -> f64 {
        match self.curve {
            Curve::Constant(rate) => rate,
            Curve::Step { from, to, at: jump } => {
                if at < jump {
                    from
                } else {
                    to
                }
            }
            Curve::Ramp { from, to, end } => from + (to - from) * (at / end.max(1e-9)).min(1.0),
            Curve::Square { low, high, period } => {
                if at % period < period / 2.0 {
                    low
                } else {
                    high
                }
            }
            Curve::Sine { low, high, period } => {
                let swing = (1.0 - (TAU * at / period).cos()) / 2.0;
                low + (high - low) * swing
            }
            Curve::Spikes { low, high, period, width } => {
                if at % period >= period - width {
                    high
                } else {
                    low
                }
            }
            Curve::Diurnal { rate, swing, weekend, shift, shift_at } => {
                // Lowest at midnight of a Monday that the trace begins with. By the minute: fine enough.
                let at = (at / 60.0).floor() * 60.0;
                let day = 1.0 - swing * (TAU * at / DAY).cos();
                let weekend = if (at / DAY) as u64 % 7 >= 5 { weekend } else { 1.0 };
                let level = if at >= shift_at { shift } else { 1.0 };
                rate * day * weekend * level
            }
        }
    }

    /// No rate is higher.
    fn highest(&self) -> f64 {
        let curve = match self.curve {
            Curve::Constant(rate) => rate,
            Curve::Step { from, to, .. } | Curve::Ramp { from, to, .. } => from.max(to),
            Curve::Square { low, high, .. }
            | Curve::Sine { low, high, .. }
            | Curve::Spikes { low, high, .. } => low.max(high),
            Curve::Diurnal { rate, swing, weekend, shift, .. } => {
                rate * (1.0 + swing) * weekend.max(1.0) * shift.max(1.0)
            }
        };
        curve * (1.0 + self.noise)
    }
}

impl Make for Rated {
    fn calls(&self) -> Stream {
        let highest = self.shape.highest();
        if highest <= 0.0 {
            return Box::new(std::iter::empty());
        }
        let mut random = Random::new(self.seed);
        let Self { shape, end, takes, seed } = self.clone();
        let takes = takes.drawn();
        let (flat, mut at) = (shape.is_flat(), 0.0);
        let daily = matches!(shape.curve, Curve::Diurnal { .. });
        let mut last = (f64::NEG_INFINITY, 0.0);
        let curve = shape.clone();
        let mut now = move |at: f64| {
            // The rate of a day changes by the minute only, and its cosine is dear.
            if !daily || at - last.0 >= 60.0 || at < last.0 {
                last = ((at / 60.0).floor() * 60.0, curve.rate(at));
            }
            if curve.noise == 0.0 {
                return last.1;
            }
            let drawn = Random::of(seed, at as u64).unit();
            last.1 * (1.0 + curve.noise * (2.0 * drawn - 1.0))
        };
        Box::new(std::iter::from_fn(move || {
            loop {
                let rate = if shape.even { now(at) } else { highest };
                // Where nothing is called, time goes on by the second.
                let even = if rate > 0.0 { (1.0 / rate).min(1.0) } else { 1.0 };
                at += if shape.even { even } else { random.exponential(1.0 / highest) };
                let nanos = (at * 1e9) as u64;
                if nanos >= end {
                    return None;
                }
                let taken = if shape.even {
                    rate >= 1.0 || random.chance(rate)
                } else {
                    flat || random.chance(now(at) / highest)
                };
                if taken {
                    return Some(Call { at: nanos, takes: takes.draw(&mut random) });
                }
            }
        }))
    }
}

impl Shape {
    /// Whether the rate never changes.
    fn is_flat(&self) -> bool {
        matches!(self.curve, Curve::Constant(_)) && self.noise == 0.0
    }
}
