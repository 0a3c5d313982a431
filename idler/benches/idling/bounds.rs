//! What is possible without pre-warming, for whoever knows the future.

use super::curve::Curve;
use super::policies::Outcome;
use super::suite::Suite;

/// Seconds of idle time that are paid for one cold start, at either end of the curve.
const DEAREST: f64 = 20.0;
const CHEAPEST: f64 = 200_000.0;
const STEP: f64 = 1.2;

/// All silences of a suite, sorted. Seconds.
pub struct Bounds {
    functions: Vec<Silences>,
    /// Of all functions.
    all: Vec<f64>,
    days: u32,
}

struct Silences {
    sorted: Vec<f64>,
    /// After the last call.
    last: f64,
}

impl Bounds {
    pub fn of(suite: &Suite) -> Self {
        let end = suite.days * 86_400_000;
        let functions = suite.functions.iter().filter_map(|function| {
            let last = function.runs.last()?;
            let pairs = function.runs.windows(2);
            let mut sorted: Vec<f64> =
                pairs.map(|pair| f64::from(pair[1].begin - pair[0].end) / 1000.0).collect();
            sorted.sort_by(f64::total_cmp);
            Some(Silences { sorted, last: f64::from(end.saturating_sub(last.end)) / 1000.0 })
        });
        let functions: Vec<Silences> = functions.collect();
        let mut all: Vec<f64> = functions.iter().flat_map(|one| &one.sorted).copied().collect();
        all.sort_by(f64::total_cmp);
        Self { functions, all, days: suite.days }
    }

    /// Fewest cold starts of a clairvoyant with so many idle hours a day.
    ///
    /// Each silence kept avoids one cold start and costs its length, so the shortest of all are kept, and
    /// nothing is spent on the others.
    pub fn clairvoyant(&self, idle_hours_a_day: f64) -> u64 {
        let mut left = idle_hours_a_day * 3600.0 * f64::from(self.days);
        let fits = |silence: &&f64| {
            left -= **silence;
            left >= 0.0
        };
        let kept = self.all.iter().take_while(fits).count();
        (self.functions.len() + self.all.len() - kept) as u64
    }

    /// The timer that would have been best for each function, at every price of idle time.
    ///
    /// Where chance alone parts the calls of a function nothing that sees only the past can do better.
    pub fn own_timers(&self) -> Curve {
        let prices = std::iter::successors(Some(DEAREST), |price| Some(price * STEP));
        Curve::new(prices.take_while(|price| *price < CHEAPEST).map(|seconds| {
            let mut outcome = Outcome { days: self.days, ..Outcome::default() };
            for silences in &self.functions {
                let (cold, idle) = silences.best(1.0 / seconds);
                outcome.cold += cold;
                outcome.idle_seconds += idle;
            }
            outcome
        }))
    }
}

impl Silences {
    /// Cold starts and idle seconds with the best timer; the first call is always cold.
    fn best(&self, price: f64) -> (u64, f64) {
        let count = self.sorted.len();
        let (mut best, mut score, mut kept) = ((count as u64 + 1, 0.0), count as f64 + 1.0, 0.0);
        for (at, silence) in self.sorted.iter().enumerate() {
            kept += silence;
            let longer = (count - at - 1) as f64;
            let idle = kept + longer * silence + silence.min(self.last);
            if longer + 1.0 + price * idle < score {
                score = longer + 1.0 + price * idle;
                best = ((count - at) as u64, idle);
            }
        }
        best
    }
}
