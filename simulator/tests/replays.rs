//! A recorded run, decided anew with its own policy, comes out exactly as it was.

mod support;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use support::{Shared, policy, record};
use tidegate_autoscaler::{Ask, Autoscaler, Config, CustomRule, Memory, Source};
use tidegate_core::{Decimal, FunctionId, Load, Moment, Observation, Policy, Replicas};
use tidegate_idler::Shortage;
use tidegate_simulator::record::{Cause, Recorder};
use tidegate_simulator::trace::{Reading, read};
use tidegate_simulator::{Random, Verdict, replay};

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

/// What a live loop tells besides observations changes decisions, so the record must carry it.
#[test]
fn what_is_told_besides_is_told_again() {
    let labels: BTreeMap<String, String> = [
        ("com.openfaas.scale.type", "cpu"),
        ("com.openfaas.scale.target", "500"),
        ("com.openfaas.scale.zero", "true"),
        ("com.tidegate.scale.zero-policy", "adaptive"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let (mut live, out) = (Live::new(&labels), Shared::default());
    let mut recorder = Recorder::new(Box::new(out.clone()), &Config::default());
    live.memory = Some(taught(&labels));
    let changes = live.run(&mut recorder);
    recorder.finish().expect("memory takes everything");
    let bytes = out.0.lock().expect("nobody panics with it").clone();
    let text = String::from_utf8(bytes).expect("text");
    for kind in ["floor,", "rules,", "measured,", "failed,", "common,", "memory,"] {
        assert!(text.lines().any(|line| line.starts_with(kind)), "{kind}");
        let without: String = text
            .lines()
            .filter(|line| !line.starts_with(kind))
            .map(|line| format!("{line}\n"))
            .collect();
        let matters = ["floor,", "rules,", "measured,", "failed,"].contains(&kind);
        let again = replay("r.csv", without.as_bytes()).expect("still a record");
        assert_eq!(matters, !again.mismatches.is_empty(), "{kind}");
    }
    assert!(text.contains("\"kind\":\"adaptive"), "{text}");
    let again = replay("r.csv", text.as_bytes()).expect("our own record");
    assert_eq!(again.mismatches, []);
    assert_eq!(again.recorded, again.replayed);
    assert_eq!(again.changes, changes);
    assert!(changes > 5, "{changes}");
}

/// One function with an autoscaler of its own, as a loop would have it.
struct Live {
    autoscaler: Autoscaler,
    function: FunctionId,
    labels: BTreeMap<String, String>,
    memory: Option<Memory>,
    desired: Replicas,
    changes: u64,
}

impl Live {
    fn new(labels: &BTreeMap<String, String>) -> Self {
        Self {
            autoscaler: Autoscaler::new(Config::default()),
            function: FunctionId::parse("cat").expect("good"),
            labels: labels.clone(),
            memory: None,
            desired: Replicas::ONE,
            changes: 0,
        }
    }

    fn run(mut self, recorder: &mut Recorder) -> u64 {
        let common = self.autoscaler.common();
        recorder.common(Moment::ZERO, &common);
        self.autoscaler.restore_common(&common);
        recorder.function(Moment::ZERO, &self.function, &self.labels, self.memory.as_ref());
        let (policy, _) = Policy::from_labels(&self.labels).expect("good");
        let (id, memory) = (self.function.clone(), self.memory.take());
        self.autoscaler.insert(Moment::ZERO, id, policy, memory);
        let mut random = Random::new(7);
        let (mut level, mut started) = (100.0, 0);
        for second in 1..4000_u64 {
            let now = Moment::from_nanos(second * 1_000_000_000);
            started += 1;
            match second {
                100 => self.floor(recorder, now, 3),
                400 => self.floor(recorder, now, 0),
                600 => self.rules(recorder, now),
                1500 => recorder.memory_is_short(now, true),
                _ => {}
            }
            if second % 5 == 0 {
                level = (level * (0.6 + random.unit())).clamp(10.0, 20_000.0);
                let value =
                    if random.unit() < 0.1 { Err("no, none".to_owned()) } else { Ok(level) };
                self.measured(recorder, now, &Source::Cpu, value);
                if second > 600 {
                    let rule = Source::Rule("lag, of all".into());
                    self.measured(recorder, now, &rule, Ok(level / 7.0));
                }
            }
            self.look(recorder, now, started);
        }
        self.changes
    }

    fn floor(&mut self, recorder: &mut Recorder, now: Moment, least: u32) {
        recorder.floor(now, &self.function, Replicas::new(least));
        self.autoscaler.floor(&self.function, Replicas::new(least));
    }

    fn rules(&mut self, recorder: &mut Recorder, now: Moment) {
        let rules = vec![CustomRule {
            name: "lag, of all".into(),
            target: Decimal::whole(20),
            proportion: Policy::DEFAULT_PROPORTION,
            min_interval: Duration::from_secs(5),
        }];
        recorder.rules(now, &self.function, &rules);
        self.autoscaler.set_rules(&self.function, rules);
    }

    fn measured(
        &mut self,
        recorder: &mut Recorder,
        now: Moment,
        source: &Source,
        value: Result<f64, String>,
    ) {
        recorder.measured(now, &self.function, source, &value);
        self.autoscaler.measured(now, &self.function, source, value);
    }

    fn look(&mut self, recorder: &mut Recorder, now: Moment, started: u64) {
        let load = Load { in_flight: 1, started, completed: started - 1, ..Load::default() };
        let seen = Observation {
            function: self.function.clone(),
            revision: 1,
            load: Some(load),
            desired: self.desired,
            ready: self.desired,
            pending: Replicas::ZERO,
            draining: Replicas::ZERO,
            frozen: Replicas::ZERO,
            created: Replicas::ZERO,
            replica_limit: None,
        };
        let verdict = Verdict::from(self.autoscaler.decide(now, &seen));
        recorder.look(now, &seen, &verdict);
        if let Some(change) = verdict.change {
            self.desired = change.to;
            self.changes += 1;
        }
    }
}

/// What a function that was called now and then had taught.
fn taught(labels: &BTreeMap<String, String>) -> Memory {
    let mut live = Live::new(labels);
    let (policy, _) = Policy::from_labels(labels).expect("good");
    live.autoscaler.insert(Moment::ZERO, live.function.clone(), policy, None);
    let mut recorder = Recorder::new(Box::new(io::sink()), &Config::default());
    for minute in 1..100 {
        live.look(&mut recorder, Moment::from_nanos(minute * 60_000_000_000), minute);
    }
    let end = Moment::from_nanos(6_000_000_000_000);
    live.autoscaler.memory(end, &live.function).expect("it is known")
}

#[test]
fn depths_and_evictions_are_decided_anew_as_they_were() {
    let labels = [
        ("com.openfaas.scale.zero".to_owned(), "true".to_owned()),
        ("com.tidegate.scale.created-duration".to_owned(), "10m".to_owned()),
    ];
    let config = Config { can_freeze: true, can_create: true, ..Config::default() };
    let shared = Shared::default();
    let mut recorder = Recorder::new(Box::new(shared.clone()), &config);
    let function = FunctionId::new("sinks", "openfaas-fn").expect("a good name");
    let labels = labels.into_iter().collect();
    let mut autoscaler = Autoscaler::new(config);
    let (policy, _) = Policy::from_labels(&labels).expect("good");
    recorder.function(Moment::ZERO, &function, &labels, None);
    autoscaler.insert(Moment::ZERO, function.clone(), policy, None);
    let rest = [
        (0, 0, None),
        (1, 0, None),
        (1, 0, Some(Shortage::Budget)),
        (0, 1, None),
        (0, 1, Some(Shortage::Stalled)),
    ];
    for (at, (frozen, created, short)) in (1_u64..).zip(rest) {
        let now = Moment::from_secs(at);
        let seen = Observation {
            function: function.clone(),
            revision: 1,
            load: Some(Load::default()),
            desired: Replicas::ZERO,
            ready: Replicas::ZERO,
            pending: Replicas::ZERO,
            draining: Replicas::ZERO,
            frozen: Replicas::new(frozen),
            created: Replicas::new(created),
            replica_limit: None,
        };
        let (cause, decision) = match short.map(Ask::Evict) {
            None => (Cause::Look, autoscaler.decide(now, &seen)),
            Some(ask) => (Cause::Ask(ask), autoscaler.ask(now, &seen, ask)),
        };
        recorder.decided(now, cause, &seen, &Verdict::from(decision));
    }
    recorder.finish().expect("memory takes it");
    let bytes = shared.0.lock().expect("nobody panics with it").clone();
    let text = String::from_utf8(bytes).expect("text");
    assert!(text.contains(",evict:budget,") && text.contains(",0+1,"), "{text}");
    assert!(text.contains("0,created,evicted") && text.contains("0,removed,evicted"), "{text}");
    let replayed = replay("record", text.as_bytes()).expect("it is read");
    assert_eq!((replayed.mismatches.as_slice(), replayed.changes), ([].as_slice(), 2));
}
