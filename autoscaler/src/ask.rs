//! What others ask for: an operator, an alert, a call that waits. The same bounds, the same record.

use tidegate_core::{Replicas, Target};

use crate::by_target::open;
use crate::decide::{Look, decide, scale};
use crate::decision::{Action, Ask, Decision, Hold, Reason};
use crate::function::Function;
use crate::rule::step;
use crate::rules::{Sight, Wanted, known_for};
use crate::zero;

/// The step of an alert where the policy has none, in percent of the maximum.
const DEFAULT_FACTOR: u32 = 10;

/// Answers an ask about a function whose load was taken in.
pub fn ask(look: &Look<'_>, function: &mut Function, ask: Ask) -> Decision {
    let at_zero = look.seen.desired.is_zero();
    match ask {
        Ask::Wake if at_zero => {
            let waiting = look.seen.load.as_ref().map_or(0, |load| load.waiting);
            zero::wake(look, function, waiting)
        }
        Ask::Wake => decide(look, function),
        Ask::Evict(short) => zero::evict(look, function, short),
        Ask::Operator(asked) => operator(look, function, asked),
        // At zero there is nothing to relieve; only a call ends it.
        Ask::AlertFiring | Ask::AlertResolved if at_zero => decide(look, function),
        Ask::AlertFiring => firing(look, function),
        Ask::AlertResolved => resolved(look, function),
    }
}

/// Brought within the bounds, but for zero, which always counts and lasts until a call comes.
fn operator(look: &Look<'_>, function: &mut Function, asked: Replicas) -> Decision {
    let given = if asked.is_zero() { asked } else { function.policy.bounds.clamp(asked) };
    function.idle.touch(look.now);
    function.raised = false;
    if given.is_zero() {
        function.idle.zero_since.get_or_insert(look.now);
        function.by_hand = true;
    }
    let reason = Reason::Operator { asked, given };
    change(look, function, given, reason)
}

fn firing(look: &Look<'_>, function: &mut Function) -> Decision {
    let max = function.policy.bounds.max();
    let step = step(max, factor(function));
    if step.is_zero() {
        return look.soon(Action::Stay(Hold::NoStep));
    }
    // What an alert raised an alert takes back.
    function.raised = false;
    change(look, function, look.seen.desired.plus(step).min(max), Reason::AlertFiring)
}

/// Without a target to the minimum in one jump. With one, no lower than the load asks for right now.
fn resolved(look: &Look<'_>, function: &mut Function) -> Decision {
    if factor(function) == 0 {
        return look.soon(Action::Stay(Hold::NoStep));
    }
    let bounds = function.policy.bounds;
    if function.is_community() {
        function.raised = false;
        return change(look, function, bounds.min(), Reason::AlertResolved);
    }
    let wanted = Wanted::of(look.config, function, &Sight::of(look));
    if let Some(hold) = wanted.unmeasured() {
        return look.soon(Action::Stay(hold));
    }
    let known = look.load.is_some() && known_for(function, look.now) >= look.config.stable_window;
    if !known || wanted.load_missing {
        return look.soon(Action::Stay(Hold::NoSamples));
    }
    let highest = wanted.highest();
    let to = bounds.clamp(highest.up.max(highest.floor).max(open(look, function)));
    change(look, function, to.min(look.seen.desired), Reason::AlertResolved)
}

fn factor(function: &Function) -> u32 {
    match function.policy.target {
        Target::Community { factor } => factor,
        Target::Load { .. } => DEFAULT_FACTOR,
    }
}

/// The count is this now, and the load may not take it down for a while.
fn change(look: &Look<'_>, function: &mut Function, to: Replicas, reason: Reason) -> Decision {
    let hold = function.hold(look.config);
    function.wishes.note(look.now, to, hold);
    if to == look.seen.desired {
        return look.soon(Action::Stay(Hold::AsAsked));
    }
    look.soon(scale(to, reason))
}
