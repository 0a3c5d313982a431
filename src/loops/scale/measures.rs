//! What is measured elsewhere: who wants it, and what came of it.

use std::collections::BTreeSet;

use tidegate_autoscaler::Source;
use tidegate_core::{FunctionId, LoadType, Moment, Policy, Target};
use tidegate_provider::Pairs;

use super::{Measured, ScaleLoop};
use crate::rules::Rules;

/// The rules, and the functions that need anything measured.
#[derive(Default)]
pub(super) struct Measures {
    pub rules: Rules,
    functions: BTreeSet<FunctionId>,
}

/// Whether labels alone ask for something that is measured elsewhere.
fn is_measured(policy: &Policy) -> bool {
    let Target::Load { load, .. } = policy.target else { return false };
    matches!(load, LoadType::Cpu | LoadType::Memory | LoadType::Latency(_))
}

impl ScaleLoop {
    /// Scales by these rules too; to be called before it runs.
    pub fn follow(&mut self, rules: Rules) {
        self.measures.rules = rules;
    }

    /// Takes in the rules of a function that came or changed.
    pub(super) fn learn_rules(
        &mut self,
        now: Moment,
        function: &FunctionId,
        policy: &Policy,
        labels: &Pairs,
    ) {
        let rules = match self.measures.rules.is_empty() {
            true => Vec::new(),
            false => self.measures.rules.of(function, &labels.to_map()),
        };
        let any = !rules.is_empty();
        if any || self.functions.contains_key(function) {
            self.autoscaler.set_rules(now, function, rules);
        }
        if any || is_measured(policy) {
            self.measures.functions.insert(function.clone());
        } else {
            self.measures.functions.remove(function);
        }
    }

    pub(super) fn forget_rules(&mut self, function: &FunctionId) {
        self.measures.functions.remove(function);
    }

    /// What is to be measured now.
    pub(super) fn wanted(&self) -> Vec<(FunctionId, Vec<Source>)> {
        let all = self.measures.functions.iter();
        let all = all.map(|function| (function.clone(), self.autoscaler.wanted(function)));
        all.filter(|(_, sources)| !sources.is_empty()).collect()
    }

    /// Takes in values, and looks at those they are of.
    pub(super) fn take_measured(&mut self, values: Vec<Measured>) {
        let now = self.clock.now();
        let mut told = BTreeSet::new();
        for (function, source, value) in values {
            if !self.measures.functions.contains(&function) {
                continue;
            }
            if value.is_err() {
                self.metrics.unmeasured(&source);
            }
            self.autoscaler.measured(now, &function, &source, value);
            told.insert(function);
        }
        for function in told {
            self.look(function);
        }
    }
}
