//! The price of idle time: how many cold starts a second of it must avoid to be worth it.
//!
//! One for all functions, so that each second is spent where it avoids most. Given a budget, a slow
//! controller moves it until the idle time of a day meets the budget. `f64`, by `+ - × ÷` only, so that
//! every machine works out the same.

use std::time::Duration;

use tidegate_core::Moment;

/// The price, and the budget that moves it.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    value: f64,
    /// Idle replica-seconds for each second.
    budget: Option<f64>,
    spent: f64,
    since: Moment,
}

/// How often the price moves.
const STEP: Duration = Duration::from_secs(1800);
/// Dearest: below one call in ten seconds nothing is kept. Cheapest: one call a month is worth it.
const RANGE: (f64, f64) = (4e-7, 0.1);

impl Price {
    /// What is paid where there is no budget: a second of idle time for one cold start in 40 minutes.
    pub const DEFAULT: f64 = 1.0 / 2400.0;

    /// A price that stays.
    pub fn fixed(value: f64) -> Self {
        let value = if value.is_finite() { value.clamp(RANGE.0, RANGE.1) } else { Self::DEFAULT };
        Self { value, budget: None, spent: 0.0, since: Moment::ZERO }
    }

    /// A price that keeps idle time to so many replica-hours a day, all functions together.
    pub fn of_budget(now: Moment, replica_hours_a_day: f64) -> Self {
        let budget = Some(replica_hours_a_day / 24.0).filter(|budget| *budget > 0.0);
        Self { budget: budget.filter(|b| b.is_finite()), since: now, ..Self::fixed(Self::DEFAULT) }
    }

    /// Cold starts avoided for each second.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// The budget in idle replica-hours a day.
    pub fn budget(&self) -> Option<f64> {
        self.budget.map(|budget| budget * 24.0)
    }

    /// Begins where an earlier run left off.
    pub fn restore(&mut self, value: f64) {
        if value.is_finite() && self.budget.is_some() {
            self.value = value.clamp(RANGE.0, RANGE.1);
        }
    }

    /// Takes in idle time that was spent, and moves the price when it is time.
    pub fn spend(&mut self, now: Moment, idle: Duration) {
        self.spent += idle.as_secs_f64();
        let Some(budget) = self.budget else { return };
        let elapsed = now.since(self.since);
        if elapsed < STEP {
            return;
        }
        let over = self.spent / (elapsed.as_secs_f64() * budget) - 1.0;
        let moved = self.value * (1.0 + 0.1 * over.clamp(-0.8, 1.0));
        self.value = moved.clamp(RANGE.0, RANGE.1);
        self.spent = 0.0;
        self.since = now;
    }
}
