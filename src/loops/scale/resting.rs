//! Replicas at rest when memory is short: who gives theirs up, by Greedy-Dual, and what that needs to know.

use std::collections::HashMap;

use tidegate_autoscaler::{Action, Ask, Reason};
use tidegate_core::{FunctionId, Moment};
use tidegate_idler::{Eviction, Frozen, Limits, Pressure, Reading, Shortage, Verdict, evict};
use tracing::{info, warn};

use super::ScaleLoop;

/// How functions that rest were used.
#[derive(Debug, Default)]
pub(super) struct Uses {
    pressure: Pressure,
    clock: u64,
    functions: HashMap<FunctionId, Used>,
}

#[derive(Copy, Clone, Debug)]
struct Used {
    /// Wakes since it was last evicted.
    uses: u64,
    /// The clock at the last of them.
    clock: u64,
    /// What a start from nothing took.
    start_millis: u64,
    /// Such a start is under way.
    starting: Option<Moment>,
}

/// Assumed of a function that was never seen to start.
const START_MILLIS: u64 = 1000;

impl Uses {
    /// A function was woken, from nothing at all or from what was frozen.
    pub fn woken(&mut self, now: Moment, function: &FunctionId, from_nothing: bool) {
        if !self.pressure.has_limits() {
            return;
        }
        let clock = self.clock;
        let used = self.functions.entry(function.clone()).or_insert(Used::new(clock));
        used.uses += 1;
        used.clock = clock;
        used.starting = from_nothing.then_some(now);
    }

    /// A function has a ready replica.
    pub fn ready(&mut self, now: Moment, function: &FunctionId) {
        let Some(used) = self.functions.get_mut(function) else { return };
        if let Some(began) = used.starting.take() {
            used.start_millis = u64::try_from(now.since(began).as_millis()).unwrap_or(u64::MAX);
        }
    }

    /// In which way memory is short.
    #[cfg(test)]
    pub fn short(&self) -> Option<Shortage> {
        self.pressure.short()
    }

    pub fn forget(&mut self, function: &FunctionId) {
        self.functions.remove(function);
    }

    /// Who goes, first to last, when replicas at rest take these bytes and may keep so many.
    fn choose(&mut self, sizes: &[(FunctionId, u64)], keep: u64) -> Vec<FunctionId> {
        let frozen: Vec<Frozen<&FunctionId>> =
            sizes.iter().map(|(function, bytes)| self.frozen(function, *bytes)).collect();
        let Eviction { evicted, clock } = evict(&frozen, keep, self.clock);
        let evicted: Vec<FunctionId> = evicted.into_iter().cloned().collect();
        self.clock = clock;
        for function in &evicted {
            if let Some(used) = self.functions.get_mut(function) {
                used.uses = 0;
            }
        }
        evicted
    }

    fn frozen<'a>(&self, id: &'a FunctionId, bytes: u64) -> Frozen<&'a FunctionId> {
        // Of one that was never woken here nothing is known: it counts as used when the clock began.
        let Used { uses, clock, start_millis, .. } =
            self.functions.get(id).copied().unwrap_or(Used::new(0));
        Frozen { id, bytes, start_millis, uses, clock }
    }
}

impl Used {
    const fn new(clock: u64) -> Self {
        Self { uses: 0, clock, start_millis: START_MILLIS, starting: None }
    }
}

impl ScaleLoop {
    /// Keeps memory within these limits; to be called before it runs.
    pub fn limit_memory(&mut self, limits: Limits) {
        self.uses.pressure = Pressure::new(limits);
    }

    /// Takes in what was read of memory. While it is short nothing is started before a call that is only expected,
    /// and what rests gives up what is missing.
    pub(super) fn take_memory(&mut self, reading: &Reading, sizes: &[(FunctionId, u64)]) {
        let now = self.clock.now();
        let before = self.uses.pressure.short();
        let Verdict { short, keep } = self.uses.pressure.judge(now, reading);
        if short.is_some() != before.is_some() {
            self.autoscaler.memory_is_short(now, short.is_some());
            self.metrics.memory_is_short(short.is_some());
            tell(short, reading);
        }
        let Some((short, keep)) = short.zip(keep) else { return };
        for function in self.uses.choose(sizes, keep) {
            if self.evict(&function, short) {
                self.metrics.evicted();
            }
        }
    }

    /// Asks for less memory of a function at zero; not while a call of the provider is under way.
    fn evict(&mut self, function: &FunctionId, short: Shortage) -> bool {
        let now = self.clock.now();
        let Some(watched) = self.meet(function).filter(|watched| !watched.busy) else {
            return false;
        };
        if !watched.entry.desired().is_zero() {
            return false;
        }
        let (seen, handle) = (watched.entry.observe(now), watched.handle);
        let decision = self.autoscaler.decide(now, handle, &seen, Some(Ask::Evict(short)));
        let Action::Scale { reason: Reason::Evicted { .. }, .. } = decision.action else {
            // A call waits there: it is woken instead.
            self.apply(function, decision, None);
            return false;
        };
        self.metrics.decided(function, &decision.action);
        self.apply(function, decision, None);
        true
    }
}

fn tell(short: Option<Shortage>, reading: &Reading) {
    let Reading { rest, available, stalled } = *reading;
    let stalled = stalled.map(|share| f64::from(share) / 100.0);
    match short {
        Some(short) => warn!(
            reason = short.label(),
            bytes.rest = rest,
            bytes.available = available,
            percent.stalled = stalled,
            "memory is short: {short}; what rests at zero gives up its own"
        ),
        None => info!(
            bytes.rest = rest,
            bytes.available = available,
            percent.stalled = stalled,
            "memory is no longer short"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn id(name: &str) -> FunctionId {
        FunctionId::parse(name).expect("a good name")
    }

    fn at(millis: u64) -> Moment {
        Moment::from_start(Duration::from_millis(millis))
    }

    fn sizes(all: &[(&str, u64)]) -> Vec<(FunctionId, u64)> {
        all.iter().map(|(name, bytes)| (id(name), *bytes)).collect()
    }

    #[test]
    fn what_is_large_quick_to_start_and_seldom_used_goes_first() {
        let limits = Limits { rest: Some(30 << 20), ..Limits::default() };
        let mut uses = Uses { pressure: Pressure::new(limits), ..Uses::default() };
        for (name, start, times) in [("often", 500, 5), ("slow", 9_000, 1), ("seldom", 500, 1)] {
            for _ in 0..times {
                uses.woken(at(0), &id(name), true);
            }
            uses.ready(at(start), &id(name));
        }
        let even = sizes(&[("often", 15 << 20), ("slow", 15 << 20), ("seldom", 15 << 20)]);
        assert_eq!(uses.choose(&even, 30 << 20), [id("seldom")]);
        let tight = sizes(&[("often", 20 << 20), ("slow", 20 << 20)]);
        assert_eq!(uses.choose(&tight, 30 << 20), [id("often")]);
        assert!(uses.choose(&sizes(&[("slow", 30 << 20)]), 30 << 20).is_empty());
    }

    #[test]
    fn without_a_limit_nothing_is_kept() {
        let mut uses = Uses::default();
        uses.woken(at(0), &id("cat"), true);
        assert!(uses.functions.is_empty());
    }
}
