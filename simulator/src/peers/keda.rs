//! KEDA's http-add-on: 0 to 1 and back by KEDA, 1 to N by the Kubernetes HPA.
//!
//! Activity is noticed within 200 ms; the HPA turns every 15 s with a tolerance of 10 %, at most doubles or
//! adds four, and comes down to the highest recommendation of 300 s. To zero 300 s after the last activity.

use std::collections::VecDeque;

use tidegate_core::{LoadType, Moment, Observation, Policy, Replicas};

use super::{SECOND, next, replicas_for, target, turns};
use crate::scaler::{Scaler, Verdict};
use crate::trace::Traced;

const PUSH: u64 = SECOND / 5;
const HPA: u64 = 15 * SECOND;
const COOLDOWN: u64 = 300 * SECOND;
const STABILISATION: u64 = 300 * SECOND;
const TOLERANCE: f64 = 0.1;
/// Where no label says otherwise: calls in flight.
const DEFAULT_TARGET: f64 = 100.0;
/// The window of a rate is four turns of the HPA.
const RATE_TURNS: usize = 4;

/// All functions.
pub(super) struct Keda {
    functions: Vec<Option<Function>>,
}

struct Function {
    policy: Policy,
    by_rate: bool,
    each: f64,
    /// When a call was last seen.
    active: u64,
    started: u64,
    wishes: VecDeque<(u64, u32)>,
    /// Calls begun at the last turns, newest first.
    turned: VecDeque<u64>,
}

impl Keda {
    pub(super) fn new(functions: usize) -> Self {
        Self { functions: (0..functions).map(|_| None).collect() }
    }
}

impl Scaler for Keda {
    fn insert(&mut self, now: Moment, lane: usize, policy: &Policy, _: &Traced) {
        let found = target(policy);
        self.functions[lane] = Some(Function {
            policy: policy.clone(),
            by_rate: found.is_some_and(|(load, ..)| load == LoadType::Rps),
            each: found.map_or(DEFAULT_TARGET, |(_, target, _)| target),
            active: now.as_nanos(),
            started: 0,
            wishes: VecDeque::new(),
            turned: VecDeque::new(),
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
        let at = now.as_nanos();
        if load.demand() > 0 || load.started != self.started {
            self.active = at;
        }
        self.started = load.started;
        if seen.desired.is_zero() {
            return match (load.waiting, turns(now, PUSH)) {
                (0, _) => Verdict::stay("at_zero", None),
                (_, true) => {
                    Verdict::scale(self.policy.bounds.min(), "active", Some(next(now, HPA)))
                }
                (_, false) => Verdict::stay("between_pushes", Some(next(now, PUSH))),
            };
        }
        let cooled = self.active + COOLDOWN;
        if self.policy.zero.is_some() && load.demand() == 0 && at >= cooled {
            self.wishes.clear();
            self.turned.clear();
            return Verdict::scale(Replicas::ZERO, "cooled_down", None);
        }
        let next_turn = next(now, HPA);
        if !turns(now, HPA) {
            return Verdict::stay("between_turns", Some(next_turn));
        }
        self.hpa(now, load.demand(), seen)
    }

    fn hpa(&mut self, now: Moment, demand: u64, seen: &Observation) -> Verdict {
        let bounds = self.policy.bounds;
        let at = now.as_nanos();
        let metric = self.metric(demand);
        let current = seen.desired.get();
        let ratio = metric / (self.each * f64::from(current));
        let mut wanted = replicas_for(metric, self.each);
        if (ratio - 1.0).abs() <= TOLERANCE {
            wanted = current;
        }
        self.wishes.push_back((at, wanted));
        while self.wishes.front().is_some_and(|(then, _)| at - then > STABILISATION) {
            self.wishes.pop_front();
        }
        let held = self.wishes.iter().map(|(_, wish)| *wish).max().unwrap_or(wanted);
        let to = match wanted > current {
            true => wanted.min((2 * current).max(current + 4)),
            false => held.min(current),
        };
        let to = bounds.clamp(Replicas::new(to));
        let quiet = metric == 0.0 && demand == 0 && to == bounds.min() && held <= to.get();
        let cooled = Moment::from_nanos((self.active + COOLDOWN).max(at + 1));
        let again = match (quiet, self.policy.zero.is_some()) {
            (true, false) => None,
            (true, true) => Some(cooled),
            (false, _) => Some(next(now, HPA)),
        };
        if to == seen.desired {
            return Verdict::stay("hpa", again);
        }
        Verdict::scale(to, "hpa", again)
    }

    fn metric(&mut self, demand: u64) -> f64 {
        if !self.by_rate {
            return demand as f64;
        }
        self.turned.push_front(self.started);
        self.turned.truncate(RATE_TURNS + 1);
        let oldest = self.turned.back().copied().unwrap_or(self.started);
        let span = (self.turned.len().max(2) - 1) as u64 * HPA / SECOND;
        (self.started - oldest) as f64 / span as f64
    }
}
