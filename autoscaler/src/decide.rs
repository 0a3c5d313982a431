//! The decision: zero, wake, bounds, load, hold, in this order.

use std::time::Duration;

use tidegate_core::{Decimal, LoadType, Moment, Observation, Replicas, Target, ZeroPolicy};
use tidegate_idler::{IdleInput, Idleness, judge};

use crate::Config;
use crate::decision::{Action, Ask, Decision, Depth, Hold, Reason};
use crate::function::Function;
use crate::rule::{BUSY_RATE, replicas_for, replicas_to_hold, step};
use crate::window::Fraction;

/// How often an active function is looked at.
const TICK: Duration = Duration::from_secs(1);
/// Span and pace of the rule for functions without a target.
const BUSY_SPAN: Duration = Duration::from_secs(10);
const STEP_EVERY: Duration = Duration::from_secs(5);

/// Records what was seen, and decides.
pub fn decide(
    config: &Config,
    function: &mut Function,
    now: Moment,
    seen: &Observation,
) -> Decision {
    function.watch_starts(now, seen);
    if let Some(load) = &seen.load {
        let span = config.stable_window.max(BUSY_SPAN);
        function.window.record(now, load, span);
    }
    if seen.desired.is_zero() {
        return at_zero(config, function, now, seen);
    }
    function.zero_since = None;
    function.zero_before = Duration::ZERO;
    let idleness = idleness(config, function, now, seen);
    if let Some(action) = idle(config, function, now, idleness) {
        return Decision { action, look_again: Some(now + TICK) };
    }
    let action = match (by_load(config, function, now, seen), idleness) {
        (Action::Stay(_), Idleness::Idle { since }) => Action::Stay(Hold::DryRun { since }),
        (action, _) => action,
    };
    let look_again = next_look(function, now, seen, idleness, &action);
    Decision { action, look_again }
}

/// Somebody asks for a count.
pub fn ask(
    config: &Config,
    function: &mut Function,
    now: Moment,
    seen: &Observation,
    ask: Ask,
) -> Decision {
    let bounds = function.policy.bounds;
    let (to, reason) = match ask {
        Ask::Wake => return decide(config, function, now, seen),
        Ask::Operator(asked) => {
            let to = if asked.is_zero() { asked } else { bounds.clamp(asked) };
            (to, Reason::Operator { asked })
        }
        Ask::AlertFiring => {
            let factor = match function.policy.target {
                Target::Community { factor } => factor,
                Target::Load { .. } => 10,
            };
            if factor == 0 {
                return stay(Hold::AsAsked, now);
            }
            (seen.desired.plus(step(bounds.max(), factor)).min(bounds.max()), Reason::AlertFiring)
        }
        Ask::AlertResolved => (bounds.min(), Reason::AlertResolved),
    };
    function.touch(now);
    function.wish(now, to);
    function.raised = false;
    if to == seen.desired {
        return stay(Hold::AsAsked, now);
    }
    if to.is_zero() {
        function.zero_since = Some(now);
    }
    let action = Action::Scale { to, depth: Depth::Removed, reason };
    Decision { action, look_again: Some(now + TICK) }
}

fn stay(hold: Hold, now: Moment) -> Decision {
    Decision { action: Action::Stay(hold), look_again: Some(now + TICK) }
}

/// At zero only a waiting call raises the count: a zero made by hand is not undone by a rule.
fn at_zero(config: &Config, function: &mut Function, now: Moment, seen: &Observation) -> Decision {
    let since = *function.zero_since.get_or_insert(now);
    // Calls that are still served finish on replicas that are on their way out; they ask for none.
    let waiting = seen.load.as_ref().map_or(0, |load| load.waiting);
    if waiting > 0 {
        let reason = Reason::Woken { waiting };
        let to = wake_count(function, seen, waiting);
        function.touch(now);
        function.wish(now, to);
        let action = Action::Scale { to, depth: Depth::Removed, reason };
        return Decision { action, look_again: Some(now + TICK) };
    }
    function.rest();
    let zeroed = now.since(since) + function.zero_before;
    let warm = warm(config, function.policy.zero.as_ref());
    if seen.frozen.is_zero() {
        return Decision { action: Action::Stay(Hold::AtZero), look_again: None };
    }
    if zeroed < warm {
        let at = now + (warm - zeroed);
        return Decision { action: Action::Stay(Hold::AtZero), look_again: Some(at) };
    }
    let reason = Reason::WarmOver { since: zeroed };
    let action = Action::Scale { to: Replicas::ZERO, depth: Depth::Removed, reason };
    Decision { action, look_again: Some(now + TICK) }
}

/// A waking function gets its minimum, or what a burst fills.
fn wake_count(function: &Function, seen: &Observation, demand: u64) -> Replicas {
    let bounds = function.policy.bounds;
    bounds.clamp(instant(function, seen, demand).unwrap_or(bounds.min()))
}

