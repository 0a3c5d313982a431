//! What is worth knowing of a function after a restart: ages, not times.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_core::Replicas;
use tidegate_idler::HabitsRecord;

/// What an earlier run knew of one function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// How long it had been quiet, in milliseconds.
    #[serde(default)]
    pub quiet_millis: u64,
    /// How long it had been at zero, in milliseconds; `None` when it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero_millis: Option<u64>,
    /// Whether the rule for functions without a target had raised the count.
    #[serde(default, skip_serializing_if = "is_false")]
    pub raised: bool,
    /// Whether it was sent to zero by hand.
    #[serde(default, skip_serializing_if = "is_false")]
    pub by_hand: bool,
    /// What was learnt of its silences, when its policy learns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub habits: Option<Box<HabitsRecord>>,
    /// The last change of its count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Box<LastDecision>>,
}

/// The last change of a count that an earlier run made, for the explanation only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDecision {
    /// How long ago, in milliseconds.
    pub age_millis: u64,
    /// From how many.
    pub from: Replicas,
    /// To how many.
    pub to: Replicas,
    /// Who asked.
    pub by: String,
    /// The value of the `reason` label.
    pub reason: String,
    /// Why, as a sentence.
    pub why: String,
}

/// Ages are whole seconds: two of the same thing may differ by one each.
const ROUNDING: Duration = Duration::from_secs(2);

impl Memory {
    /// What it is `span` later, when nothing happens meanwhile.
    #[must_use]
    pub fn after(mut self, span: Duration) -> Self {
        let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        self.quiet_millis = self.quiet_millis.saturating_add(span);
        self.zero_millis = self.zero_millis.map(|zero| zero.saturating_add(span));
        if let Some(last) = &mut self.last {
            last.age_millis = last.age_millis.saturating_add(span);
        }
        self
    }

    /// Whether this is `earlier`, `span` later, and nothing else.
    pub fn only_aged(&self, earlier: &Self, span: Duration) -> bool {
        let aged = |now: u64, then: u64| {
            let expected = Duration::from_millis(then) + span;
            Duration::from_millis(now).abs_diff(expected) <= ROUNDING
        };
        let zero = match (self.zero_millis, earlier.zero_millis) {
            (Some(now), Some(then)) => aged(now, then),
            (now, then) => now == then,
        };
        let last = match (&self.last, &earlier.last) {
            (Some(now), Some(then)) => {
                aged(now.age_millis, then.age_millis)
                    && (now.from, now.to) == (then.from, then.to)
                    && (&now.by, &now.reason) == (&then.by, &then.reason)
                    && now.why == then.why
            }
            (now, then) => now.is_none() && then.is_none(),
        };
        let flags = (self.raised, self.by_hand) == (earlier.raised, earlier.by_hand);
        zero && last
            && flags
            && aged(self.quiet_millis, earlier.quiet_millis)
            && self.habits == earlier.habits
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}
