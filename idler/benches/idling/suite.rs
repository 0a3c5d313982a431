//! The frozen suite: functions shaped like those of the Azure Functions traces of 2019.
//!
//! Half of the functions are called at most once an hour, 81 % at most once a minute, 16 % are timers; the
//! others come evenly, in bursts, by day and not by night, or change their rate. The same seed is the same suite.
//! Written down before any policy was tried on it, and not changed since: `tests/suite.rs` holds its hash.

use super::random::Random;

pub const DAY: f64 = 86_400.0;
const MINUTE: f64 = 60.0;
const HOUR: f64 = 3_600.0;
/// Calls closer than this to the last end are one run: every policy here is still warm then.
pub const RUN: u32 = 15_000;

/// One suite.
pub struct Suite {
    pub days: u32,
    pub functions: Vec<Function>,
}

/// One function and all its calls.
pub struct Function {
    pub kind: Kind,
    pub calls: u64,
    pub runs: Vec<Run>,
}

/// Calls without a silence of [`RUN`] between them. Milliseconds since the start.
#[derive(Copy, Clone, Debug)]
pub struct Run {
    pub begin: u32,
    pub end: u32,
    pub calls: u32,
}

/// What calls it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Timer,
    Poisson,
    Bursts,
    Office,
    Shift,
    Device,
}

impl Suite {
    pub fn new(seed: u64, functions: u32, days: u32) -> Self {
        let source = Random::new(seed);
        let functions =
            (0..functions).map(|n| function(&mut source.fork(u64::from(n)), days)).collect();
        Self { days, functions }
    }

