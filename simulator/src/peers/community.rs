//! The community edition of OpenFaaS: an alert on the rate of calls, and a webhook that takes steps.
//!
//! Scrape every 5 s, the rule every 15 s over the last 10 s, more than five calls a second for 5 s, then
//! 5 s until the first notification and 30 s between repeats; resolved within 10 s, back to the minimum
//! in one jump. Never more than five replicas, never zero.

use tidegate_core::{Moment, Observation, Policy, Replicas, Target};

use super::{SECOND, next, turns};
use crate::scaler::{Scaler, Verdict};
use crate::trace::Traced;

const SCRAPE: u64 = 5 * SECOND;
const EVALUATE: u64 = 15 * SECOND;
const GROUP_WAIT: u64 = 5 * SECOND;
const REPEAT: u64 = 30 * SECOND;
const RESOLVE: u64 = 10 * SECOND;
const MOST: u32 = 5;
/// More calls than this in ten seconds fire.
const BUSY: u64 = 50;

/// All functions.
pub(super) struct Community {
    functions: Vec<Function>,
}

#[derive(Clone, Default)]
struct Function {
    min: u32,
    max: u32,
    step: u32,
    /// Calls completed at the last three scrapes, newest first.
    scraped: [u64; 3],
    last_scrape: u64,
    pending: bool,
    firing: bool,
    notify_at: Option<u64>,
    resolve_at: Option<u64>,
}

impl Community {
    pub(super) fn new(functions: usize) -> Self {
        Self { functions: vec![Function::default(); functions] }
    }
}

impl Scaler for Community {
    fn insert(&mut self, _: Moment, lane: usize, policy: &Policy, _: &Traced) {
        let factor = match policy.target {
            Target::Community { factor } => factor,
            _ => 10,
        };
        let min = policy.bounds.min().get();
        let max = policy.bounds.max().get().min(MOST).max(min);
        let step = (max * factor).div_ceil(100);
        self.functions[lane] = Function { min, max, step, ..Function::default() };
    }

    fn decide(&mut self, now: Moment, lane: usize, seen: &Observation) -> Verdict {
        let function = &mut self.functions[lane];
        let Some(load) = seen.load else { return Verdict::stay("not_known", None) };
        let soon = Some(next(now, SCRAPE));
        if !turns(now, SCRAPE) {
            return Verdict::stay("between_scrapes", soon);
        }
        function.scrape(now.as_nanos(), load.completed);
        if turns(now, EVALUATE) {
            function.evaluate(now.as_nanos());
        }
        if let Some((to, why)) = function.notified(now.as_nanos(), seen.desired.get()) {
            return Verdict::scale(Replicas::new(to), why, soon);
        }
        let rests = load.demand() == 0 && function.is_calm() && seen.desired.get() == function.min;
        Verdict::stay("no_alert", soon.filter(|_| !rests))
    }
}

impl Function {
    fn scrape(&mut self, now: u64, completed: u64) {
        if now - self.last_scrape > SCRAPE {
            // Nothing was called meanwhile, so the counter stood still.
            self.scraped = [self.scraped[0]; 3];
        }
        if now > self.last_scrape || now == 0 {
            self.scraped = [completed, self.scraped[0], self.scraped[1]];
            self.last_scrape = now;
        }
    }

    fn evaluate(&mut self, now: u64) {
        let busy = self.scraped[0] - self.scraped[2] > BUSY;
        match (busy, self.firing) {
            (true, true) => self.resolve_at = None,
            // The rule holds for 5 s, which the next evaluation sees.
            (true, false) if self.pending => {
                self.firing = true;
                self.notify_at = Some(now + GROUP_WAIT);
            }
            (false, true) => {
                self.firing = false;
                self.notify_at = None;
                self.resolve_at = Some(now + RESOLVE);
            }
            _ => {}
        }
        self.pending = busy;
    }

    fn notified(&mut self, now: u64, desired: u32) -> Option<(u32, &'static str)> {
        if self.notify_at.is_some_and(|at| at <= now) {
            self.notify_at = Some(now + REPEAT);
            let to = (desired + self.step).min(self.max);
            return (to != desired).then_some((to, "alert_firing"));
        }
        if self.resolve_at.is_some_and(|at| at <= now) {
            self.resolve_at = None;
            return (desired != self.min).then_some((self.min, "alert_resolved"));
        }
        None
    }

    fn is_calm(&self) -> bool {
        let still = self.scraped[0] == self.scraped[2];
        still && !self.firing && !self.pending && self.resolve_at.is_none()
    }
}
