//! What the explanation tells.

mod support;

use support::{Scenario, secs};
use tidegate_autoscaler::{Config, CustomRule, Source};

const CAPACITY_5: [(&str, &str); 4] =
    [("type", "capacity"), ("target", "5"), ("target-proportion", "1"), ("max", "8")];
const IDLES: [(&str, &str); 2] = [("zero", "true"), ("zero-duration", "1m")];

#[test]
fn the_formula_has_its_numbers() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(15, secs(40));
    let told = function.explain();
    assert_eq!(told.formula[0], "stable average over 30s: ceil(15.000 in flight / (5 × 1)) = 3");
    assert_eq!(told.formula[1], "fast average over 6s: ceil(15.000 in flight / (5 × 1)) = 3");
    assert_eq!((told.averages[0].value, told.averages[0].unit), (15.0, "in flight"));
    assert_eq!(told.decision, "stays at 3: the load asks for what there is");
    assert_eq!(told.decisions.len(), 1);
    assert_eq!(told.decisions[0].reason, "burst");
    assert_eq!(told.decisions[0].why, "15 calls found all replicas full and ask for 3");
}

#[test]
fn a_function_that_rests_says_so() {
    let mut function = Scenario::with(&CAPACITY_5);
    let rests = "stays at 1: at the minimum, and nobody calls";
    function.holds(0, secs(1));
    assert_eq!(function.explain().decision, rests);
    function.holds(3, secs(20)).holds(0, secs(40));
    assert_eq!(function.explain().decision, rests);
    function.restart().holds(0, secs(1));
    assert_eq!(function.explain().decision, rests);
}

#[test]
fn what_binds_is_named() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.holds(60, secs(40));
    let told = function.explain();
    assert_eq!(told.decision, "stays at 8: the load asks for 12, this is the maximum");
    assert_eq!(told.bounds[0], "12 wanted, the maximum 8 binds");
    assert_eq!(
        told.decisions[0].why,
        "60 calls found all replicas full and ask for 12; 8 is the maximum"
    );
    // After 20 s without load the fast average has been low for 14 s; its last wish for 2 is of 13 s ago.
    function.holds(0, secs(20));
    let told = function.explain();
    assert!(told.bounds[1].starts_with("not below 8, wanted "), "{:?}", told.bounds);
    function.restart().holds(0, secs(3));
    let told = function.explain();
    let learning = "not down before the load was seen for 30s; it was for 2s";
    assert!(told.bounds.iter().any(|line| line == learning), "{:?}", told.bounds);
    function.misses(secs(1));
    let told = function.explain();
    assert!(!told.load_known);
    assert_eq!(told.decision, "stays at 8: the load is not known; that never scales down");
}

#[test]
fn a_minimum_and_rates_that_bind_are_named() {
    let mut labels = CAPACITY_5.to_vec();
    labels.extend([("min", "3"), ("tidegate:up-rate", "2"), ("tidegate:down-rate", "1.5")]);
    let mut function = Scenario::with(&labels);
    function.instant_starts = false;
    function.ready = tidegate_core::Replicas::new(3);
    function.holds(2, secs(10));
    assert_eq!(function.explain().bounds[0], "1 wanted, the minimum 3 binds");
    function.holds(40, secs(1)).wants(6);
    let told = function.explain();
    assert_eq!(
        told.decisions[0].why,
        "40 calls found all replicas full and ask for 8; 6 is what up-rate allows"
    );
    for line in
        ["at once no more than 3 times 2, what is ready", "at once no fewer than 3 divided by 1.5"]
    {
        assert!(told.bounds.iter().any(|told| told == line), "{line} in {:?}", told.bounds);
    }
}

#[test]
fn the_idle_deadline_is_told_from_now_on() {
    let mut function = Scenario::with(&IDLES);
    function.serves(1.0, secs(1)).serves(0.0, secs(18));
    let told = function.explain();
    assert_eq!(told.idle, "quiet; goes to zero in 42s if nothing comes");
    assert_eq!(told.idle_in_seconds, Some(42.0));
    assert_eq!(told.policy.zero_after_seconds, Some(60.0));
    function.serves(0.0, secs(42)).wants(0);
    function.passes(secs(30));
    assert_eq!(function.explain().idle, "at zero for 30s");
}

#[test]
fn a_dry_run_is_told_as_one() {
    let config = Config { dry_run_idle: true, ..Config::default() };
    let mut function = Scenario::with_config(&IDLES, config);
    function.serves(0.0, secs(90)).wants(1);
    assert_eq!(function.explain().idle, "idle for 1m30s (only reported)");
}

