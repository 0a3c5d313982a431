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
use crate::flow::load_of;
use crate::function::Function;
use crate::measured::Source;
use crate::rule::{replicas_for, replicas_to_hold};
use crate::rules::{FAST_SHARE, Rule, Sight, Wanted, known_for};
use crate::window::Fraction;

/// Follows the rules up and down, and what the calls of this moment ask for up.
pub fn decide(look: &Look<'_>, function: &mut Function) -> Action {
    let (bounds, desired, demand) = (function.policy.bounds, look.seen.desired, look.demand());
    let asked = asked_at_once(look, function).unwrap_or(Replicas::ZERO);
    let wanted = Wanted::of(look.config, function, &Sight::of(look));
    // What would have raised a lower count holds a higher one.
    let wish = wanted.highest().floor.max(asked);
    let hold = function.hold(look.config);
    function.wishes.note(look.now, bounds.clamp(wish), hold);
    let (up, by) = at_once(look, function, &wanted);
    let burst = asked > up && asked > there(look);
    let most = if burst { asked } else { up };
    let to = bounds.clamp(most);
    if to > desired {
        let reason = match (burst, by) {
            (true, _) => Reason::Burst { demand, wanted: asked },
            (false, None) => Reason::LoadAboveTarget { wanted: up },
            (false, Some(source)) => Reason::Above { source, wanted: up },
        };
        return raise_by(look, function, to, reason);
    }
    rest(look, function, &wanted, most)
}

/// What may scale up now, and whose answer that is when it is not the load's.
fn at_once(look: &Look<'_>, function: &Function, wanted: &Wanted) -> (Replicas, Option<Source>) {
    let capacity =
        Rule::of(&function.policy.target).is_some_and(|rule| rule.load == LoadType::Capacity);
    let due = !capacity || is_due(look, function, UP_EVERY);
    let load = wanted.load.filter(|_| due).map_or(Replicas::ZERO, |answer| answer.up);
    match &wanted.measured {
        Some((answer, by)) if wanted.load.is_none() || answer.up > load => {
            (answer.up, Some(by.clone()))
        }
        _ => (load, None),
    }
}

/// A higher count, which is an experience where the count changes what is measured.
fn raise_by(look: &Look<'_>, function: &mut Function, to: Replicas, reason: Reason) -> Action {
    let action = raise(look, function, to, reason);
    let rate = function.call_rate(look.config);
    if let (Action::Scale { reason, .. }, Some(measures)) = (&action, &mut function.measures) {
        let at_once = matches!(reason, Reason::Above { source: Source::Latency, .. });
        measures.experience.stepped(&Sight::of(look), rate, at_once);
    }
    action
}

/// Not more than there is: what holds the count, or the way down.
fn rest(look: &Look<'_>, function: &Function, wanted: &Wanted, most: Replicas) -> Action {
    let (bounds, desired) = (function.policy.bounds, look.seen.desired);
    let most = most.max(wanted.highest().up);
    if most > bounds.max() {
        return Action::Stay(Hold::AtMax { wanted: most });
    }
    if let Some(hold) = wanted.unmeasured() {
        return Action::Stay(hold);
    }
    if look.load.is_none() {
        return Action::Stay(Hold::NoSamples);
    }
    if desired == bounds.min() && most < desired && look.demand() == 0 {
        return Action::Stay(Hold::AtMin);
    }
    // One reading says nothing about a rate.
    if wanted.load_missing {
        return Action::Stay(learning(look, function, desired));
    }
    if bounds.clamp(most) < desired {
        return lower(look, function, wanted);
    }
    Action::Stay(match most > desired {
        true => Hold::NextStep { wanted: most },
        false => Hold::AtTarget,
    })
}

/// What is ready or on its way.
fn there(look: &Look<'_>) -> Replicas {
    look.seen.ready.plus(look.seen.pending).max(look.seen.desired)
}

/// Less is wanted than there is.
fn lower(look: &Look<'_>, function: &Function, wanted: &Wanted) -> Action {
    let desired = look.seen.desired;
    let highest = wanted.highest();
    let to = function.policy.bounds.clamp(highest.up);
    if known_for(function, look.now) < look.config.stable_window {
        return Action::Stay(learning(look, function, to));
    }
    let open = open(look, function);
    let settling = held(look.config, function, look.now, to).max(open).min(desired);
    let hovering = match function.wishes.most_hovering(look.now) {
        Replicas::ZERO => to,
        count => count,
    };
    let least = function.policy.pace.down_rate.map_or(to, |rate| rate.down(look.seen.ready));
    let held = settling.max(hovering.min(highest.hover)).max(least).min(desired);
    if held < desired && is_due(look, function, DOWN_EVERY) {
        return scale(
            held,
            match wanted.by() {
                None => Reason::LoadBelowTarget { wanted: highest.up },
                Some(source) => Reason::Below { source: source.clone(), wanted: highest.up },
            },
        );
    }
    Action::Stay(match settling < desired && held == desired {
        true => Hold::Hovering { wanted: to, held, tolerance: function.policy.pace.tolerance },
        false => Hold::Settling { wanted: to, held },
    })
}

