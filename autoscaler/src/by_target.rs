//! Functions with a target: the formula over two windows, bursts, and what holds the count up.
//!
//! Up goes at once to the higher of the two averages' wishes; down only when load was seen for a whole
//! stable window, and never below the highest wish of the last while. So a surge keeps what it got until
//! the stable window has passed it. Where the load would barely fit into less, that while is a quarter of
//! an hour: a load that hovers about a boundary stays above it.

use std::time::Duration;

use tidegate_core::{Decimal, LoadType, Moment, Replicas, Target};

use crate::config::Settings;
use crate::decide::{Look, raise, scale};
use crate::decision::{Action, Hold, Reason};
use crate::function::{Averages, Function};
use crate::rule::{replicas_for, replicas_to_hold};
use crate::window::Fraction;

/// The share of the fast average that may scale up, in percent. A tenth less, so that noise about a
/// boundary does not: what is really there the stable average tells in full.
const FAST_SHARE: u32 = 91;
/// What one replica should carry.
#[derive(Copy, Clone, Debug)]
pub struct Rule {
    pub load: LoadType,
    pub target: Decimal,
    pub proportion: Decimal,
}

/// What the averages ask for, before the bounds.
#[derive(Copy, Clone, Debug)]
pub struct Wanted {
    pub stable: Fraction,
    pub fast: Fraction,
    /// To this many at once.
    pub up: Replicas,
    /// No fewer than this many for the next while. By the last second, so that the end of a surge is one
    /// step down; what it has more than the fast average counts up to the tolerance only.
    pub floor: Replicas,
    /// No fewer than this many where that was wanted lately.
    pub hover: Replicas,
}

impl Rule {
    /// `ceil(load / (target × proportion))`.
    pub fn replicas_for(&self, load: Fraction) -> Replicas {
        replicas_for(load, self.target, self.proportion)
    }

    /// What is measured and what it asks for; nothing before there are two readings.
    pub fn wanted(&self, config: &Settings, function: &Function) -> Option<Wanted> {
        let Averages { stable, fast, lately } = function.averages(config, self.load)?;
        let by_stable = self.replicas_for(stable);
        let up = by_stable.max(self.replicas_for(fast.percent(FAST_SHARE)));
        let tolerated = 100 + u32::from(function.policy.pace.tolerance);
        let most = fast.percent(tolerated);
        let floor = self.replicas_for(if lately.is_below(most) { lately } else { most });
        let hover = self.replicas_for(stable.percent(tolerated));
        Some(Wanted { stable, fast, up, floor, hover })
    }
}

/// Follows the averages.
pub fn decide(look: &Look<'_>, function: &mut Function, rule: Rule) -> Action {
    let bounds = function.policy.bounds;
    let desired = look.seen.desired;
    let Some(wanted) = rule.wanted(look.config, function) else {
        // One reading says nothing about a rate.
        return Action::Stay(learning(look, function, desired));
    };
    let hold = function.hold(look.config);
    function.wishes.note(look.now, bounds.clamp(wanted.floor), hold);
    let to = bounds.clamp(wanted.up);
    if to > desired {
        return raise(look, function, to, Reason::LoadAboveTarget { wanted: wanted.up });
    }
    if to < desired {
        return lower(look, function, &wanted);
    }
    if wanted.up > to {
        return Action::Stay(Hold::AtMax { wanted: wanted.up });
    }
    Action::Stay(Hold::AtTarget)
}

/// Less is wanted than there is.
fn lower(look: &Look<'_>, function: &Function, wanted: &Wanted) -> Action {
    let desired = look.seen.desired;
    let to = function.policy.bounds.clamp(wanted.up);
    if function.watched(look.now) < look.config.stable_window {
        return Action::Stay(learning(look, function, to));
    }
    let open = open(look, function);
    let settling = held(look.config, function, look.now, to).max(open).min(desired);
    let hovering = function.wishes.hovering(look.now).map_or(to, |(count, _)| count);
    let held = settling.max(hovering.min(wanted.hover)).min(desired);
    if held < desired && step_is_due(look, function) {
        return scale(held, Reason::LoadBelowTarget { wanted: wanted.up });
    }
    Action::Stay(match settling < desired && held == desired {
        true => Hold::Hovering { wanted: to, held, tolerance: function.policy.pace.tolerance },
        false => Hold::Settling { wanted: to, held },
    })
}

