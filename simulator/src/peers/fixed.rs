//! Fixed timers: started when a call comes, kept for a fixed time after the last one ended.

use std::time::Duration;

use tidegate_core::{LoadType, Moment, Observation, Policy, Replicas};

use super::{replicas_for, target};
use crate::scaler::{Scaler, Verdict};
use crate::trace::Traced;

/// All functions.
pub(super) struct Fixed {
    keep: Duration,
    limit: Option<u32>,
    functions: Vec<Option<Policy>>,
}

impl Fixed {
    pub(super) fn new(functions: usize, keep: Duration, limit: Option<u32>) -> Self {
        Self { keep, limit, functions: vec![None; functions] }
    }
}

impl Scaler for Fixed {
    fn insert(&mut self, _: Moment, lane: usize, policy: &Policy, _: &Traced) {
        self.functions[lane] = Some(policy.clone());
    }

    fn decide(&mut self, now: Moment, lane: usize, seen: &Observation) -> Verdict {
        let (Some(policy), Some(load)) = (&self.functions[lane], seen.load) else {
            return Verdict::stay("not_known", None);
        };
        let demand = load.demand();
        if seen.desired.is_zero() && load.waiting == 0 {
            return Verdict::stay("at_zero", None);
        }
        let ends = if demand > 0 { now } else { load.last_end.unwrap_or(Moment::ZERO) } + self.keep;
        if demand == 0 && now >= ends && policy.zero.is_some() {
            return Verdict::scale(Replicas::ZERO, "idle", None);
        }
        let look_again = policy.zero.map(|_| ends);
        let by_target = target(policy).filter(|(load, ..)| *load == LoadType::Capacity);
        let each = self.limit.map(f64::from).or(by_target.map(|(_, target, _)| target));
        let wanted = each.map_or(1, |each| replicas_for(demand as f64, each));
        let to = policy.bounds.clamp(Replicas::new(wanted));
        if to > seen.desired {
            return Verdict::scale(to, "called", look_again);
        }
        Verdict::stay("kept", look_again)
    }
}
