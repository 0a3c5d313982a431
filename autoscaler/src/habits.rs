//! What the idle rule learns of a function, and what it does with it. Fixed rules have no habits.
//!
//! ```text
//! a call ends a silence ──► note ──► habits ──► plan: warm from age to age ──► zero, or warm before a call
//! ```

use std::time::Duration;

use serde::Serialize;
use tidegate_core::{Load, Moment, ZeroRule};
use tidegate_idler::{Basis, Habits, IdleInput, Plan, Terms, age};

use crate::config::Settings;
use crate::decide::{Look, scale};
use crate::decision::{Action, Decision, Hold, Reason};
use crate::function::{Function, began_anew};

/// Least warm time of a function that learns and whose labels promise none.
const LEAST: Duration = Duration::from_secs(60);

/// What was learnt of a function, and what follows from it now. Spans in seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Habit {
    /// `adaptive` or `hybrid`.
    pub policy: &'static str,
    /// How long the silence that is on has lasted.
    pub silence_seconds: f64,
    /// The least warm time that was promised.
    pub least_seconds: f64,
    /// From which age of a silence to which the function is warm.
    pub warm: Vec<(f64, f64)>,
    /// What that rests on, in words.
    pub basis: String,
    /// Silences learnt from, up to 255; only the adaptive policy says.
    pub silences: Option<u8>,
    /// The bin that the age now lies in: from, to.
    pub bin: Option<(f64, f64)>,
    /// Calls an hour that are expected at this age.
    pub calls_an_hour: Option<f64>,
    /// Calls an hour that make it worth being warm.
    pub price_an_hour: Option<f64>,
    /// Whether it is warmed before a call that is expected.
    pub prewarm: bool,
    /// Whether memory is too short for that.
    pub memory_short: bool,
}

/// Takes in the idle time since the last look, and the silence that a call has ended.
pub fn learn(config: &mut Settings, function: &mut Function, now: Moment, load: Option<&Load>) {
    fit(function);
    let (Some(habits), Some(last)) = (function.habits.as_mut(), function.last) else { return };
    let Some(before) = last.fresh_load() else { return };
    if before.demand() == 0 {
        let idle = now.since(last.at()).saturating_mul(last.desired.get());
        config.common.spend(now, idle);
    }
    let Some(load) = load else { return };
    let (touched, quiet_before) = (function.idle.touched(), function.idle.quiet_before());
    if let Some(silence) = silence(now, before, load, touched, quiet_before) {
        config.common.note(habits, silence);
    }
}

/// Habits as the labels want them; those of another policy are dropped.
fn fit(function: &mut Function) {
    let rule = function.policy.zero.map_or(ZeroRule::Fixed, |zero| zero.rule);
    if function.habits.as_ref().map_or(ZeroRule::Fixed, Habits::rule) != rule {
        function.habits = Habits::new(rule);
    }
}

/// The silence that has ended between two looks; `None` when none has, or its begin is not known.
fn silence(
    now: Moment,
    before: &Load,
    load: &Load,
    touched: Moment,
    quiet_before: Duration,
) -> Option<Duration> {
    if before.demand() > 0 || load.started <= before.started || began_anew(load, before) {
        return None;
    }
    let (begun, earlier) = match before.last_end {
        Some(end) => (end, Duration::ZERO),
        None if quiet_before.is_zero() => return None,
        None => (touched, quiet_before),
    };
    // A call that is over already came a little before it ended; one that is open has just come.
    let came = if load.completed > before.completed { load.last_end.unwrap_or(now) } else { now };
    Some(came.min(now).since(begun).saturating_add(earlier))
}

/// What the idle rule looks at.
pub fn input<'a>(config: &Settings, function: &Function, load: Option<&'a Load>) -> IdleInput<'a> {
    IdleInput {
        opted_in: function.policy.zero.is_some() && function.own_min.is_none(),
        after: least(config, function),
        load,
        touched: function.idle.touched(),
        quiet_before: function.idle.quiet_before(),
    }
}

/// Idle time before which a function never goes to zero.
pub fn least(config: &Settings, function: &Function) -> Duration {
    let named = function.policy.zero.and_then(|zero| zero.after);
    let default = match function.habits {
        Some(_) => config.idle_after.min(LEAST),
        None => config.idle_after,
    };
    named.unwrap_or(default)
}

/// When the function is warm during a silence; `None` under the fixed policy.
pub fn plan(config: &Settings, function: &Function) -> Option<Plan> {
    let habits = function.habits.as_ref()?;
    let prewarm = function.policy.zero.is_some_and(|zero| zero.prewarm);
    let terms = Terms { least: least(config, function), prewarm };
    let plan = config.common.plan(habits, terms);
    Some(if config.common.memory_short { plan.without_prewarming() } else { plan })
}

/// At zero, with nothing frozen: warms when a call is expected, or says when to look again for that.
pub fn before_a_call(look: &Look<'_>, function: &Function) -> Decision {
    let stay = Action::Stay(Hold::AtZero);
    let never = Decision { action: stay.clone(), look_again: None };
    // A zero made by hand stays until a call comes, and calls that still end do not begin a silence.
    if function.by_hand || look.load.is_none() || look.demand() > 0 {
        return never;
    }
    if !function.policy.zero.is_some_and(|zero| zero.prewarm) {
        return never;
    }
    let Some(plan) = plan(look.config, function) else { return never };
    let age = age(look.now, &input(look.config, function, look.load));
    if let Some(span) = plan.warm_at(age).filter(|span| !span.from.is_zero()) {
        let reason = Reason::Expected { since: age, until: span.to };
        return look.soon(scale(function.policy.bounds.min(), reason));
    }
    let next = plan.next_after(age).map(|span| look.now + (span.from - age));
    Decision { action: stay, look_again: next }
}

/// What was learnt, for the explanation.
pub fn habit(
    config: &Settings,
    now: Moment,
    function: &Function,
    load: Option<&Load>,
) -> Option<Habit> {
    let habits = function.habits.as_ref()?;
    let plan = plan(config, function)?;
    let age = age(now, &input(config, function, load));
    let hazard = config.common.hazard(habits, age);
    let hourly = |each_second: f64| (each_second * 3.6e9).round() / 1e6;
    Some(Habit {
        policy: habits.rule().label(),
        silence_seconds: seconds(age),
        least_seconds: seconds(least(config, function)),
        warm: plan.spans().iter().map(|span| (seconds(span.from), seconds(span.to))).collect(),
        basis: basis(&plan),
        silences: match habits {
            Habits::Adaptive(learnt) => Some(learnt.noted()),
            Habits::Hybrid(_) => None,
        },
        bin: hazard.map(|hazard| (seconds(hazard.from), seconds(hazard.to))),
        calls_an_hour: hazard.map(|hazard| hourly(hazard.each_second)),
        price_an_hour: hazard.map(|hazard| hourly(hazard.price)),
        prewarm: function.policy.zero.is_some_and(|zero| zero.prewarm),
        memory_short: config.common.memory_short,
    })
}

fn basis(plan: &Plan) -> String {
    match plan.basis {
        Basis::Hazard => "how often silences lasted how long".to_owned(),
        Basis::Beat { mean } => {
            format!("calls come in a beat, {} apart", crate::decision::seconds(mean))
        }
        Basis::Histogram => "a histogram of silences".to_owned(),
    }
}

fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1000.0).round() / 1000.0
}
