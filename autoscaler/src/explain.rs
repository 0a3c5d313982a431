//! Why the count is what it is, in numbers and sentences: `GET /system/scaling/{name}`.

use std::time::Duration;

use serde::Serialize;
use tidegate_core::{FunctionId, LoadType, Moment, Observation, Replicas, Target, format_duration};

use crate::Config;
use crate::decide::{idleness, measured};
use crate::function::{Function, Last};
use crate::rule::replicas_for;

/// Everything that led to the count. Durations in seconds.
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
    /// Least and highest count.
    pub min: Replicas,
    /// Highest count.
    pub max: Replicas,
    /// The rule with its numbers.
    pub rule: String,
    /// The formula with its numbers, when there is a target and a load.
    pub formula: Vec<String>,
    /// What holds the count.
    pub bounds: Vec<String>,
    /// Whether and when the function goes to zero.
    pub idle: String,
    /// Calls in flight at the last look.
    pub in_flight: u64,
    /// Calls waiting at the last look.
    pub waiting: u64,
    /// How long ago the last look was.
    pub seen_seconds_ago: f64,
    /// The last decisions, oldest first.
    pub decisions: Vec<Past>,
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
    pub by: &'static str,
    /// The value of the `reason` label.
    pub reason: &'static str,
    /// Why, as a sentence.
    pub why: String,
}

pub(crate) fn explain(
    config: &Config,
    now: Moment,
    id: &FunctionId,
    function: &Function,
) -> Explanation {
    let last = function.last.unwrap_or(NOTHING);
    let load = last.load.unwrap_or_default();
    let bounds = function.policy.bounds;
    Explanation {
        function: id.to_string(),
        decision: decision(function, &last),
        desired: last.desired,
        ready: last.ready,
        pending: last.pending,
        draining: last.draining,
        frozen: last.frozen,
        min: bounds.min(),
        max: bounds.max(),
        rule: rule(function),
        formula: formula(config, function),
        bounds: limits(config, function),
        idle: idleness(config, function, now, &seen(id, &last)).to_string(),
        in_flight: load.in_flight,
        waiting: load.waiting,
        seen_seconds_ago: seconds(now.since(last.at)),
        decisions: history(now, function),
    }
}

const NOTHING: Last = Last {
    at: Moment::ZERO,
    load: None,
    desired: Replicas::ZERO,
    ready: Replicas::ZERO,
    pending: Replicas::ZERO,
    draining: Replicas::ZERO,
    frozen: Replicas::ZERO,
    hold: None,
};

fn seen(id: &FunctionId, last: &Last) -> Observation {
    Observation {
        function: id.clone(),
        revision: 0,
        load: last.load,
        desired: last.desired,
        ready: last.ready,
        pending: last.pending,
        draining: last.draining,
        frozen: last.frozen,
        replica_limit: None,
    }
}

fn decision(function: &Function, last: &Last) -> String {
    if let Some(hold) = last.hold {
        return format!("stays at {}: {hold}", last.desired);
    }
    match function.history.back() {
        Some(record) => format!("goes from {} to {}: {}", record.from, record.to, record.reason),
        None => "not looked at yet".to_owned(),
    }
}

fn rule(function: &Function) -> String {
    match &function.policy.target {
        Target::Community { factor } => {
            format!(
                "more than 5 calls/s step up by {factor} % of the maximum, less bring the minimum back"
            )
        }
        Target::Load { load, target, proportion } => {
            format!("{} target {target} × proportion {proportion} for each replica", load.label())
        }
    }
}

fn formula(config: &Config, function: &Function) -> Vec<String> {
    let Target::Load { load, target, proportion } = function.policy.target else {
        return Vec::new();
    };
    let unit = match load {
        LoadType::Rps => "calls/s",
        LoadType::Capacity => "in flight",
    };
    let line = |name: &str, span: Duration| {
        let fraction = measured(function, load, span)?;
        let wanted = replicas_for(fraction, target, proportion);
        let value = fraction.as_f64();
        let span = format_duration(span);
        Some(format!(
            "{name} over {span}: ceil({value:.3} {unit} / ({target} × {proportion})) = {wanted}"
        ))
    };
    let lines =
        [line("stable average", config.stable_window), line("fast average", config.fast_window)];
    lines.into_iter().flatten().collect()
}

fn limits(config: &Config, function: &Function) -> Vec<String> {
    let bounds = function.policy.bounds;
    let mut lines =
        vec![format!("never below {} under load, never above {}", bounds.min(), bounds.max())];
    if bounds.is_static() {
        lines.push("static: load never changes the count".to_owned());
    }
    let down = function.policy.down_window.unwrap_or_default().max(config.stable_window);
    lines.push(format!("down only to the highest wish of the last {}", format_duration(down)));
    lines
}

fn history(now: Moment, function: &Function) -> Vec<Past> {
    let past = |record: &crate::function::Record| Past {
        seconds_ago: seconds(now.since(record.at)),
        from: record.from,
        to: record.to,
        by: record.reason.who(),
        reason: record.reason.label(),
        why: record.reason.to_string(),
    };
    function.history.iter().map(past).collect()
}

fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1000.0).round() / 1000.0
}
