//! The decision on one function: zero, bounds, load, hold, in this order.
//!
//! ```text
//! desired 0 ──► zero.rs      wake, stay, or end what is frozen
//! idle      ──► zero.rs      go to zero
//! target    ──► by_target.rs the formula, bursts, and what holds the count up
//! no target ──► community.rs more than five calls a second
//! asked     ──► ask.rs       operator and alerts
//! ```

use std::time::Duration;

use tidegate_core::{Load, Moment, Observation, Replicas, Target};
use tidegate_idler::Idleness;

use crate::by_target;
use crate::config::Settings;
use crate::decision::{Action, Decision, Depth, Hold, Reason};
use crate::function::Function;
use crate::{community, zero};

/// How often an active function is looked at.
pub const TICK: Duration = Duration::from_secs(1);

/// One look at a function: when, and what was seen.
#[derive(Copy, Clone, Debug)]
pub struct Look<'a> {
    pub config: &'a Settings,
    pub now: Moment,
    pub seen: &'a Observation,
    /// The load; nothing when it is missing, or older than what is known already.
    pub load: Option<&'a Load>,
}

impl Look<'_> {
    /// This, and another look after a tick.
    pub fn soon(&self, action: Action) -> Decision {
        Decision { action, look_again: Some(self.now + TICK) }
    }

    /// Calls that want a replica now, as far as is known.
    pub fn demand(&self) -> u64 {
        self.load.map_or(0, Load::demand)
    }
}

/// What to do about a function whose load was taken in.
pub fn decide(look: &Look<'_>, function: &mut Function) -> Decision {
    if let Some(decision) = zero::scheduled(look, function) {
        return decision;
    }
    if look.seen.desired.is_zero() {
        return zero::at_zero(look, function);
    }
    function.idle.runs();
    function.by_hand = false;
    let idleness = zero::idleness(look.config, function, look.now, look.load);
    if let Idleness::Idle { since } = idleness
        && !look.config.dry_run_idle
    {
        // Another look soon: a call that arrives meanwhile cancels this.
        return look.soon(zero::go(look, function, since));
    }
    let action = match (by_load(look, function), idleness) {
        (Action::Stay(_), Idleness::Idle { since }) => Action::Stay(Hold::DryRun { since }),
        (action, _) => action,
    };
    let look_again = next_look(look, function, idleness, &action);
    Decision { action, look_again }
}

/// A count above zero.
pub fn scale(to: Replicas, reason: Reason) -> Action {
    Action::Scale { to, depth: Depth::Removed, reason }
}

/// Scales up, unless what was started before does not become ready.
///
/// Where most replicas are ready a few that are stuck hold nothing up: the others show that starts work.
pub fn raise(look: &Look<'_>, function: &Function, to: Replicas, reason: Reason) -> Action {
    if let Some((since, _)) = function.pending_since.get() {
        let since = look.now.since(since);
        if since > look.config.start_deadline && look.seen.pending >= look.seen.ready {
            return Action::Stay(Hold::StartsStuck { wanted: to, since });
        }
    }
    let most = function.policy.pace.up_rate.map_or(to, |rate| rate.up(look.seen.ready));
    if most <= look.seen.desired {
        return Action::Stay(Hold::UpRate { wanted: to, ready: look.seen.ready });
    }
    scale(to.min(most), reason)
}

fn by_load(look: &Look<'_>, function: &mut Function) -> Action {
    let bounds = function.policy.bounds;
    let desired = look.seen.desired;
    if bounds.is_static() {
        return Action::Stay(Hold::Static);
    }
    if desired < bounds.min() {
        return scale(bounds.min(), Reason::BelowMin);
    }
    if look.load.is_none() {
        // What is measured elsewhere may still ask for more.
        return match function.measures {
            Some(_) => by_target::decide(look, function),
            None => Action::Stay(Hold::NoSamples),
        };
    }
    if desired > bounds.max() {
        return scale(bounds.max(), Reason::AboveMax);
    }
    if let Some(first) = function.initial(look.seen.ready) {
        return initial(look, function, first);
    }
    match function.policy.target {
        Target::Community { factor } if function.is_community() => by_target::burst(look, function)
            .unwrap_or_else(|| community::decide(look, function, factor)),
        _ => by_target::decide(look, function),
    }
}

/// A new function gets its first count, whatever the load says; then that count holds like a wish.
fn initial(look: &Look<'_>, function: &mut Function, first: Replicas) -> Action {
    let hold = function.hold(look.config);
    function.wishes.note(look.now, first, hold);
    if look.seen.desired < first {
        return raise(look, function, first, Reason::Initial);
    }
    Action::Stay(Hold::Initial { first })
}

/// Active functions are looked at every tick; quiet ones when their idle time is over, once more before that
/// to forget what their windows hold; others not at all.
fn next_look(
    look: &Look<'_>,
    function: &mut Function,
    idleness: Idleness,
    action: &Action,
) -> Option<Moment> {
    let deadline = idleness.deadline();
    let next = if is_active(look, function, action) {
        function.dozes = false;
        let shows = function.flow.shows_at().filter(|at| *at > look.now);
        sooner(shows, Some(look.now + TICK))
    } else {
        let empty = function.empties(look.config).filter(|at| look.now < *at);
        function.dozes = empty.is_some();
        if empty.is_none() {
            function.rest();
        }
        empty
    };
    sooner(next, deadline)
}

/// The sooner of two moments that may be none.
fn sooner(one: Option<Moment>, other: Option<Moment>) -> Option<Moment> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Whether the next look may decide something else although no call arrives.
fn is_active(look: &Look<'_>, function: &Function, action: &Action) -> bool {
    let moving = matches!(action, Action::Scale { .. }) || !look.seen.pending.is_zero();
    let Some(load) = look.load else { return true };
    if moving || load.demand() > 0 {
        return true;
    }
    let bounds = function.policy.bounds;
    if bounds.is_static() {
        return false;
    }
    // Nobody else says when what is measured asks for more.
    if function.measures.as_ref().is_some_and(|measures| !measures.is_empty()) {
        return true;
    }
    if look.seen.desired <= bounds.min() {
        // What its windows hold asks for no more now, and with nothing open for less from now on.
        let rests =
            matches!(action, Action::Stay(Hold::AtTarget | Hold::AtMin | Hold::DryRun { .. }));
        return !rests || function.is_called_often(load);
    }
    let held = matches!(
        action,
        Action::Stay(Hold::Settling { .. } | Hold::Hovering { .. } | Hold::Learning { .. })
    );
    let measured = matches!(function.policy.target, Target::Load { .. });
    held || measured || function.empties(look.config).is_some_and(|at| look.now < at)
}
