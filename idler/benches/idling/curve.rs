//! What a policy makes of more and more idle time, and what lies between two settings.

use super::policies::Outcome;

/// Outcomes in the order of their idle time.
pub struct Curve(Vec<Outcome>);

impl Curve {
    pub fn new(outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        let mut outcomes: Vec<Outcome> = outcomes.into_iter().collect();
        outcomes.sort_by(|a, b| a.idle_seconds.total_cmp(&b.idle_seconds));
        Self(outcomes)
    }

    /// The value at so many idle hours a day, on a straight line between two settings; that is never less
    /// than a setting between them would reach. `None` outside of what was measured.
    pub fn at(&self, idle: f64, value: impl Fn(&Outcome) -> f64) -> Option<f64> {
        self.0.windows(2).find_map(|pair| {
            let [low, high] = pair else { return None };
            let (from, to) = (low.idle_hours_a_day(), high.idle_hours_a_day());
            let part = (idle - from) / (to - from);
            let between = from <= idle && idle <= to;
            between.then(|| value(low) * (1.0 - part) + value(high) * part)
        })
    }
}
