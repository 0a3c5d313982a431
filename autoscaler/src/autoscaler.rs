//! All functions, and the calls that the scale loop makes: the one entry point.

use std::time::Duration;

use tidegate_core::{FunctionId, Load, Moment, Observation, Policy, Replicas};
use tidegate_idler::{CommonRecord, Habits};

use crate::ask::ask;
use crate::config::Settings;
use crate::decide::{Look, decide};
use crate::decision::{Action, Ask, Decision, Hold, Reason};
use crate::explain::{self, Explanation};
use crate::function::Function;
use crate::functions::{Functions, Handle};
use crate::habits;
use crate::history::Record;
use crate::kept::Last;
use crate::measured::{CustomRule, Source};
use crate::memory::LastDecision;
use crate::stamp::Stamp;
use crate::why_not::{self, WhyNot};
use crate::{Config, Memory};

/// Decides for all functions. The same calls in the same order give the same decisions.
#[derive(Debug)]
pub struct Autoscaler {
    config: Settings,
    functions: Functions,
}

impl Autoscaler {
    /// Knows no function yet.
    pub fn new(config: Config) -> Self {
        Self { config: Settings::new(config), functions: Functions::default() }
    }

    /// A function appeared, or has a new revision. `memory` is what an earlier run knew of it; of a
    /// function that is known already nothing is restored, and it keeps its handle.
    pub fn insert(
        &mut self,
        now: Moment,
        function: FunctionId,
        policy: Policy,
        memory: Option<Memory>,
    ) -> Handle {
        if let Some(handle) = self.functions.find(&function) {
            if let Some(known) = self.functions.at_mut(handle) {
                known.adopt(&self.config, now, policy);
            }
            return handle;
        }
        self.functions.insert(function, Function::new(now, policy, memory))
    }

    /// The function is gone.
    pub fn remove(&mut self, function: &FunctionId) {
        self.functions.remove(function);
    }

    /// Records what was seen, and decides. A function that was never inserted stays as it is.
    pub fn decide(&mut self, now: Moment, seen: &Observation) -> Decision {
        self.look(now, self.functions.find(&seen.function), seen, None)
    }

    /// The same for a function whose handle is known: nothing is searched for. `seen` must be of that
    /// function; its name is not looked at.
    pub fn decide_at(&mut self, now: Moment, handle: Handle, seen: &Observation) -> Decision {
        self.look(now, Some(handle), seen, None)
    }

    /// Somebody asks; the answer is bounded and recorded like any other.
    pub fn ask(&mut self, now: Moment, seen: &Observation, ask: Ask) -> Decision {
        self.look(now, self.functions.find(&seen.function), seen, Some(ask))
    }

    /// What is worth knowing of a function after a restart.
    pub fn memory(&self, now: Moment, function: &FunctionId) -> Option<Memory> {
        let function = self.functions.get(function)?;
        let idle = &function.idle;
        let load = function.last.and_then(|last| last.load).unwrap_or_default();
        let begun = load.last_end.map_or(idle.touched(), |end| end.max(idle.touched()));
        let before = if load.last_end.is_some() { Duration::ZERO } else { idle.quiet_before() };
        let busy = load.demand() > 0;
        let quiet = if busy { Duration::ZERO } else { now.since(begun) + before };
        let zero = idle.zero_since.get().map(|since| now.since(since) + idle.zero_before());
        // Whole seconds: what is written down should not change for less.
        let millis = |span: Duration| span.as_secs() * 1000;
        Some(Memory {
            quiet_millis: millis(quiet),
            zero_millis: zero.map(millis),
            raised: function.raised,
            by_hand: function.by_hand,
            habits: function.habits.as_ref().map(Habits::record).map(Box::new),
            last: last_decision(now, function).map(Box::new),
        })
    }

    /// A schedule asks for so many replicas at least from now on; zero asks for none. Forgotten when the
    /// function is inserted anew.
    pub fn floor(&mut self, function: &FunctionId, least: Replicas) {
        if let Some(function) = self.functions.get_mut(function) {
            function.floor(least);
        }
    }

    /// The named rules of a function; replaces the earlier ones. Call after `insert`; cheap when nothing
    /// changed. A function without a target follows its rules alone, not the one of the community edition.
    pub fn set_rules(&mut self, function: &FunctionId, rules: Vec<CustomRule>) {
        if let Some(function) = self.functions.get_mut(function) {
            function.set_rules(rules);
        }
    }

    /// A value was measured now, or could not be, and why: then the count is held and says so. A value that
    /// nobody wants, that comes late or sooner than its rule allows counts for nothing.
    pub fn measured(
        &mut self,
        now: Moment,
        function: &FunctionId,
        source: &Source,
        value: Result<f64, String>,
    ) {
        let measures = self.functions.get_mut(function).and_then(|known| known.measures.as_mut());
        if let Some(measure) = measures.and_then(|measures| measures.get_mut(source)) {
            measure.take(now, self.config.stable_window, value);
        }
    }