    /// What the suite is, in one number (FNV-1a).
    pub fn hash(&self) -> u64 {
        let words =
            self.functions.iter().flat_map(|f| &f.runs).flat_map(|r| [r.begin, r.end, r.calls]);
        words.fold(0xcbf2_9ce4_8422_2325, |hash, word| {
            (hash ^ u64::from(word)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    pub fn calls(&self) -> u64 {
        self.functions.iter().map(|function| function.calls).sum()
    }
}

fn function(random: &mut Random, days: u32) -> Function {
    let end = f64::from(days) * DAY;
    let kind = if random.chance(0.16) { Kind::Timer } else { other_kind(random) };
    let busy = random.log_between(0.05, 5.0);
    let times = match kind {
        Kind::Timer => timer(random, end, busy),
        kind => others(random, kind, end),
    };
    runs(random, kind, times, busy, end)
}

fn other_kind(random: &mut Random) -> Kind {
    use Kind::{Bursts, Device, Office, Poisson, Shift};
    random.pick(&[(0.25, Poisson), (0.40, Bursts), (0.23, Office), (0.07, Shift), (0.05, Device)])
}

/// Most hit their minute within a second; some are late by a share of their period, some drift, some skip.
fn timer(random: &mut Random, end: f64, busy: f64) -> Vec<f64> {
    let period = random.pick(&[
        (15.0, MINUTE),
        (25.0, 5.0 * MINUTE),
        (6.0, 10.0 * MINUTE),
        (12.0, 15.0 * MINUTE),
        (9.0, 30.0 * MINUTE),
        (17.0, HOUR),
        (2.0, 4.0 * HOUR),
        (2.0, 6.0 * HOUR),
        (2.0, 12.0 * HOUR),
        (10.0, DAY),
    ]);
    let late = random.pick(&[(0.7, 0.5 / period), (0.2, 0.01), (0.1, 0.04)]) * period;
    let drifts = random.chance(0.1);
    let skips = if random.chance(0.1) { 0.01 } else { 0.0 };
    let mut tick = random.unit() * period;
    let mut times = Vec::new();
    while tick < end {
        if !random.chance(skips) {
            times.push(tick + late * random.unit());
        }
        tick += if drifts { period + busy } else { period };
    }
    times
}

fn others(random: &mut Random, kind: Kind, end: f64) -> Vec<f64> {
    // Calls a second. With the timers, half are at most once an hour and 81 % at most once a minute.
    let rate = match random.unit() {
        band if band < 0.53 => random.log_between(1.0 / (7.0 * DAY), 1.0 / HOUR),
        band if band < 0.774 => random.log_between(1.0 / HOUR, 1.0 / MINUTE),
        _ => random.log_between(1.0 / MINUTE, 20.0 / MINUTE),
    };
    match kind {
        Kind::Poisson => poisson(random, end, rate, |_| 1.0, 1.0),
        Kind::Bursts => sessions(random, end, rate, |_| 1.0, 1.0),
        Kind::Office => office(random, end, rate),
        Kind::Shift => shift(random, end, rate),
        Kind::Device | Kind::Timer => device(random, end, rate),
    }
}

/// Even arrivals whose rate is `rate × factor(time)`; `most` is the highest factor.
fn poisson(
    random: &mut Random,
    end: f64,
    rate: f64,
    factor: impl Fn(f64) -> f64,
    most: f64,
) -> Vec<f64> {
    let mut times = Vec::new();
    let mut time = 0.0;
    loop {
        time += random.exponential() / (rate * most);
        if time >= end {
            return times;
        }
        if random.unit() * most < factor(time) {
            times.push(time);
        }
    }
}

/// Somebody comes, calls a few times, and goes.
fn sessions(
    random: &mut Random,
    end: f64,
    rate: f64,
    factor: impl Fn(f64) -> f64,
    most: f64,
) -> Vec<f64> {
    let each = random.log_between(2.0, 30.0);
    let pause = random.log_between(1.0, 300.0);
    let mut times = Vec::new();
    for begin in poisson(random, end, rate / each, factor, most) {
        let mut time = begin;
        loop {
            times.push(time);
            if random.chance(1.0 / each) {
                break;
            }
            time += random.log_normal(pause, 1.0);
        }
    }
    times.retain(|time| *time < end);
    times.sort_by(f64::total_cmp);
    times
}

/// By day, little by night, less at weekends.
fn office(random: &mut Random, end: f64, rate: f64) -> Vec<f64> {
    let opens = random.between(6.0, 10.0);
    let night = random.log_between(0.02, 0.5);
    let weekend = random.log_between(0.05, 1.0);
    let factor = |time: f64| {
        let (day, hour) = ((time / DAY) as u64 % 7, time % DAY / HOUR);
        let open = hour >= opens && hour < opens + 10.0;
        (if open { 2.0 } else { night }) * (if day >= 5 { weekend } else { 1.0 })
    };
    if random.chance(0.5) {
        poisson(random, end, rate, factor, 2.0)
    } else {
        sessions(random, end, rate, factor, 2.0)
    }
}

/// From some day on eight times as often, or as rarely.
fn shift(random: &mut Random, end: f64, rate: f64) -> Vec<f64> {
    let at = random.between(0.2, 0.8) * end;
    let up = random.chance(0.5);
    let factor = |time: f64| if (time < at) == up { 0.25 } else { 2.0 };
    poisson(random, end, rate, factor, 2.0)
}

/// A device that reports every so often, not quite regularly.
fn device(random: &mut Random, end: f64, rate: f64) -> Vec<f64> {
    let spread = random.between(0.05, 0.3);
    let mut times = Vec::new();
    let mut time = random.unit() / rate;
    while time < end {
        times.push(time);
        time += (1.0 + spread * random.normal()).max(0.1) / rate;
    }
    times
}

fn runs(random: &mut Random, kind: Kind, times: Vec<f64>, busy: f64, end: f64) -> Function {
    let mut runs: Vec<Run> = Vec::new();
    let calls = times.len() as u64;
    for time in times {
        let begin = (time * 1000.0) as u32;
        let lasts = random.log_normal(busy, 0.5).min(60.0);
        let ends = ((time + lasts).min(end) * 1000.0) as u32;
        match runs.last_mut() {
            Some(last) if begin <= last.end.saturating_add(RUN) => {
                last.end = last.end.max(ends);
                last.calls += 1;
            }
            _ => runs.push(Run { begin, end: ends.max(begin), calls: 1 }),
        }
    }
    Function { kind, calls, runs }
}
