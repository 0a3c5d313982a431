//! When to be warm during a silence: as long as a second of warm time avoids enough cold starts.
//!
//! ```text
//! own silences + population ──► share of each bin ──► hazard(age) ≥ price? ──► warm spans
//! beat of a timer ───────────────────────────────────► due from … to ────────┘
//! ```
//! `f64`, by `+ - × ÷`, square roots and comparisons only: the same on every machine.

use std::time::Duration;

use crate::bins::{COUNT, edge, edge_millis, index};
use crate::learnt::{Learnt, UNIT};
use crate::population::Population;
use crate::tuning::Tuning;

/// What a function was promised and what it allows.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// It is never let go before this age of a silence.
    pub least: Duration,
    /// Whether it may be warmed before a call that is expected.
    pub prewarm: bool,
}

/// Ages of a silence between which the function is warm.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// From this age on.
    pub from: Duration,
    /// Until this one.
    pub to: Duration,
}

/// When a function is warm during a silence.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Plan {
    spans: [Span; SPANS],
    len: usize,
    /// What it rests on.
    pub basis: Basis,
}

/// What a plan rests on.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// How often silences lasted how long.
    Hazard,
    /// The calls come in a beat.
    Beat {
        /// The mean silence.
        mean: Duration,
    },
    /// The hybrid histogram.
    Histogram,
}

const SPANS: usize = 4;

impl Plan {
    /// The warm spans, first to last; the first begins at age zero.
    pub fn spans(&self) -> &[Span] {
        &self.spans[..self.len]
    }

    /// Until which age it is warm from the begin of a silence on.
    fn warm_first(&self) -> Duration {
        self.spans[0].to
    }

    /// The span that `age` lies in.
    pub fn warm_at(&self, age: Duration) -> Option<Span> {
        self.spans().iter().copied().find(|span| span.from <= age && age < span.to)
    }

    /// The first span that begins after `age`.
    pub fn next_after(&self, age: Duration) -> Option<Span> {
        self.spans().iter().copied().find(|span| span.from > age)
    }

    /// This, but only what lies at the begin of a silence.
    #[must_use]
    pub fn without_prewarming(mut self) -> Self {
        self.len = 1;
        self
    }

    /// Warm until `least`, and during `span`.
    pub(crate) fn of(least: Duration, span: Span, basis: Basis) -> Self {
        let mut plan = Self::new(least, basis);
        plan.push(Duration::ZERO, span);
        plan
    }

    fn new(least: Duration, basis: Basis) -> Self {
        let mut spans = [Span::default(); SPANS];
        spans[0].to = least;
        Self { spans, len: 1, basis }
    }

    fn add(&mut self, tuning: &Tuning, span: Span) {
        self.push(tuning.least_gap, span);
    }

    /// Adds a span behind all others; a pause shorter than `least_gap` before it is filled.
    fn push(&mut self, least_gap: Duration, span: Span) {
        let last = &mut self.spans[self.len - 1];
        if span.to <= last.to {
            return;
        }
        if span.from <= last.to.saturating_add(least_gap) {
            last.to = span.to;
        } else if self.len < SPANS {
            self.spans[self.len] = span;
            self.len += 1;
        }
    }
}

/// Works out when to be warm at `price`.
pub fn plan(
    tuning: &Tuning,
    learnt: &Learnt,
    population: &Population,
    terms: Terms,
    price: f64,
) -> Plan {
    let beat = by_beat(tuning, learnt, terms, price);
    if terms.prewarm
        && let Some(plan) = beat
    {
        return plan;
    }
    let shares = shares(tuning, learnt, population);
    let price = price * discount(tuning, &shares);
    if terms.prewarm {
        return by_hazard(tuning, &shares, terms.least, price);
    }
    // A beat leaves out a quarter of the silences. Nobody warms the function again for those, so it lets
    // nothing go sooner than how long silences last does.
    let by_deadline = by_deadline(tuning, &shares, terms.least, price);
    beat.filter(|beat| beat.warm_first() > by_deadline.warm_first()).unwrap_or(by_deadline)
}

/// What a function pays of the price: less where calls are rare, or those functions would all be cold.
fn discount(tuning: &Tuning, shares: &[f64; COUNT + 1]) -> f64 {
    let secs = |bin| edge_millis(bin) as f64 / 1000.0;
    let mean: f64 = shares.iter().enumerate().map(|(bin, share)| share * secs(bin)).sum();
    (tuning.rare.as_secs_f64() / mean.max(1.0)).min(1.0).sqrt().sqrt()
}

/// A call that is due: warm around it where that pays.
fn by_beat(tuning: &Tuning, learnt: &Learnt, terms: Terms, price: f64) -> Option<Plan> {
    let due = learnt.beat.due()?;
    let (hits, told) = due.hits;
    let share = (f64::from(hits) + 0.5) / (f64::from(told) + 1.0);
    let mut plan = Plan::new(terms.least, Basis::Beat { mean: due.mean });
    let span = Span { from: due.from.saturating_sub(tuning.lead), to: due.to + tuning.lead };
    if !terms.prewarm {
        let wait = span.to.saturating_sub(terms.least);
        plan.add(tuning, Span { from: Duration::ZERO, ..span });
        return (share >= price * wait.as_secs_f64()).then_some(plan);
    }
    if share < price * (span.to - span.from).as_secs_f64() {
        return None;
    }
    plan.add(tuning, span);
    // A beat that is left out once comes at the next one.
    plan.add(tuning, Span { from: span.from + due.mean, to: span.to + due.mean });
    Some(plan)
}

