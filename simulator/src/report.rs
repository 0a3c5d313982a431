//! What came of the runs: figures for programs, tables and charts for people.

mod html;
mod pareto;

pub use html::html;
pub use pareto::Tradeoff;

use serde::Serialize;
use tidegate_core::format_duration;

use crate::histogram::Histogram;
use crate::lane::Account;
use crate::policy::Contender;
use crate::stage::{Bucket, Stage};
use crate::trace::Trace;

/// Functions that are reported one by one: those with the most calls.
const TOP: usize = 10;

/// Several policies through one trace. Field names are public interface: they are only ever added to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `tidegate.dev/simulation/v1`.
    pub api_version: &'static str,
    /// What was simulated.
    pub trace: TraceReport,
    /// One for each policy, in the order given.
    pub policies: Vec<PolicyReport>,
    /// Cold starts against idle time, by rising idle time.
    pub tradeoffs: Vec<Tradeoff>,
}

/// What was simulated.
#[derive(Clone, Debug, Serialize)]
pub struct TraceReport {
    /// The trace's name.
    pub name: String,
    /// Length in virtual seconds.
    pub seconds: f64,
    /// How many functions.
    pub functions: usize,
}

/// What one policy did. Times in seconds.
#[derive(Clone, Debug, Serialize)]
pub struct PolicyReport {
    /// The policy's name.
    pub name: String,
    /// Who decided.
    pub scaler: String,
    /// Calls that arrived.
    pub calls: u64,
    /// Calls that found nothing ready.
    pub cold_starts: u64,
    /// Their share of all calls.
    pub cold_share: f64,
    /// The mean of the functions' own shares, those without a call left out.
    pub cold_share_per_function: f64,
    /// Calls that waited before a replica took them.
    pub waited: u64,
    /// Calls that failed, for whatever reason.
    pub errors: Errors,
    /// Calls still open at the end.
    pub unfinished: u64,
    /// Of them those that wait.
    pub still_waiting: u64,
    /// How long all calls that were served waited.
    pub wait: Waits,
    /// How long those waited that found nothing ready.
    pub cold_wait: Waits,
    /// Replicas that were there, ready or not, frozen ones left out, over time.
    pub replica_seconds: f64,
    /// Of them ready with nothing to do.
    pub idle_replica_seconds: f64,
    /// Of them on their way.
    pub starting_replica_seconds: f64,
    /// Frozen replicas over time.
    pub frozen_replica_seconds: f64,
    /// Memory held over time, frozen replicas included, in GiB-seconds.
    pub memory_gib_seconds: f64,
    /// Work done: what calls took.
    pub busy_call_seconds: f64,
    /// Time over the target or limit, all functions together.
    pub over_target_seconds: f64,
    /// Changes of a count.
    pub actions: u64,
    /// Of them upwards.
    pub ups: u64,
    /// Of them downwards.
    pub downs: u64,
    /// Of them to zero.
    pub zeros: u64,
    /// Ups after downs and downs after ups, zero left out.
    pub oscillations: u64,
    /// Replicas started, again after failures too.
    pub starts: u64,
    /// Replicas thawed.
    pub thaws: u64,
    /// Starts that failed.
    pub failed_starts: u64,
    /// Times that the scaler was asked.
    pub looks: u64,
    /// Most replicas of one function.
    pub peak: u32,
    /// Fewest replicas above zero that any function was scaled to; zero when none was.
    pub least: u32,
    /// Hash of the decision log.
    pub decisions: String,
    /// The functions with the most calls.
    pub functions: Vec<FunctionReport>,
    /// All functions together over time.
    pub points: Vec<Point>,
}

/// Calls that failed.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Errors {
    /// All of them.
    pub all: u64,
    /// Waited for too long.
    pub timed_out: u64,
    /// Found the waiting room full.
    pub room_full: u64,
    /// What they waited for did not start.
    pub start_failed: u64,
    /// Ended with their replica.
    pub cut: u64,
}

