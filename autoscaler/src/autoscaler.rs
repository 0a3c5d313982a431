//! All functions, and the calls that the scale loop makes: the one entry point.

use std::collections::HashMap;
use std::time::Duration;

use tidegate_core::{FunctionId, Moment, Observation, Policy};

use crate::decide;
use crate::decision::{Action, Ask, Decision, Hold};
use crate::explain::{self, Explanation};
use crate::function::{Function, Last, Record};
use crate::{Config, Memory};

/// Decides for all functions. The same calls in the same order give the same decisions.
#[derive(Debug)]
pub struct Autoscaler {
    config: Config,
    functions: HashMap<FunctionId, Box<Function>>,
}

impl Autoscaler {
    /// Knows no function yet.
    pub fn new(config: Config) -> Self {
        Self { config, functions: HashMap::new() }
    }

    /// A function appeared, or has a new revision. `memory` is what an earlier run knew of it.
    pub fn insert(
        &mut self,
        now: Moment,
        function: FunctionId,
        policy: Policy,
        memory: Option<Memory>,
    ) {
        match self.functions.get_mut(&function) {
            Some(known) => known.renew(now, policy),
            None => {
                let new = Function::new(now, policy, memory.as_ref());
                self.functions.insert(function, Box::new(new));
            }
        }
    }

    /// The function is gone.
    pub fn remove(&mut self, function: &FunctionId) {
        self.functions.remove(function);
    }

    /// Records what was seen, and decides. A function that was never inserted stays as it is.
    pub fn decide(&mut self, now: Moment, seen: &Observation) -> Decision {
        let Some(function) = self.functions.get_mut(&seen.function) else { return unknown() };
        let now = function.not_before_last(now);
        let decision = decide::decide(&self.config, function, now, seen);
        keep(function, now, seen, &decision);
        decision
    }

    /// Somebody asks; the answer is bounded and recorded like any other.
    pub fn ask(&mut self, now: Moment, seen: &Observation, ask: Ask) -> Decision {
        let Some(function) = self.functions.get_mut(&seen.function) else { return unknown() };
        let now = function.not_before_last(now);
        let decision = decide::ask(&self.config, function, now, seen, ask);
        keep(function, now, seen, &decision);
        decision
    }

    /// What is worth knowing of a function after a restart.
    pub fn memory(&self, now: Moment, function: &FunctionId) -> Option<Memory> {
        let function = self.functions.get(function)?;
        let load = function.last.and_then(|last| last.load);
        let last_end = load.and_then(|load| load.last_end);
        let begun = last_end.map_or(function.touched, |end| end.max(function.touched));
        let before = if last_end.is_some() { Duration::ZERO } else { function.quiet_before };
        let busy = load.is_some_and(|load| load.demand() > 0);
        let quiet = if busy { Duration::ZERO } else { now.since(begun) + before };
        let zero = function.zero_since.map(|since| now.since(since) + function.zero_before);
        // Whole seconds: what is written down should not change for less.
        let millis = |span: Duration| span.as_secs() * 1000;
        Some(Memory {
            quiet_millis: millis(quiet),
            zero_millis: zero.map(millis),
            raised: function.raised,
        })
    }

    /// Why the count is what it is.
    pub fn explain(&self, now: Moment, function: &FunctionId) -> Option<Explanation> {
        let known = self.functions.get(function)?;
        Some(explain::explain(&self.config, now, function, known))
    }

    /// How many functions are known.
    pub fn len(&self) -> usize {
        self.functions.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }

    /// Bytes that all functions take together, names left out.
    pub fn bytes(&self) -> usize {
        self.functions.values().map(|function| function.bytes()).sum()
    }
}

fn unknown() -> Decision {
    Decision { action: Action::Stay(Hold::NoSamples), look_again: None }
}

fn keep(function: &mut Function, now: Moment, seen: &Observation, decision: &Decision) {
    let hold = match decision.action {
        Action::Stay(hold) => Some(hold),
        Action::Scale { to, reason, .. } => {
            function.note(Record { at: now, from: seen.desired, to, reason });
            None
        }
    };
    function.last = Some(Last {
        at: now,
        load: seen.load,
        desired: seen.desired,
        ready: seen.ready,
        pending: seen.pending,
        draining: seen.draining,
        frozen: seen.frozen,
        hold,
    });
}
