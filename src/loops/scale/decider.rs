//! The autoscaler as the loop calls it: each call that can change a decision is written to the record, when one
//! is kept, so that a replay makes the same calls.

use std::collections::BTreeMap;
use std::ops::Deref;

use tidegate_autoscaler::{Ask, Autoscaler, CustomRule, Decision, Handle, Memory, Source};
use tidegate_core::{FunctionId, Moment, Observation, Policy, Replicas};
use tidegate_idler::CommonRecord;
use tidegate_provider::Pairs;
use tidegate_simulator::Verdict;
use tidegate_simulator::record::{Cause, Recorder};

/// An autoscaler, and the record of what it is told and decides.
pub(super) struct Decider {
    autoscaler: Autoscaler,
    recorder: Option<Recorder>,
}

/// Prefixes of the labels that a record tells; others may be nobody's business.
const SCALE: [&str; 2] = ["com.openfaas.scale.", "com.tidegate.scale."];

impl Decider {
    pub fn new(autoscaler: Autoscaler) -> Self {
        Self { autoscaler, recorder: None }
    }

    /// From now on all is recorded; for the start, when nothing was told yet.
    pub fn record(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// Nothing follows in the record.
    pub fn end_record(&mut self) {
        self.recorder = None;
    }

    /// Goes on with what an earlier run knew of all functions together.
    pub fn restore_common(&mut self, now: Moment, common: &CommonRecord) {
        if let Some(recorder) = self.recorder() {
            recorder.common(now, common);
        }
        self.autoscaler.restore_common(common);
    }

    /// A function appeared or has a new revision.
    pub fn insert(
        &mut self,
        now: Moment,
        function: &FunctionId,
        policy: Policy,
        labels: &Pairs,
        memory: Option<Memory>,
    ) -> Handle {
        if let Some(recorder) = self.recorder() {
            recorder.function(now, function, &told(labels), memory.as_ref());
        }
        self.autoscaler.insert(now, function.clone(), policy, memory)
    }

    /// A function is gone.
    pub fn remove(&mut self, now: Moment, function: &FunctionId) {
        if let Some(recorder) = self.recorder() {
            recorder.gone(now, function);
        }
        self.autoscaler.remove(function);
    }

    /// A function has another least count.
    pub fn floor(&mut self, now: Moment, function: &FunctionId, least: Replicas) {
        if let Some(recorder) = self.recorder() {
            recorder.floor(now, function, least);
        }
        self.autoscaler.floor(function, least);
    }

    /// A function has these named rules.
    pub fn set_rules(&mut self, now: Moment, function: &FunctionId, rules: Vec<CustomRule>) {
        if let Some(recorder) = self.recorder() {
            recorder.rules(now, function, &rules);
        }
        self.autoscaler.set_rules(function, rules);
    }

    /// A value was measured, or could not be.
    pub fn measured(
        &mut self,
        now: Moment,
        function: &FunctionId,
        source: &Source,
        value: Result<f64, String>,
    ) {
        if let Some(recorder) = self.recorder() {
            recorder.measured(now, function, source, &value);
        }
        self.autoscaler.measured(now, function, source, value);
    }

    /// Memory is short, or no longer.
    pub fn memory_is_short(&mut self, now: Moment, short: bool) {
        if let Some(recorder) = self.recorder() {
            recorder.memory_is_short(now, short);
        }
        self.autoscaler.memory_is_short(short);
    }

    /// What was seen, and what somebody asks for, if anybody does.
    pub fn decide(
        &mut self,
        now: Moment,
        handle: Handle,
        seen: &Observation,
        asked: Option<Ask>,
    ) -> Decision {
        let decision = match asked {
            None => self.autoscaler.decide_at(now, handle, seen),
            Some(ask) => self.autoscaler.ask(now, seen, ask),
        };
        if let Some(recorder) = self.recorder() {
            let cause = asked.map_or(Cause::Look, Cause::Ask);
            recorder.decided(now, cause, seen, &Verdict::from(decision.clone()));
        }
        decision
    }

    /// The recorder, while it writes.
    fn recorder(&mut self) -> Option<&mut Recorder> {
        if self.recorder.as_ref().is_some_and(Recorder::has_failed) {
            self.recorder = None;
        }
        self.recorder.as_mut()
    }
}

/// What changes nothing is asked of the autoscaler itself.
impl Deref for Decider {
    type Target = Autoscaler;

    fn deref(&self) -> &Autoscaler {
        &self.autoscaler
    }
}

/// The labels that the policy was made of: none when it is the default since they are bad.
fn told(labels: &Pairs) -> BTreeMap<String, String> {
    let ours = |(name, _): &(&str, &str)| SCALE.iter().any(|prefix| name.starts_with(prefix));
    let labels: BTreeMap<String, String> = labels
        .iter()
        .filter(ours)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if Policy::from_labels(&labels).is_ok() { labels } else { BTreeMap::new() }
}
