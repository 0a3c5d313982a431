//! Why the count is what it is, in numbers and sentences: `GET /system/scaling/{name}`.
//!
//! Told from what is kept, by the same functions that decide, so that it cannot say something else.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;
use tidegate_core::{FunctionId, LoadType, Moment, Replicas, Target, format_duration};
use tidegate_idler::Idleness;

use crate::config::Settings;
use crate::decision::seconds as span_text;
use crate::formula::{Average, MeasuredValue, averages, formula, measured, target_text};
use crate::function::Function;
use crate::habits::{Habit, habit, least};
use crate::history::Record;
use crate::kept::Last;
use crate::measured::{Measure, Source};
use crate::rules::{Sight, Wanted, known_for};
use crate::stamp::Stamp;
use crate::zero::{created, idleness_told, warm};

/// Everything that led to the count. Spans in seconds.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// `name.namespace`.
    pub function: String,
    /// What is done now, and why, in one sentence.
    pub decision: String,
    /// How many replicas are asked for.
    pub desired: Replicas,
    /// How many answer.
    pub ready: Replicas,
    /// How many are on their way.
    pub pending: Replicas,
    /// How many finish their last calls.
    pub draining: Replicas,
    /// How many are frozen.
    pub frozen: Replicas,
    /// How many are created, their programs not started.
    pub created: Replicas,
    /// Least count under load.
    pub min: Replicas,
    /// Highest count.
    pub max: Replicas,
    /// What the labels say, with the defaults filled in.
    pub policy: Policy,
    /// The rule in words.
    pub rule: String,
    /// What was measured.
    pub averages: Vec<Average>,
    /// What is measured elsewhere, by the label `type` and by named rules.
    pub measured: Vec<MeasuredValue>,
    /// The formula of each rule with its numbers, when there is a target and a load.
    pub formula: Vec<String>,
    /// What bounds the count now, in the order in which it does.
    pub bounds: Vec<String>,
    /// Whether and when the function goes to zero.
    pub idle: String,
    /// What was learnt of its silences, when its policy learns.
    pub habit: Option<Habit>,
    /// When that is, if nothing comes.
    pub idle_in_seconds: Option<f64>,
    /// Calls in flight when the load was last known.
    pub in_flight: u64,
    /// Calls waiting when the load was last known.
    pub waiting: u64,
    /// Whether the load was known at the last look.
    pub load_known: bool,
    /// How long ago the last look was.
    pub seen_seconds_ago: f64,
    /// The last decisions, oldest first.
    pub decisions: Vec<Past>,
}

/// How the function wants to be scaled.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Policy {
    /// The word of the label `type`; without a target `community`, or `rules` where named rules scale it.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Load one replica should carry, as it was written.
    pub target: Option<String>,
    /// What the target is multiplied by.
    pub proportion: Option<String>,
    /// Step in percent of the maximum, without a target.
    pub factor: Option<u32>,
    /// Span over which the highest wish holds the count up.
    pub down_window_seconds: f64,
    /// Idle time before zero; `None` when it never goes there.
    pub zero_after_seconds: Option<f64>,
    /// Time frozen at zero.
    pub warm_seconds: Option<f64>,
    /// Time created after that, before replicas are removed.
    pub created_seconds: Option<f64>,
}

/// A decision of the past.
#[derive(Clone, Debug, Serialize)]
pub struct Past {
    /// How long ago.
    pub seconds_ago: f64,
    /// From how many.
    pub from: Replicas,
    /// To how many.
    pub to: Replicas,
    /// Who asked.
    pub by: Cow<'static, str>,
    /// The value of the `reason` label.
    pub reason: Cow<'static, str>,
    /// Why, as a sentence.
    pub why: String,
}

pub(crate) fn explain(
    config: &Settings,
    now: Moment,
    id: &FunctionId,
    function: &Function,
) -> Explanation {
    let last = function.last.unwrap_or(NOTHING);
    let load = last.load.unwrap_or_default();
    let bounds = function.policy.bounds;
    let idleness = idleness_told(config, function, now, last.fresh_load());
    let left = match idleness {
        Idleness::Quiet { left, .. } if !last.desired.is_zero() => Some(seconds(left)),
        _ => None,
    };
    Explanation {
        function: id.to_string(),
        decision: decision(function, &last),
        desired: last.desired,
        ready: last.ready,
        pending: last.pending,
        draining: last.draining,
        frozen: last.frozen,
        created: last.created,
        min: bounds.min(),
        max: bounds.max(),
        policy: policy(config, function),
        rule: rule(function),
        averages: averages(config, function, &last),
        measured: measured(config, now, function, &last),
        formula: formula(config, now, function, &last),
        bounds: limits(config, now, function, &last),
        idle: idle_text(config, now, function, &last, idleness),
        habit: habit(config, now, function, last.fresh_load()),
        idle_in_seconds: left,
        in_flight: load.in_flight,
        waiting: load.waiting,
        load_known: last.fresh_load().is_some(),
        seen_seconds_ago: seconds(now.since(last.at())),
        decisions: history(now, function),
    }
}