#[test]
fn starts_that_do_not_succeed_are_told() {
    let mut function = Scenario::with(&CAPACITY_5);
    function.instant_starts = false;
    function.holds(9, secs(120)).holds(40, secs(5)).wants(2);
    let told = function.explain();
    // Seen on their way from 2 s on.
    assert!(told.decision.contains("what was started is not ready for 2m3s"), "{}", told.decision);
    assert!(told.bounds.iter().any(|line| line.starts_with("replicas are starting for")));
}

#[test]
fn the_last_fifty_decisions_are_told_with_who_asked() {
    let mut function = Scenario::with(&CAPACITY_5);
    for round in 0..60 {
        let asked = tidegate_core::Replicas::new(2 + round % 2);
        function.ask(tidegate_autoscaler::Ask::Operator(asked));
        function.passes(secs(1));
    }
    let told = function.explain();
    assert_eq!(told.decisions.len(), 50);
    assert!(told.decisions.iter().all(|past| past.by == "operator"));
    assert_eq!(told.decisions[49].seconds_ago, 1.0);
}

#[test]
fn what_is_measured_elsewhere_is_told_with_its_formula() {
    let labels = [("type", "cpu"), ("target", "500"), ("target-proportion", "1"), ("max", "10")];
    let mut function = Scenario::with(&labels);
    let lag = with_rule(&mut function);
    function.measures(&lag, 12.0).reads(&Source::Cpu, 1200.0, secs(10)).wants(3);
    function.reads(&Source::Cpu, 1900.0, secs(11)).wants(4);
    let told = function.explain();
    let rule = "the highest of: cpu target 500 × proportion 1 for each replica; rule lag target 10 × proportion 0.5 for each replica";
    assert_eq!(told.rule, rule);
    assert_eq!(
        told.formula,
        [
            "cpu, mean of 30s: ceil(1620 milli-CPU / (500 × 1)) = 4",
            "cpu, now: ceil(1900 milli-CPU / (500 × 1)) = 4",
            "rule lag was last measured 21s ago",
        ]
    );
    let cpu = &told.measured[0];
    assert_eq!((cpu.source.as_str(), cpu.value, cpu.unit), ("cpu", Some(1900.0), "milli-CPU"));
    assert_eq!((cpu.target.as_str(), cpu.wanted.map(|count| count.get())), ("500", Some(4)));
    let old = &told.measured[1];
    assert_eq!((old.source.as_str(), old.wanted), ("rule lag", None));
    assert_eq!(old.trouble.as_deref(), Some("was last measured 21s ago"));
    let stale = "stays at 4: rule lag was last measured 21s ago; that never scales down";
    assert_eq!(told.decision, stale);
    assert!(told.bounds.contains(&stale["stays at 4: ".len()..].to_owned()), "{:?}", told.bounds);
    assert_eq!(told.decisions[0].why, "cpu asks for 3");
}

#[test]
fn rules_alone_latency_and_memory_are_told_in_their_words() {
    let mut function = Scenario::with(&[]);
    let lag = with_rule(&mut function);
    function.reads(&lag, 12.0, secs(5)).wants(3);
    let told = function.explain();
    assert_eq!((told.policy.kind, told.averages.len()), ("rules", 0));
    assert_eq!(told.rule, "rule lag target 10 × proportion 0.5 for each replica");
    assert_eq!(told.formula[1], "rule lag, now: ceil(12.000 / (10 × 0.5)) = 3");
    let labels = [("type", "memory"), ("target", "256Mi"), ("target-proportion", "1")];
    let mut function = Scenario::with(&labels);
    function.reads(&Source::Memory, f64::from(700 << 20), secs(5)).wants(3);
    let told = function.explain();
    assert_eq!(told.policy.target.as_deref(), Some("256Mi"));
    assert_eq!(told.formula[0], "memory, mean of 30s: ceil(700Mi / (256Mi × 1)) = 3");
    let labels = [("type", "latency"), ("tidegate:target", "p99.9:1.5s")];
    let mut function = Scenario::with(&labels);
    function.reads(&Source::Latency, 2.7, secs(20));
    let told = function.explain();
    assert_eq!(told.rule, "latency target p99.9:1.5s × proportion 0.9");
    assert_eq!(
        told.formula,
        [
            "latency 2.700s is 2.00 of 1.5s × 0.9: 1 become 1; it is not judged before calls of 30s tell of the ready replicas"
        ]
    );
    assert!(
        serde_json::to_string(&told)
            .expect("plain")
            .contains("\"measured\":[{\"source\":\"latency\"")
    );
}

fn with_rule(function: &mut Scenario) -> Source {
    let proportion = "0.5".parse().expect("a decimal");
    let (target, min_interval) = (tidegate_core::Decimal::whole(10), secs(1));
    let rule = CustomRule { name: "lag".into(), target, proportion, min_interval };
    function.autoscaler.set_rules(&function.function.clone(), vec![rule]);
    Source::Rule("lag".into())
}
