//! Frozen replicas within a budget of memory: who gives theirs up, by Greedy-Dual, and what that needs to know.

use std::collections::HashMap;

use tidegate_core::{FunctionId, Moment};
use tidegate_idler::{Eviction, Frozen, evict};
use tracing::info;

use super::ScaleLoop;

/// How frozen functions were used.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// Bytes that all frozen replicas may have; none when nobody limits them.
    budget: Option<u64>,
    clock: u64,
    functions: HashMap<FunctionId, Used>,
    short: bool,
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
        if self.budget.is_none() {
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

    pub fn forget(&mut self, function: &FunctionId) {
        self.functions.remove(function);
    }

    /// Who goes, first to last, when frozen replicas take these bytes.
    fn choose(&mut self, sizes: &[(FunctionId, u64)]) -> Vec<FunctionId> {
        let Some(budget) = self.budget else { return Vec::new() };
        let frozen: Vec<Frozen<&FunctionId>> =
            sizes.iter().map(|(function, bytes)| self.frozen(function, *bytes)).collect();
        let Eviction { evicted, clock } = evict(&frozen, budget, self.clock);
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

    /// Whether memory becomes short, or enough again; none when that stays as it is.
    fn turns_short(&mut self, used: u64) -> Option<bool> {
        let budget = self.budget?;
        let short = if self.short { used > budget / 10 * 9 } else { used > budget };
        (std::mem::replace(&mut self.short, short) != short).then_some(short)
    }
}

impl Used {
    const fn new(clock: u64) -> Self {
        Self { uses: 0, clock, start_millis: START_MILLIS, starting: None }
    }
}

impl ScaleLoop {
    /// Keeps frozen replicas within so many bytes; to be called before it runs.
    pub fn limit_frozen(&mut self, budget: Option<u64>) {
        self.uses.budget = budget;
    }

    /// Takes in what frozen replicas take, and removes what is too much.
    pub(super) fn take_frozen(&mut self, sizes: &[(FunctionId, u64)]) {
        let used = sizes.iter().map(|(_, bytes)| bytes).sum();
        if let Some(short) = self.uses.turns_short(used) {
            self.autoscaler.memory_is_short(self.clock.now(), short);
        }
        for function in self.uses.choose(sizes) {
            if self.evict(&function) {
                self.metrics.evicted();
                info!(
                    function.name = function.name(),
                    function.namespace = function.namespace(),
                    bytes.frozen = used,
                    "removing what is frozen of {function}: TIDEGATE_FROZEN_MEMORY is used up"
                );
            }
        }
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
        let mut uses = Uses { budget: Some(30 << 20), ..Uses::default() };
        for (name, start, times) in [("often", 500, 5), ("slow", 9_000, 1), ("seldom", 500, 1)] {
            for _ in 0..times {
                uses.woken(at(0), &id(name), true);
            }
            uses.ready(at(start), &id(name));
        }
        let even = sizes(&[("often", 15 << 20), ("slow", 15 << 20), ("seldom", 15 << 20)]);
        assert_eq!(uses.choose(&even), [id("seldom")]);
        let tight = sizes(&[("often", 20 << 20), ("slow", 20 << 20)]);
        assert_eq!(uses.choose(&tight), [id("often")]);
        assert!(uses.choose(&sizes(&[("slow", 30 << 20)])).is_empty());
    }

    #[test]
    fn without_a_budget_nothing_goes_and_nothing_is_kept() {
        let mut uses = Uses::default();
        uses.woken(at(0), &id("cat"), true);
        assert!(uses.functions.is_empty());
        assert!(uses.choose(&sizes(&[("cat", u64::MAX)])).is_empty());
        assert_eq!(uses.turns_short(u64::MAX), None);
    }

    #[test]
    fn memory_is_short_above_the_budget_until_a_tenth_is_free() {
        let mut uses = Uses { budget: Some(100), ..Uses::default() };
        let turns: Vec<_> = [100, 101, 99, 90, 95].map(|used| uses.turns_short(used)).into();
        assert_eq!(turns, [None, Some(true), None, Some(false), None]);
    }
}
