//! The policies in the comparison, and one suite played to one of them.

use std::time::Duration;

use tidegate_core::{Moment, ZeroRule};
use tidegate_idler::{Common, Habits, Hybrid, Price, Span, Terms, Tuning};

use super::suite::{Kind, Suite};

/// A policy and its setting.
#[derive(Clone, Debug)]
pub enum Policy {
    /// Warm for so many minutes.
    Fixed(u32),
    /// The adaptive policy.
    Adaptive { price: Price, prewarm: bool, tuning: Tuning },
    /// The hybrid histogram, at its documented settings.
    Hybrid,
}

/// How a policy did.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub calls: u64,
    pub cold: u64,
    /// Starts before a call that was expected.
    pub warmed: u64,
    pub idle_seconds: f64,
    pub timer_calls: u64,
    pub timer_cold: u64,
    /// Sum over the functions of their cold share.
    pub shares: f64,
    pub functions: u32,
    pub days: u32,
    /// The price at the end.
    pub price: f64,
}

impl Outcome {
    pub fn idle_hours_a_day(&self) -> f64 {
        self.idle_seconds / 3600.0 / f64::from(self.days)
    }

    pub fn cold_percent(&self) -> f64 {
        100.0 * self.cold as f64 / self.calls as f64
    }

    pub fn function_percent(&self) -> f64 {
        100.0 * self.shares / f64::from(self.functions)
    }

    pub fn timer_percent(&self) -> f64 {
        100.0 * self.timer_cold as f64 / self.timer_calls as f64
    }

    pub fn starts_an_hour(&self) -> f64 {
        (self.cold + self.warmed) as f64 / (f64::from(self.days) * 24.0)
    }
}

/// Every run of every function in the order of time.
pub struct Order(Vec<(u32, u32)>);

impl Order {
    pub fn of(suite: &Suite) -> Self {
        let mut order: Vec<(u32, u32)> = Vec::new();
        for (n, function) in (0..).zip(&suite.functions) {
            order.extend(function.runs.iter().map(|run| (run.begin, n)));
        }
        order.sort_unstable();
        Self(order)
    }
}

const LEAST: Duration = Duration::from_secs(60);

/// Plays the suite to the policy.
pub fn play(suite: &Suite, order: &Order, policy: &Policy) -> Outcome {
    let mut state = State::new(suite, policy);
    let mut next = vec![0_usize; suite.functions.len()];
    let mut cold = vec![0_u64; suite.functions.len()];
    let mut outcome = Outcome { days: suite.days, ..Outcome::default() };
    for (_, n) in &order.0 {
        let n = *n as usize;
        let runs = &suite.functions[n].runs;
        let at = next[n];
        next[n] += 1;
        let (run, before) = (runs[at], at.checked_sub(1).map(|before| runs[before]));
        match before {
            // The first call finds nothing, whatever the policy.
            None => cold[n] += 1,
            Some(before) => {
                let silence = Duration::from_millis(u64::from(run.begin - before.end));
                let spans = state.spans(n, silence);
                let (idle, warmed, warm) = meet(&spans, silence);
                outcome.idle_seconds += idle.as_secs_f64();
                outcome.warmed += warmed;
                cold[n] += u64::from(!warm);
                let now = Moment::from_millis(u64::from(run.begin));
                state.note(now, n, silence, idle, before.calls);
            }
        }
    }
    // The silence after the last call costs too.
    let end = u64::from(suite.days) * 86_400_000;
    for (n, function) in suite.functions.iter().enumerate() {
        if let Some(last) = function.runs.last() {
            let silence = Duration::from_millis(end.saturating_sub(u64::from(last.end)));
            let spans = state.spans(n, silence);
            outcome.idle_seconds += meet(&spans, silence).0.as_secs_f64();
        }
        outcome.calls += function.calls;
        outcome.cold += cold[n];
        if function.kind == Kind::Timer {
            outcome.timer_calls += function.calls;
            outcome.timer_cold += cold[n];
        }
        if function.calls > 0 {
            outcome.shares += cold[n] as f64 / function.calls as f64;
            outcome.functions += 1;
        }
    }
    outcome.price = state.price();
    outcome
}

/// What a silence costs with these warm spans: idle time, starts without a call, whether its end is warm.
fn meet(spans: &[Span], silence: Duration) -> (Duration, u64, bool) {
    let mut idle = Duration::ZERO;
    let mut warmed = 0;
    for span in spans.iter().filter(|span| span.from <= silence) {
        idle += span.to.min(silence) - span.from;
        warmed += u64::from(!span.from.is_zero());
    }
    let warm = spans.iter().any(|span| span.from <= silence && silence < span.to);
    (idle, warmed, warm)
}

enum State {
    Fixed(Duration),
    Hybrid(Vec<Hybrid>),
    Adaptive { functions: Vec<Habits>, common: Common, prewarm: bool },
}

impl State {
    fn new(suite: &Suite, policy: &Policy) -> Self {
        let functions = suite.functions.len();
        match policy {
            Policy::Fixed(minutes) => Self::Fixed(Duration::from_secs(u64::from(*minutes) * 60)),
            Policy::Hybrid => Self::Hybrid(vec![Hybrid::default(); functions]),
            Policy::Adaptive { price, prewarm, tuning } => {
                let one = Habits::new(ZeroRule::Adaptive).expect("it learns");
                let common = Common { tuning: tuning.clone(), ..Common::new(price.clone()) };
                Self::Adaptive { functions: vec![one; functions], common, prewarm: *prewarm }
            }
        }
    }

    fn spans(&self, n: usize, silence: Duration) -> Vec<Span> {
        let until = |to| vec![Span { from: Duration::ZERO, to }];
        match self {
            Self::Fixed(to) => until(*to),
            Self::Hybrid(functions) => {
                let terms = Terms { least: Duration::ZERO, prewarm: true };
                functions[n].plan(terms).spans().to_vec()
            }
            // However warm it stays, a short silence costs its own length.
            Self::Adaptive { .. } if silence < LEAST => until(LEAST),
            Self::Adaptive { functions, common, prewarm } => {
                let terms = Terms { least: LEAST, prewarm: *prewarm };
                common.plan(&functions[n], terms).spans().to_vec()
            }
        }
    }

    fn note(&mut self, now: Moment, n: usize, silence: Duration, idle: Duration, calls: u32) {
        match self {
            Self::Fixed(_) => {}
            Self::Hybrid(functions) => {
                let short = u16::try_from(calls - 1).unwrap_or(u16::MAX);
                functions[n].note(Duration::from_secs(1), short);
                functions[n].note(silence, 1);
            }
            Self::Adaptive { functions, common, .. } => {
                common.note(&mut functions[n], silence);
                common.spend(now, idle);
            }
        }
    }

    fn price(&self) -> f64 {
        match self {
            Self::Adaptive { common, .. } => common.price.value(),
            _ => 0.0,
        }
    }
}
