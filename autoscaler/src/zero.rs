//! The way to zero, what happens there, and the way back.
//!
//! ```text
//! running ──idle──► frozen ──warm time over──► created ──its time over──► removed
//!    ▲                 │  └──────── memory is short ──┴──────────────────────►│
//!    └─────────────────┴─────────── a call waits ─────┴───────────────────────┘
//! ```

use std::time::Duration;

use tidegate_core::{Load, Moment, Replicas};
use tidegate_idler::{Idleness, Shortage, age, judge, judge_by};

use crate::by_target::asked_by_calls;
use crate::config::Settings;
use crate::decide::{Look, decide, scale};
use crate::decision::{Action, Decision, Depth, Hold, Reason};
use crate::function::Function;
use crate::habits::{before_a_call, input, least, plan};
use crate::stamp::Stamp;

/// A schedule asks for more than there is. A zero made by hand stays all the same.
pub fn scheduled(look: &Look<'_>, function: &mut Function) -> Option<Decision> {
    let least = function.own_min.map(|_| function.policy.bounds.min())?;
    let by_hand = look.seen.desired.is_zero() && function.by_hand;
    if look.seen.desired >= least || by_hand {
        return None;
    }
    // When the schedule is over the rule without a target brings the minimum back.
    function.raised = true;
    Some(look.soon(scale(least, Reason::Scheduled { least })))
}

/// At zero only a waiting call raises the count: a zero made by hand is not undone by a rule.
pub fn at_zero(look: &Look<'_>, function: &mut Function) -> Decision {
    function.idle.zero_since.get_or_insert(look.now);
    // Calls that are still served finish on replicas that are on their way out; they ask for none. A
    // look that came late may still tell of one that waits: waking too often is the lesser harm.
    let waiting = look.seen.load.as_ref().map_or(0, |load| load.waiting);
    if waiting > 0 {
        return wake(look, function, waiting);
    }
    function.rest();
    let zeroed = at_zero_for(look, function);
    let warm = warm(look.config, function);
    if look.seen.frozen.is_zero() {
        return not_frozen(look, function, warm.saturating_add(created(look.config, function)));
    }
    if zeroed < warm {
        let stay = Action::Stay(Hold::AtZero);
        return Decision { action: stay, look_again: Some(look.now + (warm - zeroed)) };
    }
    let depth = below_frozen(look.config, function);
    let reason = Reason::WarmOver { since: zeroed };
    look.soon(Action::Scale { to: Replicas::ZERO, depth, reason })
}

/// What is frozen answers in milliseconds; what is not is worth warming before a call, created or removed:
/// most of a start is the program's own. `end` is the time at zero after which what is created goes.
fn not_frozen(look: &Look<'_>, function: &Function, end: Duration) -> Decision {
    let mut decision = before_a_call(look, function);
    if look.seen.created.is_zero() || matches!(decision.action, Action::Scale { .. }) {
        return decision;
    }
    let since = at_zero_for(look, function);
    if since >= end {
        return look.soon(scale(Replicas::ZERO, Reason::CreatedOver { since }));
    }
    let over = look.now + (end - since);
    decision.look_again = decision.look_again.into_iter().chain([over]).min();
    decision
}

/// Memory is short: what is frozen gives up its memory, and what is only created all it has.
pub fn evict(look: &Look<'_>, function: &mut Function, short: Shortage) -> Decision {
    let waiting = look.seen.load.as_ref().map_or(0, |load| load.waiting);
    let resting = !look.seen.frozen.is_zero() || !look.seen.created.is_zero();
    if !look.seen.desired.is_zero() || waiting > 0 || !resting {
        return decide(look, function);
    }
    let depth = match look.seen.frozen.is_zero() {
        true => Depth::Removed,
        false => below_frozen(look.config, function),
    };
    look.soon(Action::Scale { to: Replicas::ZERO, depth, reason: Reason::Evicted { short } })
}

fn at_zero_for(look: &Look<'_>, function: &Function) -> Duration {
    let since = function.idle.zero_since.get().unwrap_or(look.now);
    look.now.since(since) + function.idle.zero_before()
}

/// What comes after frozen.
fn below_frozen(config: &Settings, function: &Function) -> Depth {
    if created(config, function).is_zero() { Depth::Removed } else { Depth::Created }
}

/// A waking function gets its minimum, or what a burst fills. Nothing delays or limits this.
pub fn wake(look: &Look<'_>, function: &mut Function, waiting: u64) -> Decision {
    let bounds = function.policy.bounds;
    let to = asked_by_calls(function, look.seen.replica_limit, 0, waiting).unwrap_or(bounds.min());
    let to = bounds.clamp(function.activated(to));
    function.idle.touch(look.now);
    function.raised = to > bounds.min();
    let hold = function.hold(look.config);
    function.wishes.note(look.now, to, hold);
    look.soon(scale(to, Reason::Woken { waiting }))
}

/// Idle for long enough: to zero, frozen first where that can be and is wanted.
pub fn go(look: &Look<'_>, function: &mut Function, since: Duration) -> Action {
    let warm = warm(look.config, function);
    let depth = if warm.is_zero() { below_frozen(look.config, function) } else { Depth::Frozen };
    function.idle.zero_since = Stamp::at(look.now);
    function.raised = false;
    Action::Scale { to: Replicas::ZERO, depth, reason: Reason::Idle { since } }
}

/// What the idle rule says. Until the promised time is over nobody needs what was learnt.
pub fn idleness(
    config: &Settings,
    function: &Function,
    now: Moment,
    load: Option<&Load>,
) -> Idleness {
    let input = input(config, function, load);
    if age(now, &input) < least(config, function) {
        return judge(now, &input);
    }
    idleness_told(config, function, now, load)
}

/// The same with everything that was learnt, at any age of the silence.
pub fn idleness_told(
    config: &Settings,
    function: &Function,
    now: Moment,
    load: Option<&Load>,
) -> Idleness {
    let input = input(config, function, load);
    match plan(config, function) {
        Some(plan) => judge_by(now, &input, &plan),
        None => judge(now, &input),
    }
}

/// How long replicas stay frozen at zero.
pub fn warm(config: &Settings, function: &Function) -> Duration {
    if !config.can_freeze {
        return Duration::ZERO;
    }
    function.policy.zero.and_then(|zero| zero.warm).unwrap_or(config.warm)
}

/// How long replicas are kept created after that.
pub fn created(config: &Settings, function: &Function) -> Duration {
    if !config.can_create {
        return Duration::ZERO;
    }
    let named = function.policy.zero.and_then(|zero| zero.created);
    named.map_or(config.created, Duration::from)
}