/// Steps down are this far apart: what was wanted in the last seconds of a surge runs out one after the
/// other, and that is one step.
const DOWN_EVERY: Duration = Duration::from_secs(5);
/// Steps up by the averages of calls in flight are: the calls of the moment have nine tenths already.
const UP_EVERY: Duration = Duration::from_secs(10);

/// Whether a step is due. At moments that no load shifts, so that more of it never comes later.
fn is_due(look: &Look<'_>, function: &Function, every: Duration) -> bool {
    let step = |at: Moment| at.since_start().as_secs() / every.as_secs();
    function.last.is_none_or(|last| step(last.at()) != step(look.now))
}

/// Without a target: calls that fill all replicas to their hard limit, whatever the rate says.
///
/// They keep what they fill for a while, and what they raised comes back when they are over.
pub fn burst(look: &Look<'_>, function: &mut Function) -> Option<Action> {
    let demand = look.demand();
    let wanted = by_limit(look.seen.replica_limit, demand)?;
    let to = function.policy.bounds.clamp(wanted);
    let hold = function.hold(look.config);
    function.wishes.note(look.now, to, hold);
    if wanted <= there(look) || to <= look.seen.desired {
        return None;
    }
    let action = raise(look, function, to, Reason::Burst { demand, wanted });
    if matches!(action, Action::Scale { .. }) {
        function.raised = true;
    }
    Some(action)
}

/// What the calls of this moment ask for at once.
///
/// At the target itself, not at its share, or as much as a fast average of so many would: what noise adds
/// to a load that the averages know does not ask for more. Who scales by the queue lets calls wait. Calls
/// that come faster than they end ask for those that are coming; calls that wait count as many replicas
/// as end their wait within `CLEARED_IN`.
fn asked_at_once(look: &Look<'_>, function: &Function) -> Option<Replicas> {
    let demand = look.demand();
    if demand == 0 && !function.flow.surges() {
        return None;
    }
    let by_limit = by_limit(look.seen.replica_limit, demand);
    let (target, proportion) = match function.policy.target {
        Target::Load { load: LoadType::Queue, .. } => return None,
        Target::Load { load: LoadType::Capacity, target, proportion } => (target, proportion),
        _ => return by_limit.map(|asked| function.activated(asked)),
    };
    let load = Fraction::whole(demand);
    let whole = replicas_for(load, target, Decimal::whole(1));
    let mut asked = whole.max(replicas_for(load.percent(FAST_SHARE), target, proportion));
    asked = asked.max(by_limit.unwrap_or(Replicas::ZERO));
    let surges = asked > look.seen.desired || function.flow.surges();
    let load = look.load.filter(|load| surges || load.waiting > 0);
    let known = load.and_then(|load| Some((load, function.expected(look.now, load)?)));
    if let Some((load, expected)) = known {
        let of = |calls: f64| replicas_for(load_of(calls), target, proportion);
        if let Some(most) = expected.most.filter(|_| load.waiting > 0) {
            let backlog = load.waiting as f64 * expected.takes / CLEARED_IN.as_secs_f64();
            let full = replicas_for(Fraction::whole(load.in_flight), target, Decimal::whole(1));
            asked = asked.min(full.max(of(most + backlog)));
        }
        if surges {
            asked = asked.max(of(expected.least));
        }
    }
    Some(function.activated(asked))
}

/// How soon replicas should be done with calls that wait.
const CLEARED_IN: Duration = Duration::from_secs(60);

/// What `demand` calls at this moment ask for, where replicas have a hard limit.
pub fn by_limit(limit: Option<u32>, demand: u64) -> Option<Replicas> {
    limit.map(|limit| replicas_to_hold(demand, limit))
}

/// What calls in flight and calls that wait ask for at this moment, where that can be said.
pub fn asked_by_calls(
    function: &Function,
    limit: Option<u32>,
    in_flight: u64,
    waiting: u64,
) -> Option<Replicas> {
    let demand = in_flight.saturating_add(waiting);
    let asked = match function.policy.target {
        Target::Load { load: LoadType::Capacity, target, proportion } => {
            let by_target = replicas_for(Fraction::whole(demand), target, proportion);
            Some(by_target).max(by_limit(limit, demand))
        }
        Target::Load { load: LoadType::Queue, target, proportion } => {
            let by_target = replicas_for(Fraction::whole(waiting), target, proportion);
            Some(by_target).max(by_limit(limit, in_flight))
        }
        _ => by_limit(limit, demand),
    };
    asked.map(|asked| function.activated(asked))
}

/// `to`, or the highest wish that still holds.
pub fn held(config: &Settings, function: &Function, now: Moment, to: Replicas) -> Replicas {
    function.wishes.most_held(now, function.hold(config)).max(to)
}

/// What the open calls ask for: below it the next arrival would find all full again.
pub fn open(look: &Look<'_>, function: &Function) -> Replicas {
    let (in_flight, waiting) = look.load.map_or((0, 0), |load| (load.in_flight, load.waiting));
    let asked = asked_by_calls(function, look.seen.replica_limit, in_flight, waiting);
    asked.unwrap_or(Replicas::ZERO).min(function.policy.bounds.max())
}

/// What the rules need has not been seen for long enough.
pub fn learning(look: &Look<'_>, function: &Function, wanted: Replicas) -> Hold {
    let (watched, window) = (known_for(function, look.now), look.config.stable_window);
    Hold::Learning { wanted, watched, window }
}
