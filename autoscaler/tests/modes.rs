//! Queue, latency and usage in a closed loop: the count changes what is measured next.

mod support;

use proptest::prelude::*;
use support::served::{Nature, Served};
use support::{Scenario, secs};
use tidegate_autoscaler::{CustomRule, Hold, Source};
use tidegate_core::{Decimal, Replicas};

const CASES: u32 = if cfg!(debug_assertions) { 64 } else { 2000 };

/// Every kind, each for calls of the default nature: about what one replica serves without a queue.
const KINDS: [(&str, &str); 5] =
    [("cpu", "450"), ("memory", "1Mi"), ("queue", "5"), ("latency", "p95:200ms"), ("rule", "2")];

fn function(kind: &str, target: &str, more: &[(&str, &str)]) -> Scenario {
    let mut labels = match kind {
        "rule" => Vec::new(),
        "latency" => vec![("type", kind), ("tidegate:target", target)],
        _ => vec![("type", kind), ("target", target)],
    };
    labels.extend_from_slice(more);
    let mut function = Scenario::with(&labels);
    function.replica_limit = (kind == "queue").then_some(1);
    if kind == "rule" {
        let (id, target) =
            (function.function.clone(), target.parse::<Decimal>().expect("a number"));
        let proportion = Decimal::whole(1);
        let rule = CustomRule { name: "open".into(), target, proportion, min_interval: secs(5) };
        function.autoscaler.set_rules(&id, vec![rule]);
    }
    function
}

fn queue(target: &str) -> Scenario {
    let mut function =
        Scenario::with(&[("type", "queue"), ("target", target), ("target-proportion", "1")]);
    function.replica_limit = Some(1);
    function
}

#[test]
fn the_queue_is_divided_by_the_target_and_calls_that_are_served_keep_what_they_fill() {
    let mut function = queue("5");
    function.load.waiting = 23;
    function.holds(1, secs(2)).wants(5);
    assert_eq!(function.changes, [(function.now.saturating_sub(secs(1)), 5, "load_above_target")]);
    function.load.waiting = 0;
    function.holds(4, secs(60)).wants(4);
    function.holds(0, secs(60)).wants(1);
}

#[test]
fn a_queue_is_let_wait_where_others_would_fill_replicas_at_once() {
    let mut function = queue("20");
    function.load.waiting = 20;
    function.holds(1, secs(60)).wants(1);
    assert_eq!(function.hold(), Some(Hold::AtTarget));
    function.load.waiting = 21;
    function.holds(1, secs(1)).wants(2);
    let told = function.explain();
    assert_eq!(told.formula, ["now: ceil(21.000 waiting / (20 × 1)) = 2"]);
    assert_eq!((told.averages[0].value, told.averages[0].unit), (21.0, "waiting"));
}

#[test]
fn what_is_served_holds_over_the_moment_between_two_calls() {
    let mut function = queue("5");
    function.load.waiting = 18;
    function.holds(4, secs(2)).wants(4);
    function.load.waiting = 0;
    for _ in 0..60 {
        function.holds(4, secs(1)).holds(0, secs(1));
    }
    function.wants(4);
    assert_eq!(function.changes.len(), 1, "{:?}", function.changes);
}

#[test]
fn a_queue_wakes_a_function_to_what_it_asks_for() {
    let labels = [("type", "queue"), ("target", "5"), ("zero", "true"), ("zero-duration", "1m")];
    let mut function = Scenario::with(&labels);
    function.replica_limit = Some(1);
    function.holds(0, secs(70)).wants(0);
    function.load.waiting = 9;
    function.look();
    function.wants(2);
}

fn latency() -> Scenario {
    function("latency", "p95:200ms", &[("target-proportion", "1")])
}

fn slow(function: &mut Scenario, seconds: f64, span: u64) -> &mut Scenario {
    for second in 0..span {
        if second.is_multiple_of(5) {
            function.measures(&Source::Latency, seconds);
        }
        function.serves(20.0, secs(1));
    }
    function
}

#[test]
fn latency_grows_in_proportion_at_most_twofold_and_waits_for_what_it_did() {
    let mut function = latency();
    slow(&mut function, 1.0, 40).wants(2);
    assert_eq!(function.changes[0].2, "latency_above_target");
    // Values tell of what was before for half a minute.
    slow(&mut function, 1.0, 25).wants(2);
    slow(&mut function, 1.0, 15).wants(4);
    slow(&mut function, 0.25, 50).wants(5);
    slow(&mut function, 0.19, 600).wants(5);
}

