//! What is worth knowing of a function after a restart: ages, not times.

use serde::{Deserialize, Serialize};

/// What an earlier run knew of one function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// How long it had been quiet, in milliseconds.
    pub quiet_millis: u64,
    /// How long it had been at zero, in milliseconds; `None` when it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero_millis: Option<u64>,
    /// Whether the rule for functions without a target had raised the count.
    #[serde(default, skip_serializing_if = "is_false")]
    pub raised: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}