/// Steps down are this far apart, at moments that no load shifts: what was wanted in the last seconds of a
/// surge runs out one after the other, and that is one step.
const DOWN_EVERY: Duration = Duration::from_secs(5);

fn step_is_due(look: &Look<'_>, function: &Function) -> bool {
    let step = |at: Moment| at.since_start().as_millis() / DOWN_EVERY.as_millis();
    function.last.is_none_or(|last| step(last.at) != step(look.now))
}

/// An arrival found everything full that is ready or on its way: the whole count that the calls ask for,
/// whatever the averages say yet.
pub fn burst(look: &Look<'_>, function: &mut Function, demand: u64) -> Option<Action> {
    let seen = look.seen;
    let there = seen.ready.plus(seen.pending).max(seen.desired);
    let full = match function.policy.target {
        // At the target itself, not at its share: the averages look after that.
        Target::Load { load: LoadType::Capacity, target, .. } => {
            replicas_for(Fraction::whole(demand), target, Decimal::whole(1)) > there
        }
        _ => seen.replica_limit.is_some_and(|limit| replicas_to_hold(demand, limit) > there),
    };
    let wanted = asked_by_calls(look, function, demand).filter(|_| full)?;
    let to = function.policy.bounds.clamp(wanted);
    let hold = function.hold(look.config);
    function.wishes.note(look.now, to, hold);
    let reason = Reason::Burst { demand, wanted };
    if to <= seen.desired {
        return None;
    }
    let action = raise(look, function, to, reason);
    if let (Target::Community { .. }, Action::Scale { .. }) = (&function.policy.target, &action) {
        // What calls raised comes back when they are over.
        function.community.raised = true;
    }
    Some(action)
}

/// Calls that fill replicas to their hard limit now keep these for a while, whatever the averages say.
pub fn note_limit(look: &Look<'_>, function: &mut Function) {
    let Some(limit) = look.seen.replica_limit else { return };
    let to = function.policy.bounds.clamp(replicas_to_hold(look.demand(), limit));
    let hold = function.hold(look.config);
    function.wishes.note(look.now, to, hold);
}

/// What `demand` calls at this moment ask for, where that can be said.
pub fn asked_by_calls(look: &Look<'_>, function: &Function, demand: u64) -> Option<Replicas> {
    let by_target = match function.policy.target {
        Target::Load { load: LoadType::Capacity, target, proportion } => {
            Some(replicas_for(Fraction::whole(demand), target, proportion))
        }
        _ => None,
    };
    let by_limit = look.seen.replica_limit.map(|limit| replicas_to_hold(demand, limit));
    by_target.max(by_limit)
}

/// `to`, or the highest wish that still holds.
pub fn held(config: &Settings, function: &Function, now: Moment, to: Replicas) -> Replicas {
    let highest = function.wishes.held(now, function.hold(config));
    highest.map_or(to, |(count, _)| count.max(to))
}

/// What the open calls ask for: below it the next arrival would find all full again.
pub fn open(look: &Look<'_>, function: &Function) -> Replicas {
    let asked = asked_by_calls(look, function, look.demand()).unwrap_or(Replicas::ZERO);
    asked.min(function.policy.bounds.max())
}

/// The load has not been seen for long enough.
pub fn learning(look: &Look<'_>, function: &Function, wanted: Replicas) -> Hold {
    let (watched, window) = (function.watched(look.now), look.config.stable_window);
    Hold::Learning { wanted, watched, window }
}