    /// What somebody must measure for the function beyond the load: nothing for most, and nothing while it
    /// is at zero or where load never changes its count.
    pub fn wanted(&self, function: &FunctionId) -> Vec<Source> {
        let Some(function) = self.functions.get(function) else { return Vec::new() };
        let at_zero = function.last.is_some_and(|last| last.desired.is_zero());
        match &function.measures {
            Some(measures) if !at_zero && !function.policy.bounds.is_static() => {
                measures.iter().map(|measure| measure.source.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What all functions share about idleness, worth knowing after a restart.
    pub fn common(&self) -> CommonRecord {
        self.config.common.record()
    }

    /// Goes on with what an earlier run knew about all functions together.
    pub fn restore_common(&mut self, record: &CommonRecord) {
        self.config.common.restore(record);
    }

    /// Memory is short, or no longer: meanwhile nothing is started before a call that is only expected, and
    /// what was started so goes first.
    pub fn memory_is_short(&mut self, short: bool) {
        self.config.common.memory_short = short;
    }

    /// Why the count is what it is.
    pub fn explain(&self, now: Moment, function: &FunctionId) -> Option<Explanation> {
        let known = self.functions.get(function)?;
        Some(explain::explain(&self.config, now, function, known))
    }

    /// Why the count is not `asked`.
    pub fn why_not(&self, now: Moment, function: &FunctionId, asked: Replicas) -> Option<WhyNot> {
        let known = self.functions.get(function)?;
        Some(why_not::why_not(&self.config, now, function, known, asked))
    }

    /// How many functions are known.
    pub fn len(&self) -> usize {
        self.functions.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.functions.len() == 0
    }

    /// Bytes that all functions take together, names left out.
    pub fn bytes(&self) -> usize {
        self.functions.iter().map(|function| function.bytes()).sum()
    }

    fn look(
        &mut self,
        now: Moment,
        handle: Option<Handle>,
        seen: &Observation,
        asked: Option<Ask>,
    ) -> Decision {
        let Some(function) = handle.and_then(|handle| self.functions.at_mut(handle)) else {
            return Decision { action: Action::Stay(Hold::NoSamples), look_again: None };
        };
        // A look that comes late counts as made at the last one, since time never goes back; but what
        // it tells of the load is old.
        let late = function.last.is_some_and(|last| now < last.at());
        let now = function.last.map_or(now, |last| now.max(last.at()));
        let load = seen.load.as_ref().filter(|_| !late);
        habits::learn(&mut self.config, function, now, load);
        function.see(&self.config, now, seen, load);
        let look = Look { config: &self.config, now, seen, load };
        let decision = match asked {
            None => decide(&look, function),
            Some(asked) => ask(&look, function, asked),
        };
        note(&look, function, asked, &decision.action);
        decision
    }
}

/// Keeps what was seen and what was decided.
fn note(look: &Look<'_>, function: &mut Function, asked: Option<Ask>, action: &Action) {
    let seen = look.seen;
    let record = |to, reason| Record { at: look.now, from: seen.desired, to, reason };
    let (desired, hold) = match action {
        Action::Stay(hold) => {
            // An operator finds his ask in the record even when it was done already.
            if let (Hold::AsAsked, Some(Ask::Operator(asked))) = (hold, asked) {
                let reason = Reason::Operator { asked, given: seen.desired };
                function.note(&record(seen.desired, reason));
            }
            (seen.desired, Some(hold.clone()))
        }
        Action::Scale { to, reason, .. } => {
            function.note(&record(*to, reason.clone()));
            (*to, None)
        }
    };
    if let Some(load) = look.load {
        let raised = desired > seen.desired;
        function.flow.mark(look.now, load, raised);
    }
    function.hold = hold;
    let known: Option<Load> = function.last.and_then(|last| last.load);
    let known_at = function.last.map_or(Stamp::NONE, |last| last.known_at);
    function.last = Some(Last {
        seen_at: Stamp::at(look.now),
        load: look.load.copied().or(known),
        known_at: look.load.map_or(known_at, |_| Stamp::at(look.now)),
        desired,
        ready: seen.ready,
        pending: seen.pending,
        draining: seen.draining,
        frozen: seen.frozen,
        created: seen.created,
        replica_limit: seen.replica_limit,
    });
}

fn last_decision(now: Moment, function: &Function) -> Option<LastDecision> {
    let Some(record) = function.last_record() else {
        let (restored, earlier) = function.earlier.as_deref()?;
        let age_millis = earlier.age_millis + now.since(*restored).as_secs() * 1000;
        return Some(LastDecision { age_millis, ..earlier.clone() });
    };
    Some(LastDecision {
        age_millis: now.since(record.at).as_secs() * 1000,
        from: record.from,
        to: record.to,
        by: record.reason.who().to_owned(),
        reason: record.reason.label().to_owned(),
        why: record.reason.to_string(),
    })
}
