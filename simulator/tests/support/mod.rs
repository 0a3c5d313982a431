//! Short words for what the tests of the simulator have in common.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_core::{FunctionId, Moment};
use tidegate_simulator::report::PolicyReport;
use tidegate_simulator::trace::{Call, Calls, Trace, Traced};
use tidegate_simulator::{Contender, Options, PolicyFile, run};

/// A policy of these labels, the family's name left out.
pub fn policy(scaler: &str, labels: &[(&str, &str)], max_inflight: Option<u32>) -> Contender {
    let label =
        |(name, value): &(&str, &str)| (format!("com.openfaas.scale.{name}"), (*value).to_owned());
    let labels: BTreeMap<String, String> = labels.iter().map(label).collect();
    let mut file = PolicyFile::of_scaler(scaler);
    file.max_inflight = max_inflight;
    file.contender(&labels, scaler).expect("a good policy")
}

/// One function called at these moments for so long, milliseconds.
pub fn calls(calls: &[(u64, u64)], end_millis: u64) -> Trace {
    const MILLI: u64 = 1_000_000;
    let calls: Vec<Call> =
        calls.iter().map(|(at, takes)| Call { at: at * MILLI, takes: takes * MILLI }).collect();
    Trace {
        name: "test".to_owned(),
        end: Moment::from_millis(end_millis),
        functions: vec![Traced::new(
            FunctionId::parse("cat").expect("a good name"),
            Calls::Listed(Arc::from(calls)),
        )],
    }
}

/// The figures of a run; replicas start as `model` says.
pub fn simulate(trace: &Trace, contender: &Contender, model: &str) -> PolicyReport {
    let options = Options { model: model.parse().expect("a good model"), ..Options::default() };
    run(trace, contender, &options, None).report
}

/// Whether two figures are the same but for the last bits.
pub fn close(left: f64, right: f64, tolerance: f64) -> bool {
    (left - right).abs() <= tolerance
}