/// What the calls that are there now ask for, where that can be said.
fn instant(function: &Function, seen: &Observation, demand: u64) -> Option<Replicas> {
    let by_target = match function.policy.target {
        Target::Load { load: LoadType::Capacity, target, proportion } => {
            Some(replicas_for(Fraction::whole(demand), target, proportion))
        }
        _ => None,
    };
    let by_limit = seen.replica_limit.map(|limit| replicas_to_hold(demand, limit));
    by_target.max(by_limit)
}

fn warm(config: &Config, zero: Option<&ZeroPolicy>) -> Duration {
    let wanted = zero.and_then(|zero| zero.warm).unwrap_or(config.warm);
    if config.can_freeze { wanted } else { Duration::ZERO }
}

pub(crate) fn idleness(
    config: &Config,
    function: &Function,
    now: Moment,
    seen: &Observation,
) -> Idleness {
    let zero = function.policy.zero;
    let after = zero.and_then(|zero| zero.after).unwrap_or(config.idle_after);
    let input = IdleInput {
        opted_in: zero.is_some(),
        after,
        load: seen.load.as_ref(),
        touched: function.touched,
        quiet_before: function.quiet_before,
    };
    judge(now, &input)
}

fn idle(
    config: &Config,
    function: &mut Function,
    now: Moment,
    idleness: Idleness,
) -> Option<Action> {
    let Idleness::Idle { since } = idleness else { return None };
    if config.dry_run_idle {
        return None;
    }
    let frozen = !warm(config, function.policy.zero.as_ref()).is_zero();
    let depth = if frozen { Depth::Frozen } else { Depth::Removed };
    function.zero_since = Some(now);
    function.raised = false;
    Some(Action::Scale { to: Replicas::ZERO, depth, reason: Reason::Idle { since } })
}

fn by_load(config: &Config, function: &mut Function, now: Moment, seen: &Observation) -> Action {
    let bounds = function.policy.bounds;
    if bounds.is_static() {
        return Action::Stay(Hold::Static);
    }
    if seen.desired > bounds.max() {
        return scale(bounds.max(), Reason::AboveMax);
    }
    if seen.desired < bounds.min() {
        return scale(bounds.min(), Reason::BelowMin);
    }
    let Some(load) = seen.load else { return Action::Stay(Hold::NoSamples) };
    note_wish(config, function, now);
    if let Some(action) = burst(config, function, now, seen, load.demand()) {
        return action;
    }
    match function.policy.target {
        Target::Community { factor } => community(config, function, now, seen, factor),
        Target::Load { load, target, proportion } => {
            let rule = Rule { load, target, proportion };
            by_target(config, function, now, seen, rule)
        }
    }
}

/// An arrival found everything full that is ready or on its way.
fn burst(
    config: &Config,
    function: &mut Function,
    now: Moment,
    seen: &Observation,
    demand: u64,
) -> Option<Action> {
    let there = seen.ready.plus(seen.pending).max(seen.desired);
    let full = match function.policy.target {
        // At the target itself, not at its share: the average looks after that.
        Target::Load { load: LoadType::Capacity, target, .. } => {
            let wanted = replicas_for(Fraction::whole(demand), target, Decimal::whole(1));
            wanted > there
        }
        _ => seen.replica_limit.is_some_and(|limit| replicas_to_hold(demand, limit) > there),
    };
    let wanted = instant(function, seen, demand)?;
    if !full {
        return None;
    }
    let to = function.policy.bounds.clamp(wanted);
    function.wish(now, to);
    (to > seen.desired)
        .then(|| raise(config, function, now, seen, to, Reason::Burst { demand, wanted }))
}

/// What the fast average asks for holds the count up later, whatever is done about it now.
fn note_wish(config: &Config, function: &mut Function, now: Moment) {
    let Target::Load { load, target, proportion } = function.policy.target else { return };
    let Some(fast) = measured(function, load, config.fast_window) else { return };
    let wanted = Rule { load, target, proportion }.wanted(fast);
    function.wish(now, function.policy.bounds.clamp(wanted));
}

#[derive(Copy, Clone)]
struct Rule {
    load: LoadType,
    target: Decimal,
    proportion: Decimal,
}

impl Rule {
    fn wanted(&self, load: Fraction) -> Replicas {
        replicas_for(load, self.target, self.proportion)
    }
}

pub(crate) fn measured(function: &Function, load: LoadType, span: Duration) -> Option<Fraction> {
    match load {
        LoadType::Rps => function.window.rate(span),
        LoadType::Capacity => function.window.concurrency(span),
    }
}

fn by_target(
    config: &Config,
    function: &mut Function,
    now: Moment,
    seen: &Observation,
    rule: Rule,
) -> Action {
    let stable = measured(function, rule.load, config.stable_window);
    let fast = measured(function, rule.load, config.fast_window);
    // One reading says nothing about a rate.
    let (Some(stable), Some(fast)) = (stable, fast) else { return Action::Stay(Hold::AtTarget) };
    let bounds = function.policy.bounds;
    let wanted = rule.wanted(stable).max(rule.wanted(fast));
    let to = bounds.clamp(wanted);
    if to > seen.desired {
        return raise(config, function, now, seen, to, Reason::LoadAboveTarget { wanted });
    }
    lower_to(config, function, now, seen, to, Reason::LoadBelowTarget { wanted })
}

