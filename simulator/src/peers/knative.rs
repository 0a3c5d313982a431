//! Knative's autoscaler: a stable window of 60 s, a panic window of 6 s, a decision every 2 s.
//!
//! Utilisation 70 %, panic at twice the replicas, at most halved per decision, a grace of 30 s before
//! zero. What is measured is the average concurrency of each second, waiting calls included.

use std::collections::VecDeque;

use tidegate_core::{LoadType, Moment, Observation, Policy, Replicas};

use super::{SECOND, next, replicas_for, target, turns};
use crate::scaler::{Scaler, Verdict};
use crate::trace::Traced;

const STABLE: usize = 60;
const PANIC: usize = 6;
const TICK: u64 = 2 * SECOND;
const GRACE: u64 = 30 * SECOND;
const UTILISATION: f64 = 0.7;
const PANIC_THRESHOLD: f64 = 2.0;
const DOWN_RATE: u32 = 2;
const UP_RATE: u32 = 1000;
/// Where nothing says otherwise: calls in flight.
const DEFAULT_TARGET: f64 = 100.0;

/// All functions.
pub(super) struct Knative {
    limit: Option<u32>,
    functions: Vec<Option<Function>>,
}

struct Function {
    policy: Policy,
    by_rate: bool,
    each: f64,
    seconds: Seconds,
    measured: u64,
    /// The counter at the last second.
    counter: u64,
    panic_since: Option<u64>,
    panic_most: u32,
    zero_since: Option<u64>,
}

/// What was measured in each of the last seconds, newest first, in billionths; and the sums of both windows.
#[derive(Default)]
struct Seconds {
    means: VecDeque<u64>,
    stable: u64,
    panic: u64,
}

impl Knative {
    pub(super) fn new(functions: usize, limit: Option<u32>) -> Self {
        Self { limit, functions: (0..functions).map(|_| None).collect() }
    }
}

impl Scaler for Knative {
    fn insert(&mut self, now: Moment, lane: usize, policy: &Policy, _: &Traced) {
        let found = target(policy);
        let by_rate = found.is_some_and(|(load, ..)| load == LoadType::Rps);
        let limit = self.limit.map_or(f64::INFINITY, f64::from);
        let total = match found {
            Some((_, target, _)) if by_rate => target,
            Some((_, target, _)) => target.min(limit),
            None => limit.min(DEFAULT_TARGET),
        };
        self.functions[lane] = Some(Function {
            policy: policy.clone(),
            by_rate,
            each: (total * UTILISATION).max(0.01),
            seconds: Seconds::default(),
            measured: now.as_nanos(),
            counter: 0,
            panic_since: None,
            panic_most: 0,
            zero_since: None,
        });
    }

    fn decide(&mut self, now: Moment, lane: usize, seen: &Observation) -> Verdict {
        match &mut self.functions[lane] {
            Some(function) => function.look(now, seen),
            None => Verdict::stay("not_known", None),
        }
    }
}

impl Function {
    fn look(&mut self, now: Moment, seen: &Observation) -> Verdict {
        let Some(load) = seen.load else { return Verdict::stay("not_known", None) };
        let counter = if self.by_rate { load.started } else { load.concurrency_nanos };
        let soon = Some(next(now, SECOND));
        if seen.desired.is_zero() {
            self.forget(now.as_nanos(), counter);
            if load.waiting > 0 {
                // The activator pokes the decider, which does not wait for its tick.
                return Verdict::scale(self.policy.bounds.min(), "poked", soon);
            }
            return Verdict::stay("at_zero", None);
        }
        if !turns(now, SECOND) {
            return Verdict::stay("between_scrapes", soon);
        }
        self.measure(now.as_nanos(), counter);
        if !turns(now, TICK) {
            return Verdict::stay("between_ticks", soon);
        }
        let verdict = self.tick(now.as_nanos(), seen, soon);
        let settled = load.demand() == 0 && seen.desired == self.policy.bounds.min();
        if settled
            && verdict.change.is_none()
            && self.policy.zero.is_none()
            && self.seconds.stable == 0
        {
            return Verdict::stay("at_min", None);
        }
        verdict
    }

