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

/// The share of the fast average, and of the calls of one moment, that may scale up, in percent. A tenth
/// less, so that noise about a boundary does not: what is really there the stable average tells in full.
const FAST_SHARE: u32 = 90;

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
    /// The rule of a function with a target.
    pub fn of(target: &Target) -> Option<Self> {
        match *target {
            Target::Community { .. } => None,
            Target::Load { load, target, proportion } => Some(Self { load, target, proportion }),
        }
    }

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
        let [up, floor, hover] = [up, floor, hover].map(|count| function.activated(count));
        Some(Wanted { stable, fast, up, floor, hover })
    }
}

/// Follows the averages up and down, and what the calls of this moment ask for up.
pub fn decide(look: &Look<'_>, function: &mut Function, rule: Rule) -> Action {
    let (bounds, desired, demand) = (function.policy.bounds, look.seen.desired, look.demand());
    let asked = asked_at_once(look, function, demand).unwrap_or(Replicas::ZERO);
    let wanted = rule.wanted(look.config, function);
    // What would have raised a lower count holds a higher one.
    let wish = wanted.map_or(asked, |wanted| wanted.floor.max(asked));
    let hold = function.hold(look.config);
    function.wishes.note(look.now, bounds.clamp(wish), hold);
    let averages = rule.load != LoadType::Capacity || is_due(look, function, UP_EVERY);
    let up = wanted.filter(|_| averages).map_or(Replicas::ZERO, |wanted| wanted.up);
    let burst = asked > up && asked > there(look);
    let most = if burst { asked } else { up };
    let to = bounds.clamp(most);
    if to > desired {
        let reason = match burst {
            true => Reason::Burst { demand, wanted: asked },
            false => Reason::LoadAboveTarget { wanted: up },
        };
        return raise(look, function, to, reason);
    }
    // One reading says nothing about a rate.
    let Some(wanted) = wanted else { return Action::Stay(learning(look, function, desired)) };
    let most = most.max(wanted.up);
    if bounds.clamp(most) < desired {
        return lower(look, function, &wanted);
    }
    if most > bounds.max() {
        return Action::Stay(Hold::AtMax { wanted: most });
    }
    // A little more waits for its step.
    Action::Stay(Hold::AtTarget)
}

/// What is ready or on its way.
fn there(look: &Look<'_>) -> Replicas {
    look.seen.ready.plus(look.seen.pending).max(look.seen.desired)
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
    let least = function.policy.pace.down_rate.map_or(to, |rate| rate.down(look.seen.ready));
    let held = settling.max(hovering.min(wanted.hover)).max(least).min(desired);
    if held < desired && is_due(look, function, DOWN_EVERY) {
        return scale(held, Reason::LoadBelowTarget { wanted: wanted.up });
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
    let step = |at: Moment| at.since_start().as_millis() / every.as_millis();
    function.last.is_none_or(|last| step(last.at) != step(look.now))
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
        function.community.raised = true;
    }
    Some(action)
}

/// What `demand` calls ask for at once.
///
/// At the target itself, not at its share, or as much as a fast average of so many would: what noise adds
/// to a load that the averages know does not ask for more.
fn asked_at_once(look: &Look<'_>, function: &Function, demand: u64) -> Option<Replicas> {
    let by_target = match function.policy.target {
        Target::Load { load: LoadType::Capacity, target, proportion } => {
            let load = Fraction::whole(demand);
            let whole = replicas_for(load, target, Decimal::whole(1));
            Some(whole.max(replicas_for(load.percent(FAST_SHARE), target, proportion)))
        }
        _ => None,
    };
    let asked = by_target.max(by_limit(look.seen.replica_limit, demand))?;
    Some(function.activated(asked))
}

/// What `demand` calls at this moment ask for, where replicas have a hard limit.
pub fn by_limit(limit: Option<u32>, demand: u64) -> Option<Replicas> {
    limit.map(|limit| replicas_to_hold(demand, limit))
}

/// What `demand` calls at this moment ask for, where that can be said.
pub fn asked_by_calls(look: &Look<'_>, function: &Function, demand: u64) -> Option<Replicas> {
    let by_target = match function.policy.target {
        Target::Load { load: LoadType::Capacity, target, proportion } => {
            Some(replicas_for(Fraction::whole(demand), target, proportion))
        }
        _ => None,
    };
    let asked = by_target.max(by_limit(look.seen.replica_limit, demand))?;
    Some(function.activated(asked))
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

/// What is measured, in words.
pub fn unit(load: LoadType) -> &'static str {
    match load {
        LoadType::Rps => "calls/s",
        LoadType::Capacity => "in flight",
    }
}

/// The load has not been seen for long enough.
pub fn learning(look: &Look<'_>, function: &Function, wanted: Replicas) -> Hold {
    let (watched, window) = (function.watched(look.now), look.config.stable_window);
    Hold::Learning { wanted, watched, window }
}
