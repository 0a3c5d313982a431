//! What is worth knowing of a function after a restart: ages, not times.

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
    pub habits: Option<HabitsRecord>,
    /// The last change of its count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastDecision>,
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

fn is_false(flag: &bool) -> bool {
    !flag
}
