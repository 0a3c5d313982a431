//! What came of a run: numbers only, ready to be shown or written as JSON.
//!
//! Field names are public interface (`--output json`): they are only ever added to. Latencies are seconds.
//! *Corrected* counts from the moment a call was due, *uncorrected* from the moment it was sent.

use std::collections::BTreeMap;

use serde::Serialize;

/// A whole run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Results {
    /// `tidegate.dev/load/v1`.
    pub api_version: &'static str,
    /// The profile or `closed`, in the words of the command line.
    pub pace: String,
    /// Whether calls were due by a schedule; else corrected is uncorrected.
    pub open_loop: bool,
    /// When the run began, RFC 3339.
    pub started: String,
    /// While calls were asked for, up to the end of the last one, seconds: without the idle time before and
    /// behind that a profile may have.
    pub elapsed: f64,
    /// Interrupted before its end.
    pub interrupted: bool,
    /// All targets together.
    pub total: Tally,
    /// Each target, in the order of the plan.
    pub targets: Vec<Tally>,
    /// Second by second from the start.
    pub seconds: Vec<Second>,
    /// How well the schedule was kept; none in a closed loop.
    pub schedule: Option<Schedule>,
    /// What the gateway did meanwhile, each function that was watched.
    pub overlays: Vec<Overlay>,
    /// Success criteria and whether they were met.
    pub expectations: Vec<Expectation>,
    /// CPU seconds this process used while the run went on.
    pub cpu_seconds: f64,
}

/// Counts and latencies of one target, or of all.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    /// The target's name; `all` for the total.
    pub name: String,
    /// Calls begun.
    pub calls: u64,
    /// Calls that got a whole answer.
    pub answered: u64,
    /// Calls without a whole answer, or with one that its check refuses.
    pub errors: u64,
    /// Bytes of answers' bodies.
    pub bytes: u64,
    /// From sent to last byte, answered calls.
    pub uncorrected: Latency,
    /// From due to last byte, answered calls.
    pub corrected: Latency,
    /// `DNS+dialup`, `DNS-lookup`, `req write`, `resp wait`, `resp read`, in this order.
    pub phases: Vec<Phase>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Failed calls by what went wrong, in words.
    pub failures: BTreeMap<String, u64>,
}

/// A distribution of latencies, seconds; all zero when nothing was answered.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Latency {
    /// How many were counted.
    pub count: u64,
    /// Least.
    pub min: f64,
    /// Mean.
    pub mean: f64,
    /// Most.
    pub max: f64,
    /// Percentiles: 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99, as pairs of percent and seconds.
    pub percentiles: Vec<(f64, f64)>,
    /// hey's histogram: upper bound in seconds and count, 11 rows from min to max.
    pub histogram: Vec<(f64, u64)>,
}

/// One phase of calls, seconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Phase {
    /// hey's name for it.
    pub name: &'static str,
    /// Mean.
    pub mean: f64,
    /// Least.
    pub min: f64,
    /// Most.
    pub max: f64,
}

/// One second of the run; calls count where they were due, answers where they ended.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Second {
    /// Start of it, seconds after the start of the run.
    pub at: u32,
    /// Calls due.
    pub due: u64,
    /// Calls sent.
    pub sent: u64,
    /// Calls answered.
    pub answered: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Corrected latencies of what was answered in it, seconds: 50th percentile.
    pub p50: f64,
    /// 90th.
    pub p90: f64,
    /// 99th.
    pub p99: f64,
    /// Most.
    pub max: f64,
}

/// How well the schedule was kept.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Schedule {
    /// Calls that were due.
    pub due: u64,
    /// Of them begun, late ones too.
    pub sent: u64,
    /// Sent more than a millisecond after they were due because this machine was late.
    pub late: u64,
    /// Waited for a free connection because all were in use (the target is slow, not the schedule).
    pub waited: u64,
    /// From due to handed to a connection, waits for a free one not counted: percentiles as in [`Latency`].
    pub error: Latency,
}

/// What the gateway said of one function while the run went on.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Overlay {
    /// `name.namespace`.
    pub function: String,
    /// Samples in order of time.
    pub samples: Vec<Sample>,
    /// What happened, in order of time.
    pub events: Vec<Event>,
    /// Why there is nothing or only a part, when so.
    pub problem: Option<String>,
}

/// One look at a function.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sample {
    /// Seconds after the start of the run.
    pub at: f64,
    /// Replicas wanted.
    pub desired: u32,
    /// Replicas that take calls.
    pub ready: u32,
    /// Calls in flight at replicas, when the gateway says.
    pub in_flight: Option<f64>,
    /// Calls waiting for a replica, when the gateway says.
    pub waiting: Option<f64>,
}

/// One line of the table of scaling events.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Event {
    /// Seconds after the start of the run.
    pub at: f64,
    /// Seconds after the load step that it answers, when there was one.
    pub after_step: Option<f64>,
    /// What kind it is.
    pub kind: EventKind,
    /// What happened, in words: `5 replicas: 25 in flight at 5 each`.
    pub text: String,
}

/// Kinds of [`Event`].
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The profile changes the rate.
    #[default]
    LoadStep,
    /// The gateway decided on another count.
    Decision,
    /// The first new replica takes calls.
    FirstReady,
    /// As many replicas take calls as were wanted.
    TargetReached,
    /// Back to the function's minimum.
    BackToMinimum,
    /// No replica is left.
    ToZero,
}

/// One success criterion.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Expectation {
    /// As given: `p99<200ms`.
    pub text: String,
    /// What was measured, in the same unit.
    pub measured: String,
    /// Whether it holds.
    pub met: bool,
}