#[test]
fn latency_goes_down_by_one_and_not_twice_to_what_was_too_few() {
    let mut function = latency();
    slow(&mut function, 0.4, 40).wants(2);
    slow(&mut function, 0.3, 50).wants(3);
    slow(&mut function, 0.05, 60);
    // Two were too few for this rate; it is remembered.
    slow(&mut function, 0.05, 600).wants(3);
    let told = function.explain().formula.join(" ");
    assert!(told.contains("10.0 calls/s were too much for one replica"), "{told}");
    slow(&mut function, 0.05, 400).wants(1);
    let steps: Vec<u32> = function.changes.iter().map(|change| change.1).collect();
    assert_eq!(steps, [2, 3, 2, 1]);
}

#[test]
fn without_calls_latency_asks_for_nothing() {
    let mut function = latency();
    slow(&mut function, 1.0, 200);
    assert!(function.desired.get() >= 8);
    function.reads(&Source::Latency, 0.0, secs(120)).wants(1);
}

#[test]
fn a_down_window_and_rates_bound_what_is_measured_too() {
    let labels = [("type", "cpu"), ("target", "500"), ("target-proportion", "1")];
    let mut held = Scenario::with(&[&labels[..], &[("down.window", "4m")]].concat());
    held.reads(&Source::Cpu, 2000.0, secs(60)).wants(4);
    held.reads(&Source::Cpu, 100.0, secs(230))
        .wants(4)
        .reads(&Source::Cpu, 100.0, secs(30))
        .wants(1);
    let rates = [("tidegate:up-rate", "2"), ("tidegate:down-rate", "2")];
    let mut slow = Scenario::with(&[&labels[..], &rates].concat());
    slow.reads(&Source::Cpu, 4000.0, secs(60)).wants(8).reads(&Source::Cpu, 0.0, secs(90)).wants(1);
    let steps: Vec<u32> = slow.changes.iter().map(|change| change.1).collect();
    assert_eq!(steps, [2, 4, 8, 4, 2, 1]);
}

#[test]
fn usage_about_a_boundary_hovers_above_it() {
    let labels = [("type", "cpu"), ("target", "500"), ("target-proportion", "1")];
    let mut function = Scenario::with(&labels);
    for wave in 0..60 {
        let cpu = if wave % 2 == 0 { 1040.0 } else { 960.0 };
        function.reads(&Source::Cpu, cpu, secs(60));
    }
    assert!(function.changes.len() <= 4, "{:?}", function.changes);
    assert_eq!(function.desired, Replicas::new(3));
}

#[test]
fn cpu_that_starts_burn_does_not_multiply() {
    for starts_in in [1, 3, 5] {
        let nature = Nature { start_burns: 1000.0, starts_in, ..Nature::default() };
        let mut served = Served::new(function("cpu", "450", &[]), nature);
        served.gets(36.0, secs(600));
        // 36 calls take 1800 of the 405 that a replica should.
        let most = served.function.changes.iter().map(|change| change.1).max();
        assert!(most.is_some_and(|most| (5..=8).contains(&most)), "{:?}", served.function.changes);
    }
}

/// How often the count moved after the first changes, and how often it turned.
fn moves(function: &Scenario, settled: usize) -> (usize, usize) {
    let counts: Vec<u32> = function.changes.iter().map(|change| change.1).collect();
    let late = &counts[settled.saturating_sub(1).min(counts.len())..];
    let ups: Vec<bool> = late.windows(2).map(|pair| pair[1] > pair[0]).collect();
    (counts.len() - settled, ups.windows(2).filter(|pair| pair[0] != pair[1]).count())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn steady_load_settles_and_its_end_leads_to_the_minimum(
        kind in 0_usize..KINDS.len(),
        calls in 1_u32..150,
        starts_in in 0_u64..20,
        max in 2_u32..30,
    ) {
        let (kind, target) = KINDS[kind];
        let nature = Nature { starts_in, ..Nature::default() };
        let max = max.to_string();
        let mut served = Served::new(function(kind, target, &[("max", &max)]), nature);
        // What waited while it climbed is served, and a quarter of an hour of hovering is over.
        served.gets(f64::from(calls), secs(3000));
        let settled = served.function.changes.len();
        served.gets(f64::from(calls), secs(3600));
        // Where the value depends on the count, what was too few is tried again twice an hour, then seldomer:
        // down, up and down.
        let (moves, turns) = moves(&served.function, settled);
        prop_assert!(kind != "cpu" || moves == 0, "{kind}: {:?}", served.function.changes);
        prop_assert!(turns <= 4, "{kind}: {:?}", served.function.changes);
        // What waited without a bound takes its time to be served.
        served.gets(0.0, secs(120));
        for _ in 0..100 {
            if served.function.load.demand() > 0 {
                served.gets(0.0, secs(3600));
            }
        }
        served.gets(0.0, secs(120));
        prop_assert_eq!(served.function.desired.get(), 1, "{}: {:?}", kind, served.function.changes);
    }
}
