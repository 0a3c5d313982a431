//! Who decides: ours, or a model of somebody else's.

use std::time::Duration;

use tidegate_autoscaler::{Action, Autoscaler, Decision, Depth, Handle};
use tidegate_core::{Moment, Observation, Policy, Replicas, ZeroRule};

use crate::trace::Traced;

/// Decides how many replicas each function has. Functions are numbered in the order of the trace.
pub trait Scaler {
    /// A function is deployed; called once for each, in the order of their numbers.
    fn insert(&mut self, now: Moment, lane: usize, policy: &Policy, traced: &Traced);

    /// What to do about what was seen.
    fn decide(&mut self, now: Moment, lane: usize, seen: &Observation) -> Verdict;

    /// The longest time between two looks at a function with calls open; none when `look_again` alone says it.
    fn tick(&self) -> Option<Duration> {
        None
    }

    /// Whether what one function does changes what is decided on another.
    fn mixes(&self) -> bool {
        false
    }

    /// Whether a scaled-down function's calls are finished before its replicas end.
    fn drains(&self) -> bool {
        true
    }
}

/// What was decided.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The new count; none leaves it.
    pub change: Option<Change>,
    /// Why, in one word.
    pub label: &'static str,
    /// When to look again if nothing arrives.
    pub look_again: Option<Moment>,
}

/// A new count.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The count.
    pub to: Replicas,
    /// At zero: how deep.
    pub depth: Depth,
}

impl Verdict {
    /// Nothing changes.
    pub const fn stay(label: &'static str, look_again: Option<Moment>) -> Self {
        Self { change: None, label, look_again }
    }

    /// The count becomes `to`.
    pub const fn scale(to: Replicas, label: &'static str, look_again: Option<Moment>) -> Self {
        Self { change: Some(Change { to, depth: Depth::Removed }), label, look_again }
    }
}

impl From<Decision> for Verdict {
    fn from(decision: Decision) -> Self {
        let look_again = decision.look_again;
        match decision.action {
            Action::Stay(hold) => Self::stay(hold.label(), look_again),
            Action::Scale { to, depth, reason } => {
                let change = Some(Change { to, depth });
                Self { change, label: reason.label(), look_again }
            }
        }
    }
}

/// The one that the gateway runs: the same crate, the same calls.
#[derive(Debug)]
pub struct Tidegate {
    autoscaler: Autoscaler,
    /// Of each function, by its number.
    handles: Vec<Handle>,
    /// Some function's way to zero is learnt, from what all of them do.
    learns: bool,
}

/// How often the gateway's scale loop looks at an active function.
const TICK: Duration = Duration::from_secs(1);

impl Tidegate {
    /// With these settings.
    pub fn new(config: tidegate_autoscaler::Config) -> Self {
        Self { autoscaler: Autoscaler::new(config), handles: Vec::new(), learns: false }
    }
}

impl Scaler for Tidegate {
    fn insert(&mut self, now: Moment, _: usize, policy: &Policy, traced: &Traced) {
        self.learns |= policy.zero.is_some_and(|zero| zero.rule != ZeroRule::Fixed);
        let handle = self.autoscaler.insert(now, traced.id.clone(), policy.clone(), None);
        self.handles.push(handle);
    }

    fn decide(&mut self, now: Moment, lane: usize, seen: &Observation) -> Verdict {
        self.autoscaler.decide_at(now, self.handles[lane], seen).into()
    }

    fn tick(&self) -> Option<Duration> {
        Some(TICK)
    }

    fn mixes(&self) -> bool {
        self.learns
    }
}
