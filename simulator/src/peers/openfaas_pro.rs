//! The autoscaler of OpenFaaS Pro: the documented formula over series that Prometheus records.
//!
//! Scrape every 5 s, rules every 15 s: `rps` over 30 s of completed calls, `capacity` the highest of 45 s.
//! To zero when no call has begun for `zero-duration` (15 min), as the detector series sees it: two
//! minutes late. A call at zero wakes to the minimum.

use std::collections::VecDeque;
use std::time::Duration;

use tidegate_core::{LoadType, Moment, Observation, Policy, Replicas};

use super::{SECOND, next, replicas_for, target, turns};
use crate::scaler::{Scaler, Verdict};
use crate::span::nanos;
use crate::trace::Traced;

const SCRAPE: u64 = 5 * SECOND;
const RULE: u64 = 15 * SECOND;
/// Scrapes that `rps` looks back: 30 s.
const RATE_SCRAPES: usize = 6;
/// Scrapes that `capacity` looks back: 45 s.
const MAX_SCRAPES: usize = 9;
/// What the detector of calls looks back.
const DETECTOR: u64 = 120 * SECOND;
const ZERO_AFTER: Duration = Duration::from_secs(15 * 60);
/// Where no label says otherwise.
const DEFAULT: (LoadType, f64, f64) = (LoadType::Rps, 50.0, 0.9);

/// All functions.
pub(super) struct OpenfaasPro {
    functions: Vec<Option<Function>>,
}

struct Function {
    policy: Policy,
    /// Newest first: calls completed and in flight.
    scraped: VecDeque<(u64, u64)>,
    last_scrape: u64,
    started: u64,
    last_start: u64,
    wishes: VecDeque<(u64, u32)>,
}

impl OpenfaasPro {
    pub(super) fn new(functions: usize) -> Self {
        Self { functions: (0..functions).map(|_| None).collect() }
    }
}

impl Scaler for OpenfaasPro {
    fn insert(&mut self, _: Moment, lane: usize, policy: &Policy, _: &Traced) {
        self.functions[lane] = Some(Function {
            policy: policy.clone(),
            scraped: VecDeque::new(),
            last_scrape: 0,
            started: 0,
            last_start: 0,
            wishes: VecDeque::new(),
        });
    }

    fn decide(&mut self, now: Moment, lane: usize, seen: &Observation) -> Verdict {
        match &mut self.functions[lane] {
            Some(function) => function.decide(now, seen),
            None => Verdict::stay("not_known", None),
        }
    }
}

impl Function {
    fn decide(&mut self, now: Moment, seen: &Observation) -> Verdict {
        let Some(load) = seen.load else { return Verdict::stay("not_known", None) };
        let soon = Some(next(now, SCRAPE));
        if load.started != self.started {
            self.started = load.started;
            self.last_start = now.as_nanos();
        }
        if seen.desired.is_zero() {
            if load.waiting > 0 {
                return Verdict::scale(self.policy.bounds.min(), "woken", soon);
            }
            return Verdict::stay("at_zero", None);
        }
        if !turns(now, SCRAPE) {
            return Verdict::stay("between_scrapes", soon);
        }
        self.scrape(now.as_nanos(), load.completed, load.demand());
        if !turns(now, RULE) {
            return Verdict::stay("between_rules", soon);
        }
        self.rule(now, seen, load.demand())
    }

    fn rule(&mut self, now: Moment, seen: &Observation, demand: u64) -> Verdict {
        let soon = Some(next(now, SCRAPE));
        let bounds = self.policy.bounds;
        let idle_at = self.policy.zero.map(|zero| {
            let after = nanos(zero.after.unwrap_or(ZERO_AFTER));
            self.last_start + DETECTOR + after
        });
        if idle_at.is_some_and(|at| now.as_nanos() >= at) && demand == 0 {
            return Verdict::scale(Replicas::ZERO, "idle", None);
        }
        if bounds.is_static() {
            return Verdict::stay("static", soon);
        }
        let wanted = self.wanted();
        let held = self.held(now.as_nanos(), wanted);
        let to = bounds.clamp(Replicas::new(held.max(wanted)));
        if to != seen.desired {
            return Verdict::scale(to, "load", soon);
        }
        let quiet = demand == 0 && wanted == 0 && to == bounds.min();
        if quiet {
            // Nothing changes before idleness does, or a call comes.
            return Verdict::stay(
                "quiet",
                idle_at.map(|at| next(Moment::from_nanos(at - 1), RULE)),
            );
        }
        Verdict::stay("at_target", soon)
    }

    fn scrape(&mut self, now: u64, completed: u64, in_flight: u64) {
        if now - self.last_scrape > SCRAPE
            && let Some((completed, _)) = self.scraped.front().copied()
        {
            // Nothing was called meanwhile.
            self.scraped.clear();
            self.scraped.extend([(completed, 0); MAX_SCRAPES]);
        }
        self.last_scrape = now;
        self.scraped.push_front((completed, in_flight));
        self.scraped.truncate(MAX_SCRAPES + 1);
    }

    fn wanted(&self) -> u32 {
        let (load, target, proportion) = target(&self.policy).unwrap_or(DEFAULT);
        let measured = match load {
            LoadType::Capacity => {
                self.scraped.iter().take(MAX_SCRAPES).map(|(_, open)| *open).max().unwrap_or(0)
            }
            _ => {
                let newest = self.scraped.front().map_or(0, |(completed, _)| *completed);
                let at = RATE_SCRAPES.min(self.scraped.len().saturating_sub(1));
                let oldest = self.scraped.get(at).map_or(newest, |(completed, _)| *completed);
                let span = (at as u64 * SCRAPE / SECOND).max(1);
                (newest - oldest).div_ceil(span)
            }
        };
        replicas_for(measured as f64, target * proportion)
    }

    /// The highest recommendation of the down window.
    fn held(&mut self, now: u64, wanted: u32) -> u32 {
        let Some(window) = self.policy.down_window else { return wanted };
        self.wishes.push_back((now, wanted));
        while self.wishes.front().is_some_and(|(at, _)| now - at > nanos(window)) {
            self.wishes.pop_front();
        }
        self.wishes.iter().map(|(_, wish)| *wish).max().unwrap_or(wanted)
    }
}
