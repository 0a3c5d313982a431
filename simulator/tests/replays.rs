//! A recorded run, decided anew with its own policy, comes out exactly as it was.

mod support;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use support::policy;
use tidegate_simulator::generate::generate;
use tidegate_simulator::record::Recorder;
use tidegate_simulator::report::PolicyReport;
use tidegate_simulator::trace::{Reading, read};
use tidegate_simulator::{Contender, Options, replay, run};

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn record(generator: &str, contender: &Contender, model: &str) -> (PolicyReport, String) {
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

#[test]
fn a_recorded_run_is_decided_the_same_way_again() {
    let capacity =
        [("type", "capacity"), ("target", "5"), ("zero", "true"), ("zero-duration", "2m")];
    let rate = [("type", "rps"), ("target", "4"), ("down.window", "90s")];
    for (generator, labels, limit, model) in [
        ("mixed?duration=40m", &capacity[..], None, "cold=2s"),
        ("mixed?duration=40m&seed=7", &capacity[..], Some(3), "cold=lognormal:1s:5s,warm=10ms"),
        ("mixed?duration=40m", &rate[..], None, "cold=2s,fail=0.2"),
        ("mixed?duration=40m", &[("zero", "true")][..], Some(2), "cold=1s,warm=5ms,call=40ms"),
    ] {
        let contender = policy("tidegate", labels, limit);
        let (report, text) = record(generator, &contender, model);
        let again = replay("r.csv", text.as_bytes()).expect("our own record");
        assert_eq!(again.mismatches, [], "{generator}");
        assert_eq!(again.recorded, again.replayed);
        assert_eq!(again.looks, report.looks);
        assert!(again.changes > 10, "{}", again.changes);
    }
}

#[test]
fn a_decision_that_was_another_one_is_named_with_its_line() {
    let contender = policy("tidegate", &[("zero", "true"), ("zero-duration", "1m")], None);
    let (_, text) = record("rare?every=10m&duration=2h", &contender, "cold=1s");
    let line = text.lines().position(|line| line.ends_with(",idle")).expect("it idled") + 1;
    let text = text.replacen(",0,removed,idle", ",1,removed,idle", 1);
    let again = replay("r.csv", text.as_bytes()).expect("still a record");
    assert_eq!(again.mismatches.len(), 1);
    assert_eq!(again.mismatches[0].line, line as u64);
    assert_ne!(again.recorded, again.replayed);
}

#[test]
fn a_record_is_a_trace_for_other_policies() {
    let contender = policy("tidegate", &[("type", "capacity"), ("target", "5")], None);
    let (report, text) = record("poisson?rate=5&duration=1h&takes=500ms", &contender, "cold=1s");
    let trace =
        read(vec![("r".to_owned(), text.as_bytes())], None, &Reading::default()).expect("good");
    let calls: Vec<_> = trace.functions[0].calls.stream().collect();
    let lost = report.calls - calls.len() as u64;
    assert!(lost <= 5, "{lost} of {} calls are lost", report.calls);
    let mean = calls.iter().map(|call| call.takes as f64).sum::<f64>() / calls.len() as f64 / 1e9;
    assert!((mean - 0.5).abs() < 0.02, "{mean}");
}