const NOTHING: Last = Last {
    seen_at: Stamp::NONE,
    load: None,
    known_at: Stamp::NONE,
    desired: Replicas::ZERO,
    ready: Replicas::ZERO,
    pending: Replicas::ZERO,
    draining: Replicas::ZERO,
    frozen: Replicas::ZERO,
    created: Replicas::ZERO,
    replica_limit: None,
};

fn decision(function: &Function, last: &Last) -> String {
    let max = function.policy.bounds.max();
    if let Some(hold) = &function.hold {
        return format!("stays at {}: {hold}", last.desired);
    }
    match function.last_record() {
        Some(record) => {
            format!("goes from {} to {}: {}", record.from, record.to, why(&record, max))
        }
        None => "not looked at yet".to_owned(),
    }
}

fn policy(config: &Settings, function: &Function) -> Policy {
    let zero = function.policy.zero;
    let (kind, target, proportion, factor) = match &function.policy.target {
        Target::Community { .. } if function.has_rules() => ("rules", None, None, None),
        Target::Community { factor } => ("community", None, None, Some(*factor)),
        Target::Load { load, target, proportion } => {
            let target = target_text(*load, *target);
            (load.label(), Some(target), Some(proportion.to_string()), None)
        }
    };
    Policy {
        kind,
        target,
        proportion,
        factor,
        down_window_seconds: seconds(function.hold(config)),
        zero_after_seconds: zero.map(|_| seconds(least(config, function))),
        warm_seconds: zero.map(|_| seconds(warm(config, function))),
        created_seconds: zero.map(|_| seconds(created(config, function))),
    }
}

fn rule(function: &Function) -> String {
    let own = match &function.policy.target {
        _ if function.policy.bounds.is_static() => {
            return "static: load never changes the count".to_owned();
        }
        Target::Community { .. } if function.has_rules() => None,
        Target::Community { factor } => Some(format!(
            "more than 5 calls/s step up by {factor} % of the maximum, less bring the minimum back"
        )),
        Target::Load { load, target, proportion } => {
            let (word, target) = (load.label(), target_text(*load, *target));
            let each = if matches!(load, LoadType::Latency(_)) { "" } else { " for each replica" };
            Some(format!("{word} target {target} × proportion {proportion}{each}"))
        }
    };
    let rules = function.measures.iter().flat_map(|measures| measures.iter());
    let named = rules.filter(|measure| matches!(measure.source, Source::Rule(_))).map(|measure| {
        let Measure { source, target, proportion, .. } = measure;
        format!("{source} target {target} × proportion {proportion} for each replica")
    });
    let all: Vec<String> = own.into_iter().chain(named).collect();
    let highest = if all.len() > 1 { "the highest of: " } else { "" };
    format!("{highest}{}", all.join("; "))
}