/// The share of silences that end in each bin: the function's own, spread a little, and the population's.
fn shares(tuning: &Tuning, learnt: &Learnt, population: &Population) -> [f64; COUNT + 1] {
    let own = f64::from(learnt.weight()) / f64::from(UNIT);
    let mut shares = population.shares(learnt);
    let total = own + tuning.prior;
    shares.iter_mut().for_each(|share| *share *= tuning.prior / total);
    let reach = if own < 12.0 {
        tuning.spread.0
    } else if own < 48.0 {
        usize::midpoint(tuning.spread.0, tuning.spread.1)
    } else {
        tuning.spread.1
    };
    let each = 1.0 / (total * f64::from(UNIT));
    let whole = ((reach + 1) * (reach + 1)) as f64;
    for (bin, count) in learnt.bins.iter().enumerate().filter(|(_, count)| **count > 0) {
        let weight = f64::from(*count) * each / whole;
        for step in 0..=2 * reach {
            let tent = (reach + 1 - step.abs_diff(reach)) as f64;
            // What would fall off either end stays at the end.
            let at = (bin + step).saturating_sub(reach).min(COUNT);
            shares[at] += weight * tent;
        }
    }
    shares[COUNT] += f64::from(learnt.longer) * each;
    shares
}

/// How often calls come at an age of the silence, as the plan sees it.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Hazard {
    /// The bin that the age lies in: from here
    pub from: Duration,
    /// to here.
    pub to: Duration,
    /// The chance of a call within a second, given that none came before.
    pub each_second: f64,
    /// What it must be worth for this function, its discount included.
    pub price: f64,
}

/// The hazard at an age; `None` beyond all bins, and before the first.
pub fn hazard(
    tuning: &Tuning,
    learnt: &Learnt,
    population: &Population,
    price: f64,
    age: Duration,
) -> Option<Hazard> {
    let bin = index(age).filter(|bin| *bin < COUNT)?;
    let shares = shares(tuning, learnt, population);
    let left: f64 = shares[bin..].iter().sum();
    let width = (edge_millis(bin + 1) - edge_millis(bin)) as f64 / 1000.0;
    let exposed = (left - shares[bin] / 2.0).max(f64::MIN_POSITIVE);
    let each_second = shares[bin] / (exposed * width);
    let price = price * discount(tuning, &shares);
    Some(Hazard { from: edge(bin), to: edge(bin + 1), each_second, price })
}

/// Warm in every bin whose hazard is worth its time, and nowhere else.
fn by_hazard(tuning: &Tuning, shares: &[f64; COUNT + 1], least: Duration, price: f64) -> Plan {
    let mut plan = Plan::new(least, Basis::Hazard);
    let mut left = 1.0;
    // The span in the making: where it begins, what was left then, and what it gains.
    let mut open: Option<(usize, f64, f64)> = None;
    for bin in 0..=COUNT {
        let gain = if bin < COUNT { gain(shares, bin, left, price) } else { f64::NEG_INFINITY };
        match &mut open {
            Some((_, _, sum)) if gain > 0.0 => *sum += gain,
            Some((from, before, sum)) => {
                let span = Span { from: edge(*from).saturating_sub(tuning.lead), to: edge(bin) };
                let free = span.from <= plan.spans[plan.len - 1].to + tuning.least_gap;
                if free || *sum > tuning.start_cost * *before {
                    plan.add(tuning, span);
                }
                open = None;
            }
            None if gain > 0.0 => open = Some((bin, left, gain)),
            None => {}
        }
        left -= shares[bin];
    }
    plan
}

/// Warm from the begin to the age that is worth most; nothing is warmed later.
fn by_deadline(tuning: &Tuning, shares: &[f64; COUNT + 1], least: Duration, price: f64) -> Plan {
    let mut plan = Plan::new(least, Basis::Hazard);
    let (mut left, mut sum, mut best, mut to) = (1.0, 0.0, 0.0, Duration::ZERO);
    for bin in 0..COUNT {
        if edge(bin + 1) > least {
            sum += gain(shares, bin, left, price);
            if sum > best {
                (best, to) = (sum, edge(bin + 1));
            }
        }
        left -= shares[bin];
    }
    plan.add(tuning, Span { from: Duration::ZERO, to });
    plan
}

/// What being warm through a bin avoids, less what it costs.
fn gain(shares: &[f64; COUNT + 1], bin: usize, left: f64, price: f64) -> f64 {
    let width = (edge_millis(bin + 1) - edge_millis(bin)) as f64 / 1000.0;
    shares[bin] - price * width * (left - shares[bin] / 2.0)
}
