//! Short words for what the tests of the simulator have in common.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tidegate_core::{FunctionId, Moment};
use tidegate_simulator::generate::generate;
use tidegate_simulator::record::Recorder;
use tidegate_simulator::report::PolicyReport;
use tidegate_simulator::trace::{Call, Calls, Trace, Traced};
use tidegate_simulator::{Contender, Options, PolicyFile, run};

/// A policy of these labels; the family's name may be left out where it is OpenFaaS's.
pub fn policy(scaler: &str, labels: &[(&str, &str)], max_inflight: Option<u32>) -> Contender {
    let label = |(name, value): &(&str, &str)| {
        let family = if name.starts_with("com.") { "" } else { "com.openfaas.scale." };
        (format!("{family}{name}"), (*value).to_owned())
    };
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

/// A writer whose bytes can be read afterwards.
#[derive(Clone, Default)]
pub struct Shared(pub Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a policy does to a generated load, and the record of it.
pub fn record(generator: &str, contender: &Contender, model: &str) -> (PolicyReport, String) {
    let out = Shared::default();
    let options = Options { model: model.parse().expect("good"), ..Options::default() };
    let mut config = contender.config.clone();
    config.can_freeze = options.model.warm.is_some();
    let recorder = Recorder::new(Box::new(out.clone()), &config);
    let trace = generate(generator).expect("good");
    let outcome = run(&trace, contender, &options, Some(recorder));
    outcome.recorded.expect("memory takes everything");
    let bytes = out.0.lock().expect("nobody panics with it").clone();
    (outcome.report, String::from_utf8(bytes).expect("text"))
}