fn lower_to(
    config: &Config,
    function: &mut Function,
    now: Moment,
    seen: &Observation,
    to: Replicas,
    reason: Reason,
) -> Action {
    if to >= seen.desired {
        return Action::Stay(Hold::AtTarget);
    }
    let span = function.hold_span(config.stable_window);
    // Below what is open right now the next arrival would find all full again.
    let demand = seen.load.as_ref().map_or(0, |load| load.demand());
    let open = instant(function, seen, demand).unwrap_or(Replicas::ZERO);
    let highest = function.highest_wish(now, span).max(open);
    let whole = function.window.is_full(now, config.stable_window);
    let held = if whole { to.max(highest).min(seen.desired) } else { seen.desired };
    if held >= seen.desired {
        return Action::Stay(Hold::Settling { wanted: to, held });
    }
    function.went_down(now);
    scale(held, reason)
}

/// Scales up, unless what was started before does not become ready.
fn raise(
    config: &Config,
    function: &mut Function,
    now: Moment,
    seen: &Observation,
    to: Replicas,
    reason: Reason,
) -> Action {
    if let Some((since, _)) = function.pending_since {
        let since = now.since(since);
        if since > config.start_deadline && seen.pending >= seen.ready {
            return Action::Stay(Hold::StartsStuck { wanted: to, since });
        }
    }
    function.went_up(now, config.stable_window);
    scale(to, reason)
}

fn community(
    config: &Config,
    function: &mut Function,
    now: Moment,
    seen: &Observation,
    factor: u32,
) -> Action {
    let rate = function.window.rate(BUSY_SPAN).unwrap_or(Fraction::ZERO);
    // Over the whole span from the first call on: fifty calls make ten seconds of five a second.
    let over = rate.over.max(BUSY_SPAN.as_millis());
    if rate.of > BUSY_RATE * over {
        function.busy_at = Some(now);
        let rate_millis = u64::try_from(rate.of * 1000 / over).unwrap_or(u64::MAX);
        return busy(config, function, now, seen, factor, Reason::Busy { rate_millis });
    }
    // What an operator asked for stays; only what the rule raised comes back.
    if !function.raised || seen.desired == function.policy.bounds.min() {
        function.raised = false;
        return Action::Stay(Hold::AtTarget);
    }
    let calm_since = function.busy_at.unwrap_or(function.touched);
    let down_window = function.policy.down_window.unwrap_or_default();
    let to = function.policy.bounds.min();
    if now.since(calm_since) < config.stable_window.max(down_window) {
        return Action::Stay(Hold::Settling { wanted: to, held: seen.desired });
    }
    scale(to, Reason::Calm)
}

fn busy(
    config: &Config,
    function: &mut Function,
    now: Moment,
    seen: &Observation,
    factor: u32,
    reason: Reason,
) -> Action {
    let max = function.policy.bounds.max();
    let to = seen.desired.plus(step(max, factor)).min(max);
    let pausing = function.stepped_at.is_some_and(|at| now.since(at) < STEP_EVERY);
    if to == seen.desired || pausing {
        return Action::Stay(Hold::AtTarget);
    }
    let action = raise(config, function, now, seen, to, reason);
    if matches!(action, Action::Scale { .. }) {
        function.stepped_at = Some(now);
        function.raised = true;
    }
    action
}

fn scale(to: Replicas, reason: Reason) -> Action {
    Action::Scale { to, depth: Depth::Removed, reason }
}

/// Active functions are looked at every tick, quiet ones when their idle time is over, others not at all.
fn next_look(
    function: &mut Function,
    now: Moment,
    seen: &Observation,
    idleness: Idleness,
    action: &Action,
) -> Option<Moment> {
    let tick = Some(now + TICK);
    let moving = matches!(action, Action::Scale { .. }) || !seen.pending.is_zero();
    let open = seen.load.as_ref().is_none_or(|load| load.demand() > 0);
    let before = function.last.and_then(|last| last.load);
    let arrived = seen.load.map(|load| load.started) != before.map(|load| load.started);
    let settling = matches!(action, Action::Stay(Hold::Settling { .. }));
    let loaded = !function.policy.bounds.is_static() && has_load(function);
    if moving || open || arrived || settling || loaded {
        return tick;
    }
    let above = matches!(function.policy.target, Target::Load { .. })
        && seen.desired > function.policy.bounds.min();
    if above && !function.policy.bounds.is_static() {
        return tick;
    }
    function.rest();
    match idleness {
        Idleness::Quiet { until } => Some(until),
        _ => None,
    }
}

/// Whether anything was called within the windows.
fn has_load(function: &Function) -> bool {
    let some = |fraction: Option<Fraction>| fraction.is_some_and(|fraction| fraction.of > 0);
    some(function.window.rate(BUSY_SPAN)) || some(function.window.concurrency(BUSY_SPAN))
}
