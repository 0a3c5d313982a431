//! Many functions of very different popularity: Zipf's law, and the shape of Azure's.
//!
//! Of Azure's it is known that half of the functions are called at most once an hour, 81 % at most once a
//! minute, that 16 % are timers, and that the popular rest has nearly all calls.

use std::sync::Arc;
use std::time::Duration;

use super::Common;
use super::shape::{Rated, Shape};
use super::sparse::{Bursts, Timer};
use super::spec::{BadSpec, Spec};
use crate::random::Random;
use crate::span::Span;
use crate::trace::{Calls, Make, Traced};

const SECOND: u64 = 1_000_000_000;
const HOUR: f64 = 3600.0;

/// Shares of those that are no timers, such that half of all are called at most once an hour and 81 % at
/// most once a minute: 26 % of the timers turn at most hourly, all of them at most once a minute.
const HOURLY: f64 = (0.50 - 0.16 * 0.26) / 0.84;
const MINUTELY: f64 = (0.81 - 0.16) / 0.84;

/// Periods of timers in seconds, and their shares.
const TIMERS: [(u64, f64); 8] = [
    (60, 0.10),
    (300, 0.30),
    (600, 0.12),
    (900, 0.14),
    (1800, 0.08),
    (3600, 0.14),
    (21_600, 0.04),
    (86_400, 0.08),
];

pub(super) fn zipf(spec: &mut Spec, common: &Common) -> Result<Vec<Traced>, BadSpec> {
    let rate = spec.rate("rate", 1000.0)?;
    let exponent = spec.factor("exponent", 1.1)?;
    let weight = |number: usize| (number as f64 + 1.0).powf(-exponent);
    let sum: f64 = (0..common.functions).map(weight).sum();
    let (end, takes) = (common.end, common.takes);
    let traced = |number| {
        let shape = Shape::constant(rate * weight(number) / sum);
        let maker = Rated { shape, end, takes, seed: common.seed_of(number) };
        Ok(Traced::new(common.id(number)?, Calls::Made(Arc::new(maker))))
    };
    (0..common.functions).map(traced).collect()
}

/// What one function is like.
#[derive(Copy, Clone)]
enum Way {
    Timer { every: u64 },
    Steady(f64),
    Daily(f64),
    Bursts(f64),
}

pub(super) fn azure(spec: &mut Spec, common: &Common) -> Result<Vec<Traced>, BadSpec> {
    let seconds = common.end as f64 / 1e9;
    let calls = spec.whole(
        "calls",
        (24e6 * common.functions as f64 / 1000.0 * seconds / (14.0 * 86_400.0)) as u64,
    )?;
    let mut random = Random::of(common.seed, u64::MAX);
    let mut ways: Vec<Way> =
        (0..common.functions).map(|number| way(number, common.functions, &mut random)).collect();
    scale(&mut ways, calls as f64 / seconds);
    let traced = |(number, way): (usize, &Way)| {
        let mut random = Random::of(common.seed, number as u64);
        let takes = takes(&mut random);
        let calls = Calls::Made(maker(*way, common.end, takes, random.bits()));
        Ok(Traced::new(common.id(number)?, calls))
    };
    ways.iter().enumerate().map(traced).collect()
}

/// Ranked from rare to popular, so that the shares are exact whatever the seed; timers are spread.
fn way(number: usize, functions: usize, random: &mut Random) -> Way {
    if (number * 16) % 100 < 16 {
        return timer(random);
    }
    let rank = (number as f64 + 0.5) / functions as f64;
    // Log-evenly within its class; calls a second.
    let between = |low: f64, high: f64, share: f64| low * (high / low).powf(share);
    let rate = if rank < HOURLY {
        between(0.1 / 24.0 / HOUR, 1.0 / HOUR, rank / HOURLY)
    } else if rank < MINUTELY {
        between(1.0 / HOUR, 1.0 / 60.0, (rank - HOURLY) / (MINUTELY - HOURLY))
    } else {
        // Pareto's law from once a minute on: few have most.
        let share = ((rank - MINUTELY) / (1.0 - MINUTELY)).min(0.9995);
        (1.0 / 60.0) * (1.0 - share).powf(-1.4)
    };
    match random.unit() {
        kind if kind < 0.55 => Way::Steady(rate),
        kind if kind < 0.8 => Way::Daily(rate),
        _ => Way::Bursts(rate),
    }
}

fn timer(random: &mut Random) -> Way {
    let mut drawn = random.unit();
    for (every, share) in TIMERS {
        if drawn < share {
            return Way::Timer { every: every * SECOND };
        }
        drawn -= share;
    }
    Way::Timer { every: 300 * SECOND }
}

impl Way {
    fn rate(self) -> f64 {
        match self {
            Self::Timer { every } => SECOND as f64 / every as f64,
            Self::Steady(rate) | Self::Daily(rate) | Self::Bursts(rate) => rate,
        }
    }

    fn rate_mut(&mut self) -> Option<&mut f64> {
        match self {
            Self::Timer { .. } => None,
            Self::Steady(rate) | Self::Daily(rate) | Self::Bursts(rate) => Some(rate),
        }
    }
}

/// Brings all together to `wanted` calls a second by what the popular ones have above once a minute.
fn scale(ways: &mut [Way], wanted: f64) {
    let minute = 1.0 / 60.0;
    let above = |way: &Way| match way {
        Way::Timer { .. } => 0.0,
        _ => (way.rate() - minute).max(0.0),
    };
    let surplus: f64 = ways.iter().map(above).sum();
    let rest: f64 = ways.iter().map(|way| way.rate()).sum::<f64>() - surplus;
    let factor = ((wanted - rest) / surplus.max(1e-12)).max(0.0);
    for way in ways {
        if let Some(rate) = way.rate_mut().filter(|rate| **rate > minute) {
            *rate = minute + (*rate - minute) * factor;
        }
    }
}

/// Half of the functions take less than a second.
fn takes(random: &mut Random) -> Span {
    let median = (0.3 * (1.3 * random.normal()).exp()).clamp(0.005, 60.0);
    let p50 = Duration::try_from_secs_f64(median).unwrap_or(Duration::from_millis(300));
    Span::Lognormal { p50, p99: p50 * 4 }
}

fn maker(way: Way, end: u64, takes: Span, seed: u64) -> Arc<dyn Make> {
    match way {
        Way::Timer { every } => {
            Arc::new(Timer { every, jitter: 2 * SECOND, drift: 0, end, takes, seed })
        }
        Way::Steady(rate) => Arc::new(Rated { shape: Shape::constant(rate), end, takes, seed }),
        // The mean over a week is that of five days of seven and 0.4 of the others.
        Way::Daily(rate) => {
            let shape = Shape::daily(rate / ((5.0 + 2.0 * 0.4) / 7.0));
            Arc::new(Rated { shape, end, takes, seed })
        }
        Way::Bursts(rate) => {
            const SIZE: u64 = 5;
            let every = (SIZE as f64 / rate * 1e9) as u64;
            Arc::new(Bursts { every, size: SIZE, span: 20 * SECOND, end, takes, seed })
        }
    }
}