/// A distribution of waiting times, seconds.
#[derive(Copy, Clone, Debug, Default, Serialize)]
pub struct Waits {
    /// How many.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// Half waited no longer.
    pub p50: f64,
    /// 90 in 100 waited no longer.
    pub p90: f64,
    /// 99 in 100.
    pub p99: f64,
    /// 999 in 1000.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// What one function came to.
#[derive(Clone, Debug, Serialize)]
pub struct FunctionReport {
    /// `name.namespace`.
    pub function: String,
    /// Calls.
    pub calls: u64,
    /// Calls that found nothing ready.
    pub cold_starts: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Replicas over time.
    pub replica_seconds: f64,
    /// Of them idle.
    pub idle_replica_seconds: f64,
    /// Changes of the count.
    pub actions: u64,
    /// Most replicas asked for.
    pub peak: u32,
}

/// One point of the charts: means over the span that begins then.
#[derive(Copy, Clone, Debug, Serialize)]
pub struct Point {
    /// Seconds after the start.
    pub at: f64,
    /// Calls a second.
    pub rate: f64,
    /// Calls open: in flight or waiting.
    pub load: f64,
    /// Of them waiting.
    pub waiting: f64,
    /// Replicas ready.
    pub ready: f64,
    /// Replicas on their way.
    pub starting: f64,
    /// Replicas frozen.
    pub frozen: f64,
}

impl Report {
    /// Of these runs.
    pub fn new(trace: &Trace, policies: Vec<PolicyReport>) -> Self {
        let seconds = trace.end.since_start().as_secs_f64();
        Self {
            api_version: "tidegate.dev/simulation/v1",
            trace: TraceReport {
                name: trace.name.clone(),
                seconds,
                functions: trace.functions.len(),
            },
            tradeoffs: pareto::tradeoffs(&policies, seconds),
            policies,
        }
    }

