//! Functions without a target: more than five calls a second step the count up, less bring it back.
//!
//! The effect of the alert rule that the OpenFaaS community edition ships, without its delays. A call
//! counts when it begins, so that long ones are traffic too.

use std::time::Duration;

use crate::by_target::{held, learning, open};
use crate::decide::{Look, raise, scale};
use crate::decision::{Action, Hold, Reason};
use crate::function::Function;
use crate::rule::{BUSY_RATE, step};
use crate::stamp::Stamp;

/// Pace of the steps.
const STEP_EVERY: Duration = Duration::from_secs(5);

/// Steps up while busy, back to the minimum when calm for a stable window.
pub fn decide(look: &Look<'_>, function: &mut Function, factor: u32) -> Action {
    let rate = function.busy_rate(look.config);
    if factor > 0 && rate.of > BUSY_RATE * rate.over {
        function.community.busy = Stamp::at(look.now);
        let rate_millis = u64::try_from(rate.of * 1000 / rate.over).unwrap_or(u64::MAX);
        return busy(look, function, factor, Reason::Busy { rate_millis });
    }
    calm(look, function)
}

fn busy(look: &Look<'_>, function: &mut Function, factor: u32, reason: Reason) -> Action {
    let desired = look.seen.desired;
    let max = function.policy.bounds.max();
    let to = desired.plus(step(max, factor)).min(max);
    if desired >= max {
        return Action::Stay(Hold::AtMax { wanted: desired.plus(step(max, factor)) });
    }
    let stepped = function.community.stepped.get();
    if stepped.is_some_and(|at| look.now.since(at) < STEP_EVERY) {
        return Action::Stay(Hold::Stepping);
    }
    let action = raise(look, function, to, reason);
    if matches!(action, Action::Scale { .. }) {
        function.community.stepped = Stamp::at(look.now);
        function.raised = true;
    }
    action
}

/// What an operator or an alert asked for stays; only what the rule raised comes back.
fn calm(look: &Look<'_>, function: &mut Function) -> Action {
    let desired = look.seen.desired;
    let min = function.policy.bounds.min();
    if !function.raised || desired == min {
        function.raised = false;
        return Action::Stay(Hold::AtTarget);
    }
    // After a restart, a new revision or a gap nothing is known of what was before.
    if function.watched(look.now) < look.config.stable_window {
        return Action::Stay(learning(look, function, min));
    }
    let calm = function.policy.down_window.unwrap_or_default().max(look.config.stable_window);
    let wished = held(look.config, function, look.now, min);
    let to = wished.max(open(look, function)).min(desired);
    let recent = function.community.busy.get().is_some_and(|at| look.now.since(at) < calm);
    if recent || to == desired {
        return Action::Stay(Hold::Settling { wanted: min, held: desired });
    }
    scale(to, Reason::Calm)
}
