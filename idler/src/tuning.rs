//! The numbers of the adaptive policy; tuned on one seed of the suite, reported on others.

use std::time::Duration;

/// The numbers of the adaptive policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// How many silences of its own a function is judged by; older ones are forgotten.
    pub most_silences: u16,
    /// How many silences the population is worth.
    pub prior: f64,
    /// Times shorter than this are not spent at zero: they would only be churn.
    pub least_gap: Duration,
    /// How long before it is needed a replica is warmed.
    pub lead: Duration,
    /// The chance of a call that is worth a start of its own.
    pub start_cost: f64,
    /// How many bins a silence is spread over on either side, when few are known and when many are.
    pub spread: (usize, usize),
    /// The mean silence from which on a function pays less, by the fourth root: rare ones are not given up.
    pub rare: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            most_silences: 512,
            prior: 4.0,
            least_gap: Duration::from_secs(120),
            lead: Duration::from_secs(5),
            start_cost: 0.2,
            spread: (6, 2),
            rare: Duration::from_secs(1800),
        }
    }
}
