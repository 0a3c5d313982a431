//! One policy through one trace.
//!
//! Functions turn one after the other, each from the begin of the trace to its end where nothing is shared: a
//! lane that stays in the processor's caches is several times as fast. Where a policy learns from all functions, or
//! the run is recorded, they turn a minute of virtual time each: what they share (what is known of all functions,
//! and the price of idle time) changes slowlier than that. A lane that nothing happens to in that minute is not
//! touched.

use std::io;
use std::time::Duration;

use tidegate_core::Moment;

use crate::histogram::Histogram;
use crate::lane::Lane;
use crate::model::ProviderModel;
use crate::policy::Contender;
use crate::record::Recorder;
use crate::report::PolicyReport;
use crate::span::nanos;
use crate::stage::{Settings, Stage};
use crate::trace::Trace;

/// How long functions turn alone where they share something.
const SLICE: u64 = 60_000_000_000;
/// Points of a chart, at most.
const POINTS: u64 = 600;

/// What holds for all policies of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How replicas start.
    pub model: ProviderModel,
    /// Calls that may wait, for each function.
    pub room_size: usize,
    /// Longest wait of a call.
    pub wait_limit: Duration,
    /// Longest that a replica on its way out may take for its calls.
    pub drain_limit: Duration,
    /// Seeds start-up times and balancing.
    pub seed: u64,
}

/// What came of a run.
pub struct Outcome {
    /// The figures.
    pub report: PolicyReport,
    /// Of the record, when one was written.
    pub recorded: io::Result<()>,
}

impl Default for Options {
    /// As the gateway is by default.
    fn default() -> Self {
        Self {
            model: ProviderModel::default(),
            room_size: 20_000,
            wait_limit: Duration::from_secs(60),
            drain_limit: Duration::from_secs(3600),
            seed: 1,
        }
    }
}

/// Runs a policy through a trace, and writes down what was seen and decided if there is a recorder.
pub fn run(
    trace: &Trace,
    contender: &Contender,
    options: &Options,
    mut recorder: Option<Recorder>,
) -> Outcome {
    let end = trace.end.as_nanos();
    let settings = Settings {
        model: options.model.clone(),
        max_inflight: contender.max_inflight,
        room_size: options.room_size,
        wait_limit: nanos(options.wait_limit),
        drain_limit: nanos(options.drain_limit),
        seed: options.seed,
        bucket: (end / POINTS).max(1_000_000_000),
    };
    let mut scaler = contender.kind.scaler(contender, options, trace.functions.len());
    let mut lanes = Vec::with_capacity(trace.functions.len());
    for (number, traced) in trace.functions.iter().enumerate() {
        scaler.insert(Moment::ZERO, number, &contender.policy, traced);
        if let Some(recorder) = &mut recorder {
            recorder.function(Moment::ZERO, &traced.id, &contender.labels, None);
        }
        lanes.push(Lane::new(number, traced, &settings, &contender.policy));
    }
    let mut stage = Stage {
        scaler: &mut *scaler,
        settings: &settings,
        waits: Histogram::default(),
        cold_waits: Histogram::default(),
        buckets: Vec::new(),
        recorder,
    };
    turn(&mut lanes, end, &mut stage);
    let recorded = stage.recorder.take().map_or(Ok(()), Recorder::finish);
    let accounts: Vec<_> = lanes.into_iter().map(|lane| lane.account).collect();
    let report = PolicyReport::new(trace, contender, &accounts, &stage);
    Outcome { report, recorded }
}

fn turn(lanes: &mut [Lane], end: u64, stage: &mut Stage<'_>) {
    for lane in lanes.iter_mut() {
        lane.deploy(stage);
    }
    // What happens at the very end still happens.
    let end = end.saturating_add(1);
    let together = stage.scaler.mixes() || stage.recorder.is_some();
    let length = if together { SLICE } else { end };
    let mut due: Vec<u64> = lanes.iter().map(Lane::next_at).collect();
    while let Some(next) = due.iter().min().copied().filter(|next| *next < end) {
        let slice = (next - next % length).saturating_add(length).min(end);
        for (lane, due) in lanes.iter_mut().zip(&mut due) {
            if *due < slice {
                lane.run_until(slice, stage);
                *due = lane.next_at();
            }
        }
    }
    for lane in lanes {
        lane.finish(end - 1, stage);
    }
}