    fn tick(&mut self, now: u64, seen: &Observation, soon: Option<Moment>) -> Verdict {
        let (stable, panic) = self.seconds.averages();
        let ready = seen.ready.get().max(1);
        let (least, most) = (ready / DOWN_RATE, ready.saturating_mul(UP_RATE));
        let by_panic = replicas_for(panic, self.each);
        let want_stable = replicas_for(stable, self.each).clamp(least, most);
        let want_panic = by_panic.clamp(least, most);
        let over = f64::from(by_panic) / f64::from(ready) >= PANIC_THRESHOLD;
        if over {
            self.panic_since = Some(now);
        } else if self.panic_since.is_some_and(|since| now > since + STABLE as u64 * SECOND) {
            self.panic_since = None;
            self.panic_most = 0;
        }
        let mut wanted = want_stable;
        if self.panic_since.is_some() {
            wanted = wanted.max(want_panic).max(self.panic_most);
            self.panic_most = wanted;
        }
        self.bounded(now, wanted, seen, soon)
    }

    fn bounded(
        &mut self,
        now: u64,
        wanted: u32,
        seen: &Observation,
        soon: Option<Moment>,
    ) -> Verdict {
        let bounds = self.policy.bounds;
        if wanted == 0 && self.policy.zero.is_some() {
            let since = *self.zero_since.get_or_insert(now);
            if now - since >= GRACE {
                return Verdict::scale(Replicas::ZERO, "idle", None);
            }
            return change(Replicas::ONE, "grace", seen, soon);
        }
        self.zero_since = None;
        let least = if self.policy.zero.is_some() { Replicas::ONE } else { bounds.min() };
        let to = Replicas::new(wanted).clamp(least, bounds.max());
        let why = if self.panic_since.is_some() { "panic" } else { "stable" };
        change(to, why, seen, soon)
    }

    fn measure(&mut self, now: u64, counter: u64) {
        let span = now - self.measured;
        if span == 0 {
            return;
        }
        if span > STABLE as u64 * SECOND {
            self.seconds = Seconds::default();
        }
        // A load is a mean of call-nanoseconds a nanosecond, a rate one of calls a second.
        let unit = if self.by_rate { SECOND } else { 1 };
        let billionths = u128::from(counter - self.counter) * u128::from(unit * SECOND);
        let mean = u64::try_from(billionths / u128::from(span)).unwrap_or(u64::MAX);
        for _ in 0..span.div_ceil(SECOND).min(STABLE as u64) {
            self.seconds.push(mean);
        }
        (self.measured, self.counter) = (now, counter);
    }

    fn forget(&mut self, now: u64, counter: u64) {
        self.seconds = Seconds::default();
        (self.measured, self.counter) = (now, counter);
        (self.panic_since, self.panic_most, self.zero_since) = (None, 0, None);
    }
}

impl Seconds {
    fn push(&mut self, mean: u64) {
        // A mean that cannot be would be no load to model either.
        let mean = mean.min(u64::MAX / STABLE as u64);
        let leaves = |window: usize| self.means.get(window - 1).copied().unwrap_or(0);
        (self.stable, self.panic) =
            (self.stable - leaves(STABLE) + mean, self.panic - leaves(PANIC) + mean);
        self.means.truncate(STABLE - 1);
        self.means.push_front(mean);
    }

    /// The means over the stable and the panic window, as far as they are filled.
    fn averages(&self) -> (f64, f64) {
        let mean =
            |sum: u64, window: usize| sum as f64 / 1e9 / self.means.len().clamp(1, window) as f64;
        (mean(self.stable, STABLE), mean(self.panic, PANIC))
    }
}

fn change(to: Replicas, why: &'static str, seen: &Observation, soon: Option<Moment>) -> Verdict {
    if to == seen.desired {
        return Verdict::stay(why, soon);
    }
    Verdict::scale(to, why, soon)
}