    /// Headings and rows for people: a row for each figure, a column for each policy.
    pub fn table(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let mut headings = vec![String::new()];
        headings.extend(self.policies.iter().map(|policy| policy.name.clone()));
        let row = |name: &str, cell: &dyn Fn(&PolicyReport) -> String| {
            let mut row = vec![name.to_owned()];
            row.extend(self.policies.iter().map(cell));
            row
        };
        let rows = vec![
            row("calls", &|p| p.calls.to_string()),
            row("cold starts", &|p| format!("{} ({:.3} %)", p.cold_starts, 100.0 * p.cold_share)),
            row("waited", &|p| format!("{} ({:.3} %)", p.waited, 100.0 * share(p.waited, p.calls))),
            row("errors", &|p| p.errors.all.to_string()),
            row("wait mean", &|p| span(p.wait.mean)),
            row("wait p50", &|p| span(p.wait.p50)),
            row("wait p90", &|p| span(p.wait.p90)),
            row("wait p99", &|p| span(p.wait.p99)),
            row("wait p99.9", &|p| span(p.wait.p999)),
            row("cold wait p50", &|p| span(p.cold_wait.p50)),
            row("replica-seconds", &|p| format!("{:.0}", p.replica_seconds)),
            row("idle replica-seconds", &|p| format!("{:.0}", p.idle_replica_seconds)),
            row("frozen replica-seconds", &|p| format!("{:.0}", p.frozen_replica_seconds)),
            row("memory GiB-seconds", &|p| format!("{:.0}", p.memory_gib_seconds)),
            row("over target", &|p| span(p.over_target_seconds)),
            row("scaling actions", &|p| p.actions.to_string()),
            row("direction changes", &|p| p.oscillations.to_string()),
            row("starts", &|p| p.starts.to_string()),
            row("peak of one function", &|p| p.peak.to_string()),
            row("decision log", &|p| p.decisions.clone()),
        ];
        (headings, rows)
    }
}

/// A span for people: three figures that matter.
fn span(seconds: f64) -> String {
    let step = if seconds < 0.001 {
        1e-6
    } else if seconds < 1.0 {
        1e-3
    } else {
        0.1
    };
    let rounded = (seconds / step).round() * step;
    let nanos = (rounded * 1e9).round() as u64;
    // What floating point added goes.
    format_duration(std::time::Duration::from_nanos(nanos / 1000 * 1000))
}

impl PolicyReport {
    pub(crate) fn new(
        trace: &Trace,
        contender: &Contender,
        accounts: &[Account],
        stage: &Stage<'_>,
    ) -> Self {
        let sum = |of: &dyn Fn(&Account) -> u64| accounts.iter().map(of).sum::<u64>();
        let seconds = |of: &dyn Fn(&Bucket) -> u64| {
            accounts.iter().map(|one| u128::from(of(&one.total))).sum::<u128>() as f64 / 1e9
        };
        let calls = sum(&|one| one.calls);
        let cold = sum(&|one| one.cold);
        let frozen = seconds(&|total| total.frozen);
        let replicas = seconds(&|total| total.ready) + seconds(&|total| total.pending);
        let gib = stage.settings.model.memory as f64 / f64::from(1 << 30);
        Self {
            name: contender.name.clone(),
            scaler: contender.kind.to_string(),
            calls,
            cold_starts: cold,
            cold_share: share(cold, calls),
            cold_share_per_function: per_function(accounts),
            waited: sum(&|one| one.waited),
            errors: Errors::of(accounts),
            unfinished: sum(&|one| one.unfinished),
            still_waiting: sum(&|one| one.still_waiting),
            wait: Waits::of(&stage.waits),
            cold_wait: Waits::of(&stage.cold_waits),
            replica_seconds: replicas,
            idle_replica_seconds: seconds(&|total| total.idle),
            starting_replica_seconds: seconds(&|total| total.pending),
            frozen_replica_seconds: frozen,
            memory_gib_seconds: (replicas + frozen) * gib,
            busy_call_seconds: seconds(&|total| total.inside) - seconds(&|total| total.waiting),
            over_target_seconds: seconds(&|total| total.over),
            actions: sum(&|one| one.ups + one.downs),
            ups: sum(&|one| one.ups),
            downs: sum(&|one| one.downs),
            zeros: sum(&|one| one.zeros),
            oscillations: sum(&|one| one.turns),
            starts: sum(&|one| one.starts),
            thaws: sum(&|one| one.thaws),
            failed_starts: sum(&|one| one.failed_starts),
            looks: sum(&|one| one.looks),
            peak: accounts.iter().map(|one| one.peak).max().unwrap_or(0),
            least: accounts.iter().filter_map(|one| one.least).min().unwrap_or(0),
            decisions: decisions(trace, accounts),
            functions: top(trace, accounts),
            points: points(stage, trace.end.as_nanos()),
        }
    }
}

fn decisions(trace: &Trace, accounts: &[Account]) -> String {
    let mut named: Vec<_> =
        trace.functions.iter().zip(accounts).map(|(traced, one)| (&traced.id, one.log)).collect();
    named.sort_by_key(|(id, _)| *id);
    crate::log::whole(named.into_iter().map(|(id, log)| (id.as_str(), log)))
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn per_function(accounts: &[Account]) -> f64 {
    let called = accounts.iter().filter(|one| one.calls > 0);
    let shares: Vec<f64> = called.map(|one| share(one.cold, one.calls)).collect();
    if shares.is_empty() { 0.0 } else { shares.iter().sum::<f64>() / shares.len() as f64 }
}

fn top(trace: &Trace, accounts: &[Account]) -> Vec<FunctionReport> {
    let mut order: Vec<usize> = (0..accounts.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(accounts[*at].calls));
    order.truncate(TOP);
    let report = |at: usize| {
        let one = &accounts[at];
        FunctionReport {
            function: trace.functions[at].id.to_string(),
            calls: one.calls,
            cold_starts: one.cold,
            errors: one.errors(),
            replica_seconds: (one.total.ready + one.total.pending) as f64 / 1e9,
            idle_replica_seconds: one.total.idle as f64 / 1e9,
            actions: one.ups + one.downs,
            peak: one.peak,
        }
    };
    order.into_iter().map(report).collect()
}

fn points(stage: &Stage<'_>, end: u64) -> Vec<Point> {
    let width = stage.settings.bucket;
    let point = |(at, bucket): (usize, &Bucket)| {
        let begins = at as u64 * width;
        let span = end.saturating_sub(begins).min(width).max(1) as f64;
        let mean = |nanos: u64| nanos as f64 / span;
        Point {
            at: begins as f64 / 1e9,
            rate: bucket.calls as f64 / (span / 1e9),
            load: mean(bucket.inside),
            waiting: mean(bucket.waiting),
            ready: mean(bucket.ready),
            starting: mean(bucket.pending),
            frozen: mean(bucket.frozen),
        }
    };
    let buckets = stage.buckets.iter().enumerate();
    buckets.filter(|(at, _)| (*at as u64) * width < end).map(point).collect()
}

impl Errors {
    fn of(accounts: &[Account]) -> Self {
        let sum = |of: &dyn Fn(&Account) -> u64| accounts.iter().map(of).sum();
        Self {
            all: sum(&|one| one.errors()),
            timed_out: sum(&|one| one.timed_out),
            room_full: sum(&|one| one.room_full),
            start_failed: sum(&|one| one.start_failed),
            cut: sum(&|one| one.cut),
        }
    }
}

impl Waits {
    fn of(histogram: &Histogram) -> Self {
        Self {
            count: histogram.count(),
            mean: histogram.mean(),
            p50: histogram.percentile(0.5),
            p90: histogram.percentile(0.9),
            p99: histogram.percentile(0.99),
            p999: histogram.percentile(0.999),
            max: histogram.most(),
        }
    }
}