/// Minimum and maximum, then whatever holds the count at this moment.
fn limits(config: &Settings, now: Moment, function: &Function, last: &Last) -> Vec<String> {
    let bounds = function.policy.bounds;
    let mut lines = Vec::new();
    let all = Wanted::of(config, function, &Sight::last(now, last));
    let wanted = all.is_known().then(|| all.highest().up);
    lines.push(match wanted {
        Some(count) if count > bounds.max() => {
            format!("{count} wanted, the maximum {} binds", bounds.max())
        }
        Some(count) if count < bounds.min() => {
            format!("{count} wanted, the minimum {} binds", bounds.min())
        }
        _ => format!("never below {} under load, never above {}", bounds.min(), bounds.max()),
    });
    if let Some(own) = function.own_min {
        lines.push(format!(
            "a schedule asks for {} at least; without it the minimum is {own}",
            bounds.min()
        ));
    }
    if bounds.is_static() {
        lines.push("static: load never changes the count".to_owned());
        return lines;
    }
    let hold = function.hold(config);
    let wish = function.wishes.held(now, hold);
    lines.push(match wish.filter(|(count, _)| wanted.is_some_and(|wanted| *count > wanted)) {
        Some((count, age)) => format!(
            "not below {count}, wanted {} ago, for another {}",
            span_text(age),
            span_text(hold.saturating_sub(age))
        ),
        None => format!("down only to the highest wish of the last {}", format_duration(hold)),
    });
    lines.extend(hovering(now, function, &all));
    let pace = &function.policy.pace;
    if let Some(rate) = pace.up_rate {
        lines.push(format!("at once no more than {} times {rate}, what is ready", last.ready));
    }
    if let Some(rate) = pace.down_rate {
        lines.push(format!("at once no fewer than {} divided by {rate}", last.ready));
    }
    if let Some(hold) = all.unmeasured() {
        lines.push(hold.to_string());
    }
    let watched = known_for(function, now);
    if watched < config.stable_window && !last.desired.is_zero() {
        let (watched, window) = (span_text(watched), span_text(config.stable_window));
        lines.push(format!("not down before the load was seen for {window}; it was for {watched}"));
    }
    if last.fresh_load().is_none() {
        lines.push("not down while the load is not known".to_owned());
    }
    if let Some((since, _)) = function.pending_since.get() {
        let (since, most) = (span_text(now.since(since)), span_text(config.start_deadline));
        lines.push(format!("replicas are starting for {since}; not up after {most} of that"));
    }
    lines
}

/// What a load that hovers about a boundary keeps.
fn hovering(now: Moment, function: &Function, wanted: &Wanted) -> Option<String> {
    let wanted = wanted.is_known().then(|| wanted.highest())?;
    let (count, age) = function.wishes.hovering(now)?;
    let kept = count.min(wanted.hover);
    let tolerance = function.policy.pace.tolerance;
    (kept > wanted.up).then(|| {
        let age = span_text(age);
        format!("not below {kept}, wanted {age} ago, while {tolerance} % more load would need it")
    })
}

/// Whether and when the function goes to zero.
pub(crate) fn idle_sentence(
    config: &Settings,
    now: Moment,
    function: &Function,
    last: &Last,
) -> String {
    let idleness = idleness_told(config, function, now, last.fresh_load());
    idle_text(config, now, function, last, idleness)
}

fn idle_text(
    config: &Settings,
    now: Moment,
    function: &Function,
    last: &Last,
    idleness: Idleness,
) -> String {
    let Some(since) = function.idle.zero_since.get() else {
        let text = idleness.to_string();
        return if config.dry_run_idle { format!("{text} (only reported)") } else { text };
    };
    let zeroed = now.since(since) + function.idle.zero_before();
    let text = format!("at zero for {}", span_text(zeroed));
    let (warm, created) = (warm(config, function), created(config, function));
    let left = |all: Duration| span_text(all.saturating_sub(zeroed));
    if !last.frozen.is_zero() {
        let then = if created.is_zero() { "removed" } else { "only created" };
        return format!("{text}, frozen, {then} in {}", left(warm));
    }
    if !last.created.is_zero() {
        let left = left(warm.saturating_add(created));
        return format!("{text}, created and not started, removed in {left}");
    }
    text
}

fn history(now: Moment, function: &Function) -> Vec<Past> {
    let max = function.policy.bounds.max();
    let past = |record: Record| Past {
        seconds_ago: seconds(now.since(record.at)),
        from: record.from,
        to: record.to,
        by: record.reason.who().into(),
        reason: record.reason.label().into(),
        why: why(&record, max),
    };
    let earlier = function.earlier.as_deref().map(|(restored, earlier)| Past {
        seconds_ago: seconds(now.since(*restored) + Duration::from_millis(earlier.age_millis)),
        from: earlier.from,
        to: earlier.to,
        by: earlier.by.clone().into(),
        reason: earlier.reason.clone().into(),
        why: earlier.why.clone(),
    });
    earlier.into_iter().chain(function.records().map(past)).collect()
}

/// The reason, and what the bounds or a hold made of it.
fn why(record: &Record, max: Replicas) -> String {
    use crate::decision::Reason::{Above, Below, Burst, LoadAboveTarget, LoadBelowTarget};
    let (to, reason) = (record.to, &record.reason);
    match *reason {
        LoadAboveTarget { wanted } | Burst { wanted, .. } | Above { wanted, .. } if to < wanted => {
            let bound = if to == max { "the maximum" } else { "what up-rate allows" };
            format!("{reason}; {to} is {bound}")
        }
        LoadBelowTarget { wanted } | Below { wanted, .. } if to > wanted => {
            format!("{reason}; {to} is held")
        }
        _ => reason.to_string(),
    }
}

fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1000.0).round() / 1000.0
}
